/** Whether and how the service gives pictures that are files. */
import { picture, ServiceError } from "../api/client";

/** `plain`: to everybody, so to an `<img>`; `keyed`: only with a key, which an `<img>` cannot send. */
export type Way = "plain" | "keyed" | "none";

const TRIES = 3;

let misses = 0;
let found: Promise<Way> | null = null;

/** Found out with the picture of one image, once. Many services give none: that is found out with few requests. */
export function wayOf(id: string): Promise<Way> {
  if (misses >= TRIES) return Promise.resolve("none");
  found ??= find(id).then((way) => {
    if (way === "none") found = null;
    return way;
  });
  return found;
}

async function find(id: string): Promise<Way> {
  for (const [as, way] of [
    ["nobody", "plain"],
    ["search", "keyed"],
  ] as const) {
    try {
      await picture(id, { as });
      return way;
    } catch (error) {
      const { status, kind } = error instanceof ServiceError ? error : { status: 0, kind: "" };
      if (status === 404) misses += 1; // of a service that is busy or away nothing is known
      if (kind !== "key-required") return "none";
    }
  }
  return "none";
}
