/** Queries to begin with: of what the catalogue has. */
import { complete } from "../search/vocabulary";

const COMMON: readonly (readonly [string, string, string])[] = [
  ["dog", "on", "couch"],
  ["man", "riding", "horse"],
  ["woman", "holding", "umbrella"],
  ["boat", "on", "lake"],
  ["cat", "on", "bed"],
  ["person", "on", "bench"],
  ["boy", "holding", "kite"],
  ["surfer", "riding", "wave"],
  ["man", "wearing", "hat"],
  ["bird", "on", "branch"],
  ["plate", "on", "table"],
  ["clock", "on", "wall"],
  ["tree", "near", "building"],
  ["car", "on", "road"],
  ["sign", "on", "pole"],
];
const WANTED = 5;

/**
 * At least one where the catalogue has anything.
 *
 * Two relationships that share an object make the last one, so that people see that they may.
 */
export async function examples(): Promise<readonly string[]> {
  const [objects, predicates] = await Promise.all([complete("object", "", 100), complete("predicate", "", 100)]);
  const has = (list: typeof objects, name: string) => list.some((one) => one.name === name && one.images > 0);
  const found = COMMON.filter(([s, p, o]) => has(objects, s) && has(predicates, p) && has(objects, o));
  const lines = found.slice(0, WANTED).map((words) => words.join(" "));
  const chained = chain(found);
  if (chained) lines.push(chained);
  // A catalogue of something else: its most frequent things.
  for (const one of objects) if (lines.length < 4 && one.images > 0) lines.push(one.name);
  return lines;
}

function chain(found: typeof COMMON): string | null {
  for (const first of found) {
    const second = found.find((one) => one !== first && (one[0] === first[2] || one[0] === first[0]));
    if (second) return `${first.join(" ")}; ${second.join(" ")}`;
  }
  return null;
}
