import { expect, it } from "vitest";
import { extentOf, fits } from "./size";

const photo = { width: 640, height: 480 };

it.each([
  [640, 480, true],
  [500, 300, true],
  [200, 400, true],
  [652, 480, true],
  [700, 480, false], // a smaller copy
  [300, 200, false], // a larger one
])("boxes up to %d, %d: %s", (width, height, expected) => expect(fits(photo, { width, height })).toBe(expected));

it("takes in all boxes", () => {
  expect(
    extentOf([
      { x: 1, y: 2, w: 3, h: 4 },
      { x: 0, y: 0, w: 9, h: 1 },
    ]),
  ).toEqual({ width: 9, height: 6 });
  expect(extentOf([])).toEqual({ width: 1, height: 1 });
});
