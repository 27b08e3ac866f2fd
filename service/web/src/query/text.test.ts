import { describe, expect, it } from "vitest";
import { type Condition, EMPTY, labels, type Query } from "./model";
import { type Known, writeCondition, writeQuery } from "./text";

const OBJECTS = ["man", "horse", "beach", "car", "traffic light", "light", "hot dog", "dog"];
const PREDICATES = ["riding", "on", "on top of", "next to", "of"];
const known: Known = (kind, text) => (kind === "object" ? OBJECTS : PREDICATES).includes(text.toLowerCase());

/** A query from `[name, ...attributes]` for each object and `[subject, predicate, object]` by their places. */
function scene(
  objects: [string | null, ...string[]][],
  edges: [number, string | null, number][] = [],
  mustNot: Condition[] = [],
): Query {
  return {
    ...EMPTY,
    objects: objects.map(([name, ...attributes], row) => ({ id: `o${row}`, name, attributes, x: 0, y: 0 })),
    relationships: edges.map(([subject, predicate, object], row) => ({
      id: `r${row}`,
      subject: `o${subject}`,
      predicate,
      object: `o${object}`,
    })),
    mustNot,
  };
}

describe("writeQuery", () => {
  it.each<[string, Query]>(
    [
      [
        "man riding horse; horse on beach; tall man",
        scene(
          [["man", "tall"], ["horse"], ["beach"]],
          [
            [0, "riding", 1],
            [1, "on", 2],
          ],
        ),
      ],
      ["Man ON TOP OF car", scene([["Man"], ["car"]], [[0, "ON TOP OF", 1]])],
      ["man next to man#2", scene([["man"], ["man"]], [[0, "next to", 1]])],
      ["red traffic light", scene([["traffic light", "red"]])],
      ["big red guys", scene([["guys", "big", "red"]])],
      ["hot dog on beach", scene([["hot dog"], ["beach"]], [[0, "on", 1]])],
      ['hot "dog"', scene([["dog", "hot"]])],
      [
        "* on beach; * on car",
        scene(
          [[null], ["beach"], [null], ["car"]],
          [
            [0, "on", 1],
            [2, "on", 3],
          ],
        ),
      ],
      ["*#1 on *#1", scene([[null]], [[0, "on", 0]])],
      ["man * horse", scene([["man"], ["horse"]], [[0, null, 1]])],
      ["* * *", scene([[null], [null]], [[0, null, 1]])],
      ["man [feeds] zebra", scene([["man"], ["zebra"]], [[0, "feeds", 1]])],
      ['man [looking up at] "hot air balloon"', scene([["man"], ["hot air balloon"]], [[0, "looking up at", 1]])],
      ["on", scene([["on"]])],
      ['"not"', scene([["not"]])],
      ['"not" on beach', scene([["not"], ["beach"]], [[0, "on", 1]])],
      ['"a;b"; "*"', scene([["a;b"], ["*"]])],
      ["on man", scene([["man", "on"]])],
      ['"big" "on" man', scene([["man", "big", "on"]])],
      ['"big" "next" "to" man', scene([["man", "big", "next", "to"]])],
      ['"the" man', scene([["man", "the"]])],
      ["man; horse", scene([["man"], ["horse"]])],
      ["horse on beach; man", scene([["man"], ["horse"], ["beach"]], [[1, "on", 2]])],
      ["old man#2; man", scene([["man", "old"], ["man"]]) /* marks go by mention */],
    ].map(
      ([text, query]) => (text === "old man#2; man" ? ["old man; man#2", query] : [text, query]) as [string, Query],
    ),
  )("%s", (text, query) => expect(writeQuery(query, known)).toBe(text));

  it("ends with what is excluded", () => {
    const excluded: Condition[] = [
      { object: "car" },
      { triple: ["man", "riding", null] },
      { attribute: ["horse", "white"] },
    ];
    expect(writeQuery(scene([["man"]], [], excluded), known)).toBe("man; not car; not man riding *; not white horse");
  });

  it("quotes what nobody has asked the service about yet", () => {
    const query = scene([["traffic light"], ["dog", "hot"]], [[0, "on", 1]]);
    expect(writeQuery(query, () => undefined)).toBe('"traffic light" [on] dog; hot "dog"');
  });

  it("numbers objects as the drawing does", () => {
    const query = scene([["man"], ["man"], ["horse"]], [[1, "riding", 2]]);
    expect(writeQuery(query, known)).toBe("man riding horse; man#2");
    expect([labels(query).get("o1"), labels(query).get("o0")]).toEqual(["man", "man#2"]);
  });

  it("is empty for nothing", () => expect(writeQuery(EMPTY, known)).toBe(""));
});

describe("writeCondition", () => {
  it.each<[string, Condition]>([
    ["car", { object: "car" }],
    ["white *", { attribute: [null, "white"] }],
    ["man * horse", { triple: ["man", null, "horse"] }],
  ])("%s", (text, condition) => expect(writeCondition(condition, known)).toBe(text));
});
