import { expect, it } from "vitest";
import { requestOf } from "./paste";

it("takes a line for text", () => expect(requestOf(" dog on couch\n")).toEqual({ text: "dog on couch" }));

it.each<[string, object]>([
  ["native", { objects: [{ id: "d", name: "dog" }] }],
  ["sg2im", { objects: ["man", "horse"], relationships: [[0, "riding", 1]] }],
  [
    "Visual Genome",
    { image_id: 1, objects: [{ object_id: 7, names: ["man"], x: 1, y: 2, w: 3, h: 4 }], relationships: [] },
  ],
  ["GQA", { width: 5, height: 6, objects: { "7": { name: "man", relations: [] } } }],
])("takes a graph in %s form as it is", (_, graph) => expect(requestOf(JSON.stringify(graph))).toEqual({ graph }));

it("takes the only graph of a list", () =>
  expect(requestOf('[{"objects":["dog"]}]')).toEqual({ graph: { objects: ["dog"] } }));

it("takes a request, without what is the page's own", () =>
  expect(requestOf('{"text":"dog","limit":3,"filter":{"must_not":[{"object":"car"}]}}')).toEqual({
    text: "dog",
    filter: { must_not: [{ object: "car" }] },
  }));

it.each(["", "  ", "{", "[1]", "[]", '[{"objects":[]},{"objects":[]}]'])("says what is wrong with %j", (text) =>
  expect(() => requestOf(text)).toThrow(Error),
);
