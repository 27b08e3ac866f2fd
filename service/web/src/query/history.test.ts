import { expect, it } from "vitest";
import { begin, type History, step } from "./history";

const change = (history: History<number>, to: number) => step(history, { kind: "change", to });

it("undoes and redoes in order", () => {
  let history = change(change(begin(0), 1), 2);
  history = step(step(history, { kind: "undo" }), { kind: "undo" });
  expect(history.present).toBe(0);
  expect(step(history, { kind: "undo" })).toBe(history);
  history = step(history, { kind: "redo" });
  expect([history.present, history.future]).toEqual([1, [2]]);
});

it("forgets what was undone when something else is done", () => {
  const history = change(step(change(begin(0), 1), { kind: "undo" }), 5);
  expect(step(history, { kind: "redo" }).present).toBe(5);
});

it("does not count a change to the same", () => {
  const history = begin(0);
  expect(change(history, 0)).toBe(history);
});

it("keeps the last hundred", () => {
  let history = begin(0);
  for (let to = 1; to <= 150; to += 1) history = change(history, to);
  expect([history.past.length, history.past[0]]).toEqual([100, 50]);
});
