/** Keys that somebody has entered: kept as long as the browser's tab, never in an address. */

export type KeyKind = "search" | "admin";

const place = (kind: KeyKind) => `scenerank.${kind}-key`;

export function readKey(kind: KeyKind): string | null {
  return sessionStorage.getItem(place(kind));
}

export function keepKey(kind: KeyKind, key: string | null): void {
  if (key === null || key === "") sessionStorage.removeItem(place(kind));
  else sessionStorage.setItem(place(kind), key);
}
