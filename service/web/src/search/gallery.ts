/** Pictures to begin with, of many kinds: the best of each example in turn. */
import { batch, type Result, type SearchResponse, search } from "../api/client";
import { examples } from "../query/examples";
import { PAGE } from "./useSearch";

/** What an empty query is answered with; where there are no examples, whatever is most like anything. */
export async function gallery(signal: AbortSignal): Promise<SearchResponse> {
  const texts = await examples().catch(() => []);
  const answers = texts.length > 1 ? await batch(texts.map(queryOf), signal) : [];
  const found = answers.filter((one) => "results" in one);
  const [first] = found;
  if (first === undefined) return search({ graph: { objects: ["*"] }, with_graph: true, limit: PAGE }, signal);
  return { ...first, results: inTurn(found.map((one) => one.results)).slice(0, PAGE), warnings: [] };
}

const queryOf = (text: string) => ({ text, with_graph: true, limit: 5 });

/** The first of each list, then the second of each; no image twice. */
function inTurn(lists: readonly (readonly Result[])[]): Result[] {
  const longest = Math.max(...lists.map((one) => one.length));
  const all = Array.from({ length: longest }, (_, row) => lists.flatMap((one) => one[row] ?? [])).flat();
  return [...new Map(all.map((one) => [one.image_id, one])).values()];
}
