/** Where labels go on a picture: clear of each other, within it; those without room are left out. */
import type { Box } from "./matches";

export interface Wanted {
  readonly text: string;
  /** Class of its colour. */
  readonly colour: string;
  /** What it is the label of; a box of no size is a point, which the label is centred on. */
  readonly of: Box;
  /** Shown even over another. */
  readonly must: boolean;
}

export interface Label extends Box {
  readonly text: string;
  readonly colour: string;
}

/**
 * @param unit size of a pixel on the screen, in the picture's own.
 */
export function place(wanted: readonly Wanted[], width: number, height: number, unit: number): readonly Label[] {
  const taken: Label[] = [];
  for (const { text, colour, of, must } of wanted) {
    const [w, h] = [(text.length * 7.8 + 10) * unit, 17 * unit];
    const spots = spotsOf(of, w, h).map(([x, y]) => ({
      x: Math.min(Math.max(x, 0), Math.max(0, width - w)),
      y: Math.min(Math.max(y, 0), Math.max(0, height - h)),
      w,
      h,
    }));
    const clear = spots.filter((spot) => !taken.some((other) => meet(spot, other)));
    const free = clear.find((spot) => !wanted.some((other) => other.of !== of && other.must && hides(spot, other.of)));
    const spot = free ?? clear[0] ?? (must ? spots[0] : undefined);
    if (spot) taken.push({ ...spot, text, colour });
  }
  return taken;
}

/** Corners of the label from the best place on: above the box, below it, within it; around a point. */
function spotsOf({ x, y, w, h }: Box, wide: number, tall: number): (readonly [number, number])[] {
  const [right, bottom, middle] = [x + w - wide, y + h - tall, x + (w - wide) / 2];
  if (w === 0 && h === 0) {
    const [left, top] = [x - wide / 2, y - tall / 2];
    const [by, down] = [wide * 0.8, tall * 1.15];
    return [
      [left, top],
      [left, top - down],
      [left, top + down],
      [left + by, top],
      [left - by, top],
    ];
  }
  return [
    [x, y],
    [x, y - tall],
    [right, y],
    [right, y - tall],
    [x, bottom],
    [right, bottom],
    [x, y + h],
    [middle, y + h],
  ];
}

/** Whether a label would lie on a box that is not much larger: one would not see what is in it. */
const hides = (label: Box, box: Box): boolean => box.w * box.h < 30 * label.w * label.h && meet(label, box);

const meet = (a: Box, b: Box): boolean => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
