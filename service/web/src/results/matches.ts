/** What of a query an image has, as marks on its picture and as words. */
import type { Result } from "../api/client";
import { COLOURS } from "../query/colours";
import type { NativeGraph } from "../query/model";

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

export interface ImageObject {
  readonly id: string;
  readonly name: string;
  readonly box: Box;
  /** The colour of the query's object that it stands for. */
  readonly colour: number | null;
}

export interface Arrow {
  readonly from: Box;
  readonly to: Box;
  readonly label: string;
}

export interface Words {
  readonly text: string;
  readonly held: boolean;
}

/** The image's object for each of the query's that has one: its id, and the colour. */
export function standIns(result: Result, query: NativeGraph): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  query.objects.forEach((one, row) => {
    const match = result.explanation?.objects[one.id];
    if (match) found.set(match.id, row % COLOURS);
  });
  return found;
}

/** The objects that have a box, the large ones first, so that small ones lie above them. */
export function boxed(graph: NativeGraph, colours: ReadonlyMap<string, number>): readonly ImageObject[] {
  return graph.objects
    .flatMap((one) => {
      const { x, y, w, h } = one;
      if (x === undefined || y === undefined || w === undefined || h === undefined) return [];
      return [{ id: one.id, name: one.name ?? "*", box: { x, y, w, h }, colour: colours.get(one.id) ?? null }];
    })
    .sort((a, b) => b.box.w * b.box.h - a.box.w * a.box.h);
}

/** An arrow for each relationship of the query that the image has. */
export function arrows(result: Result, query: NativeGraph, objects: readonly ImageObject[]): readonly Arrow[] {
  const boxes = new Map(objects.map((one) => [one.id, one.box]));
  const left = (result.explanation?.matched ?? []).map((one) => JSON.stringify(one));
  const name = new Map(query.objects.map((one) => [one.id, wild(one.name)]));
  return (query.relationships ?? []).flatMap((one) => {
    const words = [name.get(one.subject) ?? null, wild(one.predicate), name.get(one.object) ?? null];
    const place = left.indexOf(JSON.stringify(words));
    const from = boxes.get(result.explanation?.objects[one.subject]?.id ?? "");
    const to = boxes.get(result.explanation?.objects[one.object]?.id ?? "");
    if (place < 0) return [];
    left.splice(place, 1);
    return from && to ? [{ from, to, label: wild(one.predicate) ?? "" }] : [];
  });
}

/** Relationships, and objects that are in none, each with whether the image has it; what is missing comes last. */
export function words(result: Result, query: NativeGraph): readonly Words[] {
  const { explanation } = result;
  if (!explanation) return [];
  const related = new Set((query.relationships ?? []).flatMap((one) => [one.subject, one.object]));
  const say = (triple: readonly (string | null)[]) => triple.map((one) => one ?? "any").join(" ");
  const found: Words[] = [
    ...explanation.matched.map((one) => ({ text: say(one), held: true })),
    ...explanation.missing.map((one) => ({ text: say(one), held: false })),
  ];
  for (const one of query.objects) {
    const match = explanation.objects[one.id];
    const name = wild(one.name) ?? "anything";
    if (!related.has(one.id)) found.push({ text: name, held: match !== null && match !== undefined });
    for (const attribute of match?.attributes ?? []) found.push({ text: `${attribute} ${name}`, held: true });
    for (const attribute of match?.missing_attributes ?? []) found.push({ text: `${attribute} ${name}`, held: false });
  }
  return [...found.filter((one) => one.held), ...found.filter((one) => !one.held)];
}

const wild = (name: string | null): string | null => (name === "*" ? null : name);
