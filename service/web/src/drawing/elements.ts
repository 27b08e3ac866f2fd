/** A query as React Flow's nodes and edges. */
import type { SearchWarning } from "../api/client";
import { COLOURS } from "../query/colours";
import type { Query } from "../query/model";
import type { ObjectNodeType } from "./ObjectNode";
import type { RelationshipEdgeType } from "./RelationshipEdge";

const APART = 26; // between arrows of one pair; pixels

export function nodesOf(
  query: Query,
  names: ReadonlyMap<string, string>,
  warnings: readonly SearchWarning[],
  selected: string | null,
  old: readonly ObjectNodeType[],
): ObjectNodeType[] {
  const before = new Map(old.map((one) => [one.id, one]));
  return query.objects.map(({ id, name, attributes, x, y }, row) => ({
    ...before.get(id),
    id,
    type: "object",
    position: { x, y },
    selected: id === selected,
    ariaLabel: `Object ${[...attributes, names.get(id) ?? ""].join(" ")}`,
    data: {
      label: names.get(id) ?? "",
      attributes,
      anything: name === null,
      colour: row % COLOURS,
      hint: hintOf(warnings, row, name),
    },
  }));
}

/** What a name is taken for, if the warnings are of this very drawing. */
function hintOf(warnings: readonly SearchWarning[], row: number, name: string | null): string | null {
  const found = warnings.find((one) => one.pointer === `/graph/objects/${row}/name` && one.word === name);
  if (!found || found.code === "case") return null;
  return found.taken_for === null ? "unknown word" : `taken for ${found.taken_for}`;
}

export function arrowsOf(
  query: Query,
  names: ReadonlyMap<string, string>,
  selected: string | null,
  onSelect: (id: string) => void,
): RelationshipEdgeType[] {
  return query.relationships.map((one) => {
    const pair = query.relationships.filter(
      (other) =>
        (other.subject === one.subject && other.object === one.object) ||
        (other.subject === one.object && other.object === one.subject),
    );
    const place = pair.indexOf(one) - (pair.length - 1) / 2;
    const side = one.subject <= one.object ? 1 : -1; // a bend to the left of both directions would be one line
    return {
      id: one.id,
      type: "relationship",
      source: one.subject,
      target: one.object,
      selected: one.id === selected,
      ariaLabel: [names.get(one.subject), one.predicate ?? "any relationship to", names.get(one.object)].join(" "),
      data: { label: one.predicate ?? "any", bend: place * APART * side, onSelect: () => onSelect(one.id) },
    };
  });
}
