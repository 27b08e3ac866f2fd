import { expect, it } from "vitest";
import { drawn, places } from "./layout";
import type { NativeGraph } from "./model";

const graph: NativeGraph = {
  objects: ["man", "horse", "beach"].map((name) => ({ id: name, name })),
  relationships: [
    { subject: "man", predicate: "riding", object: "horse" },
    { subject: "horse", predicate: "on", object: "beach" },
  ],
};

it("lets arrows run down", () => {
  const found = places(graph);
  const rows = ["man", "horse", "beach"].map((id) => found.get(id)?.y ?? -1);
  expect(rows).toEqual([...rows].sort((a, b) => a - b));
  expect(new Set(rows).size).toBe(3);
});

it("puts an object below the middle of those that point at it", () => {
  const found = places({
    objects: ["dog", "cat", "bird", "bed"].map((name) => ({ id: name, name })),
    relationships: ["dog", "cat"].map((subject) => ({ subject, predicate: "on", object: "bed" })),
  });
  expect(found.get("bed")?.x).toBe(((found.get("dog")?.x ?? 0) + (found.get("cat")?.x ?? 0)) / 2);
});

it("ends with cycles and loops, and no two objects share a place", () => {
  const ids = Array.from({ length: 40 }, (_, row) => `${row}`);
  const ring: NativeGraph = {
    objects: ids.map((id) => ({ id, name: "x" })),
    relationships: ids.map((id, row) => ({ subject: id, predicate: "on", object: ids[(row + 1) % 40] ?? "0" })),
  };
  expect(new Set([...places(ring).values()].map((one) => `${one.x} ${one.y}`)).size).toBe(40);
});

it("keeps ids and places of what was drawn", () => {
  const before = drawn(graph);
  const moved = before.objects.map((one) => ({ ...one, x: one.x + 500 }));
  const after = drawn({ ...graph, objects: [...graph.objects, { id: "dog", name: "dog" }] }, moved);
  expect(after.objects.slice(0, 3)).toEqual(moved);
  expect(after.objects[3]?.id).toBe("o4");
});

it("takes a star for anything", () => {
  const found = drawn({
    objects: [{ id: "a", name: "*" }],
    relationships: [{ subject: "a", predicate: "*", object: "a" }],
  });
  expect([found.objects[0]?.name, found.relationships[0]?.predicate]).toEqual([null, null]);
});
