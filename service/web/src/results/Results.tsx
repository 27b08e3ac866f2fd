/** The images found, best first; more come as somebody scrolls. */
import { useEffect, useRef } from "react";
import type { Result } from "../api/client";
import type { NativeGraph } from "../query/model";
import { Problem } from "../search/Problem";
import type { Search } from "../search/useSearch";
import { ResultCard } from "./ResultCard";

interface Props {
  readonly search: Search;
  readonly watched: string | null;
  /** Told with what the result is an answer to. */
  readonly onOpen: (result: Result, query: NativeGraph, browsing: boolean) => void;
}

export function Results({ search, watched, onOpen }: Props) {
  const { found, busy, problem, moreProblem, loadingMore, more } = search;
  const end = useRef<HTMLDivElement>(null);
  const browsing = found?.browsing ?? false;
  const canGoOn = found !== null && !found.complete && problem === null && moreProblem === null;

  useEffect(() => {
    const target = end.current;
    if (!target || !canGoOn || browsing) return;
    const watcher = new IntersectionObserver((entries) => entries.some((one) => one.isIntersecting) && more(), {
      rootMargin: "400px",
    });
    watcher.observe(target);
    return () => watcher.disconnect();
  }, [canGoOn, browsing, more]);

  if (found === null) return busy ? <Waiting /> : null;
  const query = found.answer.query as unknown as NativeGraph;
  return (
    <>
      <ul className={busy || problem ? "grid stale" : "grid"} aria-label="Results" aria-busy={busy}>
        {found.results.map((result) => (
          <ResultCard
            key={result.image_id}
            result={result}
            query={query}
            browsing={browsing}
            watched={result.image_id === watched}
            onOpen={onOpen}
          />
        ))}
      </ul>
      {moreProblem && <Problem problem={moreProblem} onRetry={more} />}
      {canGoOn && (
        <div className="more" ref={end}>
          <button type="button" onClick={more} disabled={loadingMore}>
            {loadingMore ? "Loading…" : "More results"}
          </button>
        </div>
      )}
    </>
  );
}

function Waiting() {
  return (
    <ul className="grid" aria-hidden="true">
      {[0, 1, 2, 3, 4, 5].map((row) => (
        <li className="card waiting" key={row} />
      ))}
    </ul>
  );
}
