import { expect, it } from "vitest";
import { place } from "./labels";

const box = (x: number, y: number, w = 80, h = 60) => ({ x, y, w, h });
const wanted = (text: string, of = box(10, 10), must = true) => ({ text, colour: "colour-0", of, must });

it("sets labels clear of each other and within the picture", () => {
  const labels = place([wanted("dog"), wanted("couch", box(12, 12)), wanted("lamp", box(390, 290))], 400, 300, 1);
  expect(labels).toHaveLength(3);
  for (const one of labels) {
    expect(one.x).toBeGreaterThanOrEqual(0);
    expect(one.x + one.w).toBeLessThanOrEqual(400);
    expect(one.y + one.h).toBeLessThanOrEqual(300);
    for (const other of labels) {
      const apart =
        one.x + one.w <= other.x ||
        other.x + other.w <= one.x ||
        one.y + one.h <= other.y ||
        other.y + other.h <= one.y;
      expect(one === other || apart).toBe(true);
    }
  }
});

it("leaves out what has no room, unless it must be there", () => {
  const many = Array.from({ length: 30 }, (_, row) => wanted(`thing ${row}`, box(0, 0, 10, 10), row === 29));
  const labels = place(many, 100, 40, 1);
  expect(labels.length).toBeLessThan(30);
  expect(labels.at(-1)?.text).toBe("thing 29");
});
