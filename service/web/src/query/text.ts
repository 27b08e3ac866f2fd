/**
 * A query as one line of the query language; the service reads it back (model/query_language.py has the grammar).
 *
 * The service splits a clause at the longest known predicate and takes the longest known name for a thing's, so what
 * may stand plainly depends on what it knows. What is not known to be read rightly is quoted, which always is.
 */
import { type Condition, mentioned, type Query, type QueryObject } from "./model";

/** Whether the service knows a name or a predicate; undefined as long as nobody has asked it. */
export type Known = (kind: "object" | "predicate", text: string) => boolean | undefined;

const PLAIN = /^[^\s;"[\]#]+$/;
const same = (name: string | null): string | null =>
  name === null ? null : name.trim().toLowerCase().replace(/\s+/g, " ");

/** The query as text: relationships, then objects with attributes or without relationships, then what is excluded. */
export function writeQuery(query: Query, known: Known): string {
  const related = query.relationships.flatMap((one) => [one.subject, one.object]);
  const order = mentioned(query);
  const objects = new Map(query.objects.map((one) => [one.id, one]));
  const alone = order
    .map((id) => objects.get(id))
    .filter((one) => one !== undefined)
    .filter((one) => one.attributes.length > 0 || !related.includes(one.id));
  const marks = numbers(order, [...related, ...alone.map((one) => one.id)], objects);
  const thing = (id: string, attributes: readonly string[] = []) =>
    writeThing(objects.get(id)?.name ?? null, attributes, marks.get(id) ?? "", known);

  const clauses = [
    ...query.relationships.map((one) =>
      [thing(one.subject), writePredicate(one.predicate, known), thing(one.object)].join(" "),
    ),
    ...alone.map((one) => thing(one.id, one.attributes)),
  ].map((clause) => (/^not(?=[\s#]|$)/i.test(clause) ? quoteFirst(clause) : clause));
  const excluded = query.mustNot.map((one) => `not ${writeCondition(one, known)}`);
  return [...clauses, ...excluded].join("; ");
}

/** What a filter says, as a clause without its `not`. */
export function writeCondition(condition: Condition, known: Known): string {
  if (condition.triple) {
    const [subject, predicate, object] = condition.triple;
    return [
      writeThing(subject, [], "", known),
      writePredicate(predicate, known),
      writeThing(object, [], "", known),
    ].join(" ");
  }
  if (condition.attribute) {
    const [name, attribute] = condition.attribute;
    return writeThing(name, attribute === null ? [] : [attribute], "", known);
  }
  return writeThing(condition.object ?? null, [], "", known);
}

/** `#2` for the second object of a name in the order of their mention; a wildcard is marked if mentioned twice. */
function numbers(
  order: readonly string[],
  mentions: readonly string[],
  objects: ReadonlyMap<string, QueryObject>,
): ReadonlyMap<string, string> {
  const taken = new Map<string | null, number>();
  const marks = new Map<string, string>();
  for (const id of order) {
    const name = objects.get(id)?.name ?? null;
    if (name === null && mentions.filter((one) => one === id).length === 1) continue;
    const number = (taken.get(same(name)) ?? 0) + 1;
    taken.set(same(name), number);
    if (number > 1 || name === null) marks.set(id, `#${number}`);
  }
  return marks;
}

function writeThing(name: string | null, attributes: readonly string[], mark: string, known: Known): string {
  const words = splits(attributes, known) ? attributes.map((one) => JSON.stringify(one)) : attributes.map(writeWord);
  if (name === null) return [...words, `*${mark}`].join(" ");
  // "hot" before "dog" would be read as the name "hot dog" if there is one.
  const merges = attributes.some((_, at) => known("object", [...attributes.slice(at), name].join(" ")) !== false);
  const plain = name.includes(" ")
    ? isPlainPhrase(name) && known("object", name) === true
    : PLAIN.test(name) && name !== "*";
  return [...words, (plain && !merges ? name : JSON.stringify(name)) + mark].join(" ");
}

/** Whether attributes could be read as a predicate: those between the first, a thing then, and the name. */
function splits([, ...inner]: readonly string[], known: Known): boolean {
  return inner.some((_, from) =>
    inner.slice(from).some((_, length) => known("predicate", inner.slice(from, from + length + 1).join(" ")) !== false),
  );
}

const ARTICLES: readonly string[] = ["a", "an", "the"]; // the service leaves them out

const writeWord = (word: string): string =>
  PLAIN.test(word) && word !== "*" && !ARTICLES.includes(word.toLowerCase()) ? word : JSON.stringify(word);

function writePredicate(predicate: string | null, known: Known): string {
  if (predicate === null) return "*";
  if (isPlainPhrase(predicate) && known("predicate", predicate) === true) return predicate;
  return /^[^\s"[\];*](?:[^"[\]]*[^\s"[\]])?$/.test(predicate) ? `[${predicate}]` : `[${JSON.stringify(predicate)}]`;
}

const isPlainPhrase = (text: string): boolean =>
  text === text.trim() && text.split(" ").every((word) => PLAIN.test(word) && word !== "*");

/** A clause that begins with a thing called "not" must not be read as an exclusion. */
const quoteFirst = (clause: string): string => clause.replace(/^not/i, (word) => JSON.stringify(word));
