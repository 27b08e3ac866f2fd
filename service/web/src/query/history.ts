/** Undo and redo: what was, what is, what was undone. */

export interface History<T> {
  readonly past: readonly T[];
  readonly present: T;
  readonly future: readonly T[];
}

export type Step<T> =
  | { readonly kind: "change"; readonly to: T | ((present: T) => T) }
  | { readonly kind: "undo" }
  | { readonly kind: "redo" };

const MOST = 100;

export const begin = <T>(present: T): History<T> => ({ past: [], present, future: [] });

/** The history after a step. */
export function step<T>(history: History<T>, action: Step<T>): History<T> {
  const { past, present, future } = history;
  if (action.kind === "undo") {
    const last = past.at(-1);
    return last === undefined ? history : { past: past.slice(0, -1), present: last, future: [present, ...future] };
  }
  if (action.kind === "redo") {
    const [next, ...rest] = future;
    return next === undefined ? history : { past: [...past, present], present: next, future: rest };
  }
  const to = typeof action.to === "function" ? (action.to as (present: T) => T)(present) : action.to;
  if (to === present) return history;
  return { past: [...past, present].slice(-MOST), present: to, future: [] };
}
