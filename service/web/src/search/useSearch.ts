/** Asks the service whenever the request changes: a little later, once, and never shows a stale answer. */
import { useCallback, useEffect, useRef, useState } from "react";
import { type Result, type SearchRequest, type SearchResponse, ServiceError, search } from "../api/client";
import { gallery } from "./gallery";

export interface Request {
  /** Equal keys have equal answers. */
  readonly key: string;
  readonly body: SearchRequest;
  /** The last result there may be, where the service sets a limit. */
  readonly most: number;
  /** Whether nothing is asked for, and the answer is any images. */
  readonly browsing: boolean;
}

export interface Found {
  readonly key: string;
  /** The first page's answer. */
  readonly answer: SearchResponse;
  readonly results: readonly Result[];
  readonly complete: boolean;
  readonly browsing: boolean;
}

export interface Search {
  readonly found: Found | null;
  readonly problem: ServiceError | null;
  /** Why the next page did not come. */
  readonly moreProblem: ServiceError | null;
  readonly busy: boolean;
  readonly loadingMore: boolean;
  /** The catalogue changed between two pages, so the results were loaded anew. */
  readonly renewed: boolean;
  readonly more: () => void;
  readonly again: () => void;
}

export const PAGE = 24;
const PAUSE = 250; // ms

/**
 * @param onAnswer told of each first page; what it returns is another key that the answer is good for.
 */
export function useSearch(
  request: Request,
  onAnswer: (request: Request, answer: SearchResponse) => string | null,
): Search {
  const [found, setFound] = useState<Found | null>(null);
  const [problem, setProblem] = useState<ServiceError | null>(null);
  const [moreProblem, setMoreProblem] = useState<ServiceError | null>(null);
  const [busy, setBusy] = useState(true);
  const [loadingMore, setLoadingMore] = useState(false);
  const [renewed, setRenewed] = useState(false);
  const [attempt, setAttempt] = useState(0);
  const done = useRef<string | null>(null);
  const latest = useRef({ request, onAnswer });
  latest.current = { request, onAnswer };
  const pages = useRef<AbortController | null>(null);

  // biome-ignore lint/correctness/useExhaustiveDependencies: the key stands for the request
  useEffect(() => {
    if (done.current === request.key) {
      setProblem(null); // it was that of another query
      setBusy(false);
      return;
    }
    const stop = new AbortController();
    pages.current?.abort();
    setLoadingMore(false);
    setMoreProblem(null);
    setBusy(true);
    const first = done.current === null;
    const timer = setTimeout(
      async () => {
        try {
          const body = { ...request.body, limit: PAGE, offset: 0 };
          const answer = await (request.browsing && !body.filter ? gallery(stop.signal) : search(body, stop.signal));
          if (stop.signal.aborted) return;
          const key = latest.current.onAnswer(request, answer) ?? request.key;
          done.current = key;
          setFound({
            browsing: request.browsing,
            key,
            answer,
            results: answer.results,
            complete: request.browsing || isComplete(answer.results, answer, request.most),
          });
          setProblem(null);
          setRenewed(false);
        } catch (error) {
          if (stop.signal.aborted) return;
          setProblem(asServiceError(error));
        }
        setBusy(false);
      },
      first ? 0 : PAUSE,
    );
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [request.key, attempt]);

  const more = useCallback(async () => {
    const { request } = latest.current;
    if (!found || found.key !== request.key || found.complete || loadingMore || busy) return;
    const stop = new AbortController();
    pages.current = stop;
    setLoadingMore(true);
    try {
      const offset = found.results.length;
      const limit = Math.min(PAGE, request.most - offset);
      const page = await search({ ...request.body, limit, offset }, stop.signal);
      if (stop.signal.aborted) return;
      if (page.index_version !== found.answer.index_version) {
        done.current = null;
        setRenewed(true);
        const answer = await search({ ...request.body, limit: PAGE, offset: 0 }, stop.signal);
        if (stop.signal.aborted) return;
        done.current = found.key;
        setFound({
          ...found,
          answer,
          results: answer.results,
          complete: isComplete(answer.results, answer, request.most),
        });
      } else {
        const results = [...found.results, ...page.results];
        const complete = page.results.length === 0 || isComplete(results, page, request.most);
        setFound({ ...found, results, complete });
      }
      setMoreProblem(null);
    } catch (error) {
      if (!stop.signal.aborted) setMoreProblem(asServiceError(error));
    }
    setLoadingMore(false);
  }, [found, loadingMore, busy]);

  const again = useCallback(() => {
    done.current = null;
    setAttempt((count) => count + 1);
  }, []);

  return { found, problem, moreProblem, busy, loadingMore, renewed, more, again };
}

const isComplete = (results: readonly Result[], answer: SearchResponse, most: number): boolean =>
  results.length >= Math.min(answer.total, most);

function asServiceError(error: unknown): ServiceError {
  if (error instanceof ServiceError) return error;
  return new ServiceError(0, "unexpected", "Something went wrong on this page", String(error));
}
