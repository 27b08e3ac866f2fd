/** Names to complete, and which of them the service knows; each is asked for once. */
import { useSyncExternalStore } from "react";
import { type NameKind, names, type VocabularyName } from "../api/client";
import type { Known } from "../query/text";

const MANY = 100;

const lists = new Map<string, Promise<readonly VocabularyName[]>>();
const facts = new Map<string, boolean>();
const asked = new Set<string>();
const listeners = new Set<() => void>();
let known: Known = makeKnown();

const plain = (text: string): string => text.trim().toLowerCase().replace(/\s+/g, " ");

/** Names that begin with a prefix, the most frequent first. */
export function complete(kind: NameKind, prefix: string, limit = 8): Promise<readonly VocabularyName[]> {
  const key = `${kind} ${limit} ${plain(prefix)}`;
  const found = lists.get(key);
  if (found) return found;
  const list = names(kind, plain(prefix), limit);
  lists.set(key, list);
  list.catch(() => lists.get(key) === list && lists.delete(key)); // asked again when it may be there
  return list;
}

/** Which names the service knows, as far as it has been asked; what is asked here for the first time is found out. */
export function useKnown(): Known {
  return useSyncExternalStore(subscribe, () => known);
}

/** After this everything is asked anew: the catalogue or the key has changed. What was known counts until it is. */
export function forget(): void {
  lists.clear();
  asked.clear();
  renew();
}

function renew(): void {
  known = makeKnown();
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function makeKnown(): Known {
  return (kind, text) => {
    const key = `${kind} ${plain(text)}`;
    if (!asked.has(key)) {
      asked.add(key);
      // Not while somebody renders.
      queueMicrotask(() => void learn(kind, text, key));
    }
    return facts.get(key);
  };
}

async function learn(kind: "object" | "predicate", text: string, key: string): Promise<void> {
  const list = await complete(kind, text, MANY).catch(() => null);
  if (list === null) {
    asked.delete(key);
    return;
  }
  facts.set(
    key,
    list.some((one) => one.known && plain(one.name) === plain(text)),
  );
  renew();
}
