/** Where one image stands in the ranking, from search to search. */
import { useEffect, useState } from "react";
import { search } from "../api/client";
import type { Found, Request } from "./useSearch";

const DEEPEST = 1000;

export interface Watch {
  readonly imageId: string;
  /** null: further down than the page looks. */
  readonly before: number | null | undefined;
  readonly now: number | null | undefined;
}

/**
 * @param imageId the image to watch; null for none.
 * @returns its rank in the search before and now; undefined where that is not known yet.
 */
export function useWatch(imageId: string | null, found: Found | null, request: Request): Watch | null {
  const [watch, setWatch] = useState<Watch | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: once for each answer
  useEffect(() => {
    if (imageId === null || found === null || found.key !== request.key) {
      if (imageId === null) setWatch(null);
      return;
    }
    const stop = new AbortController();
    const put = (rank: number | null | undefined) =>
      setWatch((old) => ({ imageId, before: old?.imageId === imageId ? old.now : undefined, now: rank }));
    const seen = found.results.find((one) => one.image_id === imageId);
    if (seen) put(seen.rank);
    else {
      const body = {
        ...request.body,
        limit: Math.min(DEEPEST, request.most),
        offset: 0,
        explain: false,
        with_graph: false,
      };
      search(body, stop.signal).then(
        (answer) => put(answer.results.find((one) => one.image_id === imageId)?.rank ?? null),
        () => stop.signal.aborted || put(undefined), // the ranking itself tells what is wrong
      );
    }
    return () => stop.abort();
  }, [imageId, found?.answer]);
  return watch;
}
