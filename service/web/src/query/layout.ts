/** Places for objects that have none: in rows along the relationships, so that arrows run down the drawing. */
import { freshId, type NativeGraph, type Query, type QueryObject } from "./model";

export const ACROSS = 220;
export const DOWN = 108;

/** Rows of ids: an object stands below those that point at it; cycles are cut where they are met first. */
function ranks(graph: NativeGraph): string[][] {
  const edges = (graph.relationships ?? []).filter((one) => one.subject !== one.object);
  const depth = new Map<string, number>();
  const visit = (id: string, path: ReadonlySet<string>): number => {
    const found = depth.get(id);
    if (found !== undefined) return found;
    if (path.has(id)) return 0;
    const above = edges.filter((edge) => edge.object === id && !path.has(edge.subject));
    const row = Math.max(0, ...above.map((edge) => visit(edge.subject, new Set([...path, id])) + 1));
    depth.set(id, row);
    return row;
  };
  const rows: string[][] = [];
  for (const { id } of graph.objects) {
    const row = graph.objects.length > 60 ? 0 : visit(id, new Set());
    const members = rows[row] ?? [];
    rows[row] = [...members, id];
  }
  return rows.filter((row) => row !== undefined);
}

/** Each object's place: below the middle of those that point at it, as far as others beside it leave room. */
export function places(graph: NativeGraph): ReadonlyMap<string, { x: number; y: number }> {
  const widest = Math.max(3, Math.ceil(Math.sqrt(graph.objects.length)));
  const rows = ranks(graph).flatMap((row) => {
    const parts = Math.ceil(row.length / widest);
    return Array.from({ length: parts }, (_, part) => row.slice(part * widest, (part + 1) * widest));
  });
  const found = new Map<string, { x: number; y: number }>();
  rows.forEach((row, down) => {
    for (const { id, x } of spread(row.map((id, place) => ({ id, x: wish(id, place - (row.length - 1) / 2) }))))
      found.set(id, { x, y: down * DOWN });
  });
  return found;

  function wish(id: string, place: number): number {
    const above = (graph.relationships ?? []).flatMap((one) => (one.object === id ? [found.get(one.subject)?.x] : []));
    const known = above.filter((x) => x !== undefined);
    return known.length === 0 ? place * ACROSS : known.reduce((sum, x) => sum + x, 0) / known.length;
  }
}

interface Wish {
  readonly id: string;
  readonly x: number;
}

/** The same row with room between all, moved as little as possible as a whole. */
function spread(row: readonly Wish[]): readonly Wish[] {
  const sorted = [...row].sort((a, b) => a.x - b.x);
  let last = Number.NEGATIVE_INFINITY;
  const spaced = sorted.map(({ id, x }) => {
    last = Math.max(x, last + ACROSS);
    return { id, x: last };
  });
  const moved = spaced.reduce((sum, one, at) => sum + one.x - (sorted[at]?.x ?? 0), 0) / Math.max(1, row.length);
  return spaced.map((one) => ({ ...one, x: one.x - moved }));
}

/** A drawing of a graph that the service gave; objects of the drawing before keep their ids and places. */
export function drawn(
  graph: NativeGraph,
  before: readonly QueryObject[] = [],
): Pick<Query, "objects" | "relationships"> {
  const laid = places(graph);
  const left = [...before];
  const kept = new Map<string, QueryObject>();
  for (const one of graph.objects) {
    const place = left.findIndex((old) => old.name === wild(one.name));
    const [old] = place < 0 ? [] : left.splice(place, 1);
    if (old) kept.set(one.id, old);
  }
  // Laid anew unless most of it stands already: a drawing that is being written must not jump.
  const stable = kept.size * 2 >= graph.objects.length;
  const used = new Set(before.map((one) => one.id));
  const ids = new Map<string, string>();
  const taken: { x: number; y: number }[] = stable ? [...kept.values()].map(({ x, y }) => ({ x, y })) : [];
  const objects = graph.objects.map((one) => {
    const old = kept.get(one.id);
    const id = old?.id ?? freshId("o", used);
    used.add(id);
    ids.set(one.id, id);
    let place = laid.get(one.id) ?? { x: 0, y: 0 };
    if (stable) {
      if (old) place = { x: old.x, y: old.y };
      else {
        place = free(place, taken);
        taken.push(place);
      }
    }
    return { id, name: wild(one.name), attributes: one.attributes ?? [], ...place };
  });
  const end = (id: string) => ids.get(id) ?? id;
  const relationships = (graph.relationships ?? []).map((one, row) => ({
    id: `r${row + 1}`,
    subject: end(one.subject),
    predicate: wild(one.predicate),
    object: end(one.object),
  }));
  return { objects, relationships };
}

const wild = (name: string | null): string | null => (name === "*" ? null : name);

/** The nearest place, going right and then down, that stands clear of all others. */
export function free(
  wanted: { x: number; y: number },
  taken: readonly { x: number; y: number }[],
): { x: number; y: number } {
  for (let ring = 0; ; ring += 1) {
    for (let row = 0; row <= ring; row += 1) {
      const place = { x: wanted.x + (ring - row) * ACROSS, y: wanted.y + row * DOWN };
      if (!taken.some((one) => Math.abs(one.x - place.x) < ACROSS * 0.8 && Math.abs(one.y - place.y) < DOWN * 0.7))
        return place;
    }
  }
}
