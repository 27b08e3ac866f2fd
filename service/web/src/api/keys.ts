/** Keys that somebody has entered: kept as long as the browser's tab, never in an address. */
import { storage } from "../parts/storage";

export type KeyKind = "search" | "admin";

const kept = storage("sessionStorage");
const place = (kind: KeyKind) => `scenerank.${kind}-key`;

export function readKey(kind: KeyKind): string | null {
  return kept.getItem(place(kind));
}

export function keepKey(kind: KeyKind, key: string | null): void {
  if (key === null || key === "") kept.removeItem(place(kind));
  else kept.setItem(place(kind), key);
}
