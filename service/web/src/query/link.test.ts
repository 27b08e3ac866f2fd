import { expect, it } from "vitest";
import { readLink, writeLink } from "./link";
import { EMPTY, type Query } from "./model";

const object = (id: string, name: string) => ({ id, name, attributes: [], x: 0, y: 0 });
const query: Query = { ...EMPTY, objects: [object("o1", "dog & cat")], must: [{ triple: ["man", "riding", null] }] };

it("carries text, filters and order", () => {
  const hash = writeLink(query, '"dog & cat"; not 100% #1', true);
  expect(readLink(hash)).toEqual({ text: '"dog & cat"; not 100% #1', must: query.must, mustNot: [], byMatches: true });
});

it("carries the graph where the text is long", () => {
  const hash = writeLink({ ...query, mustNot: [{ object: "car" }] }, "x".repeat(2000), false);
  const link = readLink(hash);
  expect(link?.graph?.objects).toEqual([{ id: "o1", name: "dog & cat" }]);
  expect(link?.mustNot).toEqual([{ object: "car" }]);
});

it("is nothing for an empty query", () => {
  expect(writeLink(EMPTY, "", false)).toBe("");
  expect(readLink("")).toBeNull();
});

it.each(["#g={", "#must=1", "#must=[{}]", "#g=[]", '#must=[{"triple":["a"]}]', "#q=%20", "#%E0%A4%A"])(
  "leaves out what it cannot read: %s",
  (hash) => expect(readLink(hash)).toBeNull(),
);

it.each([
  [null],
  ["dog"],
  [{ id: "a" }],
  [{ id: 1, name: "dog" }],
  [{ id: "a", name: "dog", attributes: "tall" }],
  [{ id: "a", name: "dog", attributes: [null] }],
])("leaves out a graph with such an object: %j", (object) => {
  expect(readLink(`#g=${JSON.stringify({ objects: [object] })}`)).toBeNull();
});

it.each([[7], [[null]], [[{ subject: "a", predicate: "on" }]], [[{ subject: "a", predicate: 1, object: "a" }]]])(
  "leaves out a graph with such relationships: %j",
  (relationships) => {
    const objects = [{ id: "a", name: "dog" }];
    expect(readLink(`#g=${JSON.stringify({ objects, relationships })}`)).toBeNull();
    expect(readLink(`#g=${JSON.stringify({ objects })}`)?.graph).toEqual({ objects });
  },
);

it("reads a link written by hand", () => {
  expect(readLink("#q=dog on couch")).toMatchObject({ text: "dog on couch" });
  expect(readLink("#q=dog+on+couch")).toMatchObject({ text: "dog on couch" });
});
