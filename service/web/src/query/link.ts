/** A query in the page's address: `#q=man riding horse; not car&must=[…]&order=triples`, or `#g={…}` for a long one. */
import { type Condition, EMPTY, type NativeGraph, type Query, toNative } from "./model";

export interface Link {
  readonly text?: string;
  readonly graph?: NativeGraph;
  readonly must: readonly Condition[];
  readonly mustNot: readonly Condition[];
  readonly byMatches: boolean;
}

/** What the service takes as one line. */
export const LONGEST_TEXT = 4000;
const LONGEST_LINK_TEXT = 1500;

export function writeLink(query: Query, text: string, byMatches: boolean): string {
  const fields = new URLSearchParams();
  if (query.objects.length > 0 && text.length <= LONGEST_LINK_TEXT) fields.set("q", text);
  else {
    if (query.objects.length > 0) fields.set("g", JSON.stringify(toNative(query)));
    if (query.mustNot.length > 0) fields.set("not", JSON.stringify(query.mustNot));
  }
  if (query.must.length > 0) fields.set("must", JSON.stringify(query.must));
  if (byMatches) fields.set("order", "triples");
  const written = fields.toString();
  // As plain as an address may be: people read links.
  return written === "" ? "" : `#${written.replaceAll("%3B", ";").replaceAll("%2C", ",").replaceAll("%3A", ":")}`;
}

/** What an address asks for; what cannot be read is left out. */
export function readLink(hash: string): Link | null {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const text = fields.get("q")?.trim().slice(0, LONGEST_TEXT);
  const graph = parse(fields.get("g"));
  const link: Link = {
    ...(text && { text }),
    ...(isGraph(graph) && { graph }),
    must: conditions(fields.get("must")),
    mustNot: conditions(fields.get("not")),
    byMatches: fields.get("order") === "triples",
  };
  return link.text || link.graph || link.must.length > 0 || link.mustNot.length > 0 || link.byMatches ? link : null;
}

/** The query of a link as far as it is known without the service: its filters. */
export const filtersOf = (link: Link): Query => ({ ...EMPTY, must: link.must, mustNot: link.mustNot });

function parse(text: string | null): unknown {
  try {
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Whether it is a graph as `writeLink` writes it: an address may hold anything. */
function isGraph(value: unknown): value is NativeGraph {
  const is = (one: unknown, of: "string" | "object") => typeof one === of && one !== null;
  const all = (list: unknown, good: (one: Record<string, unknown>) => boolean) =>
    Array.isArray(list) && list.every((one) => is(one, "object") && good(one));
  const named = (name: unknown) => name === null || is(name, "string");
  const words = (list: unknown) => Array.isArray(list) && list.every((one) => is(one, "string"));
  const { objects, relationships = [] } = Object(value) as Record<string, unknown>;
  return (
    all(objects, ({ id, name, attributes = [] }) => is(id, "string") && named(name) && words(attributes)) &&
    all(relationships, ({ subject, predicate, object }) => words([subject, object]) && named(predicate))
  );
}

function conditions(text: string | null): readonly Condition[] {
  const value = parse(text);
  return Array.isArray(value) ? readConditions(value) : [];
}

const word = (value: unknown): value is string | null => value === null || (typeof value === "string" && value !== "");

/** Conditions of a filter as JSON; others are left out, and `*` is null. */
export function readConditions(values: readonly unknown[]): readonly Condition[] {
  const wild = (value: unknown) => (typeof value === "string" && value !== "*" ? value : null);
  return values.flatMap((value): Condition[] => {
    if (typeof value !== "object" || value === null) return [];
    const { object, attribute, triple } = value as Record<string, unknown>;
    if (typeof object === "string" && object !== "") return [{ object }];
    if (Array.isArray(attribute) && attribute.length === 2 && attribute.every(word))
      return [{ attribute: [wild(attribute[0]), wild(attribute[1])] }];
    if (Array.isArray(triple) && triple.length === 3 && triple.every(word))
      return [{ triple: [wild(triple[0]), wild(triple[1]), wild(triple[2])] }];
    return [];
  });
}
