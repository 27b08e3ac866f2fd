/** A query as it is drawn: objects with places, relationships, and what images must and must not have. */

export interface QueryObject {
  readonly id: string;
  /** null is anything. */
  readonly name: string | null;
  readonly attributes: readonly string[];
  readonly x: number;
  readonly y: number;
}

export interface QueryRelationship {
  readonly id: string;
  readonly subject: string;
  /** null is any. */
  readonly predicate: string | null;
  readonly object: string;
}

/** Something that an image has or has not: exactly one of the three; null is any. */
export interface Condition {
  readonly object?: string;
  readonly attribute?: readonly [string | null, string | null];
  readonly triple?: readonly [string | null, string | null, string | null];
}

export interface Query {
  readonly objects: readonly QueryObject[];
  readonly relationships: readonly QueryRelationship[];
  readonly must: readonly Condition[];
  readonly mustNot: readonly Condition[];
}

/** What names and numbers depend on. */
interface Scene {
  readonly objects: readonly { readonly id: string; readonly name: string | null }[];
  readonly relationships: readonly { readonly subject: string; readonly object: string }[];
}

/** A scene graph in the service's native form. */
export interface NativeGraph {
  readonly objects: readonly {
    readonly id: string;
    readonly name: string | null;
    readonly attributes?: readonly string[];
    readonly x?: number;
    readonly y?: number;
    readonly w?: number;
    readonly h?: number;
  }[];
  readonly relationships?: readonly {
    readonly subject: string;
    readonly predicate: string | null;
    readonly object: string;
  }[];
}

export const EMPTY: Query = { objects: [], relationships: [], must: [], mustNot: [] };

/** Whether nothing is asked for: no object, whatever the filters. */
export const isBlank = (query: Query): boolean => query.objects.length === 0;

/** The name that stands for a text somebody typed: null for `*`, undefined for nothing. */
export function nameOf(text: string): string | null | undefined {
  const trimmed = text.trim();
  return trimmed === "" ? undefined : trimmed === "*" ? null : trimmed;
}

/** The first of `prefix1`, `prefix2`, … that is not taken. */
export function freshId(prefix: string, taken: Iterable<string>): string {
  const used = new Set(taken);
  let number = used.size + 1;
  while (used.has(`${prefix}${number}`)) number += 1;
  return `${prefix}${number}`;
}

export function addObject(query: Query, name: string | null, place: { x: number; y: number }): [Query, string] {
  const id = freshId(
    "o",
    query.objects.map((one) => one.id),
  );
  return [{ ...query, objects: [...query.objects, { id, name, attributes: [], ...place }] }, id];
}

export function relate(
  query: Query,
  subject: string,
  object: string,
  predicate: string | null = null,
): [Query, string] {
  const id = freshId(
    "r",
    query.relationships.map((one) => one.id),
  );
  return [{ ...query, relationships: [...query.relationships, { id, subject, predicate, object }] }, id];
}

export function changeObject(query: Query, id: string, change: Partial<QueryObject>): Query {
  return { ...query, objects: query.objects.map((one) => (one.id === id ? { ...one, ...change } : one)) };
}

export function changeRelationship(query: Query, id: string, change: Partial<QueryRelationship>): Query {
  return { ...query, relationships: query.relationships.map((one) => (one.id === id ? { ...one, ...change } : one)) };
}

/** Without these objects and relationships; relationships of a removed object go with it. */
export function remove(query: Query, ids: ReadonlySet<string>): Query {
  return {
    ...query,
    objects: query.objects.filter((one) => !ids.has(one.id)),
    relationships: query.relationships.filter(
      (one) => !ids.has(one.id) && !ids.has(one.subject) && !ids.has(one.object),
    ),
  };
}

/** Ids of objects as a text mentions them: those in relationships first, in their order; numbers go by this. */
export function mentioned(query: Scene): readonly string[] {
  const related = query.relationships.flatMap((one) => [one.subject, one.object]);
  return [...new Set([...related, ...query.objects.map((one) => one.id)])];
}

/** What each object is called: `man`, `man#2` for the second of the name that a text mentions, `anything`. */
export function labels(query: Scene): ReadonlyMap<string, string> {
  const names = new Map(query.objects.map((one) => [one.id, one.name ?? "anything"]));
  const times = new Map<string, number>();
  const found = new Map<string, string>();
  for (const id of mentioned(query)) {
    const plain = names.get(id) ?? "";
    const key = plain.trim().toLowerCase();
    const number = (times.get(key) ?? 0) + 1;
    times.set(key, number);
    found.set(id, number === 1 ? plain : `${plain}#${number}`);
  }
  return found;
}

/** The graph to send: native, without places. */
export function toNative(query: Query): NativeGraph {
  return {
    objects: query.objects.map(({ id, name, attributes }) => ({
      id,
      name: name ?? "*",
      ...(attributes.length > 0 && { attributes }),
    })),
    relationships: query.relationships.map(({ subject, predicate, object }) => ({
      subject,
      predicate: predicate ?? "*",
      object,
    })),
  };
}

/** What decides the answer: two queries of one key, whatever their places, have one answer. */
export const keyOf = (query: Query): string => JSON.stringify([toNative(query), query.must, query.mustNot]);
