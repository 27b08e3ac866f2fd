/** What somebody pastes or drops: a graph in any form that the service reads, a whole request, or a line of text. */
import { type SearchRequest, search } from "../api/client";
import { readConditions } from "./link";
import type { Condition, NativeGraph } from "./model";

export interface Pasted {
  readonly graph: NativeGraph;
  readonly must: readonly Condition[];
  readonly mustNot: readonly Condition[];
}

const REQUEST_FIELDS = ["graph", "text", "image_id"] as const;

/** The request that a text is; the service says whether it can be read. Throws an Error with what to do. */
export function requestOf(text: string): SearchRequest {
  const trimmed = text.trim();
  if (trimmed === "") throw new Error("Paste a scene graph as JSON, or a line such as “dog on couch”.");
  if (!/^[[{]/.test(trimmed)) return { text: trimmed };
  let value: unknown;
  try {
    value = JSON.parse(trimmed);
  } catch (error) {
    throw new Error(`This is not JSON: ${error instanceof Error ? error.message : error}.`);
  }
  const single = Array.isArray(value) && value.length === 1 ? value[0] : value; // a file with one image
  if (typeof single !== "object" || single === null || Array.isArray(single))
    throw new Error("One graph at a time: a JSON object with its objects and relationships.");
  const fields = single as Record<string, unknown>;
  const asked = REQUEST_FIELDS.find((field) => field in fields && !("objects" in fields));
  if (asked === undefined) return { graph: fields };
  const { filter, format } = fields as SearchRequest;
  return { [asked]: fields[asked], ...(filter && { filter }), ...(format && { format }) } as SearchRequest;
}

/** The graph and the filters that a text means, as the service reads it. */
export async function read(text: string, signal: AbortSignal): Promise<Pasted> {
  const answer = await search({ ...requestOf(text), limit: 1 }, signal);
  const filter = (answer.filter ?? {}) as { must?: unknown[]; must_not?: unknown[] };
  return {
    graph: answer.query as unknown as NativeGraph,
    must: readConditions(filter.must ?? []),
    mustNot: readConditions(filter.must_not ?? []),
  };
}
