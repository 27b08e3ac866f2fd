/** A reindex with its live progress; one that somebody else has begun is followed as well. */
import { useEffect, useState } from "react";
import { cancel, type Job, job, reindex, ServiceError } from "../api/client";

interface Props {
  readonly enabled: boolean;
  readonly onProblem: (error: unknown) => void;
  readonly onDone: () => void;
}

const EVERY = 400; // ms
const ended = (one: Job) => ["succeeded", "failed", "cancelled"].includes(one.state);
const STATES: Record<string, string> = {
  enqueued: "waiting to begin",
  running: "encoding the catalogue",
  succeeded: "done; searches use the new version",
  failed: "failed; the index is as it was",
  cancelled: "cancelled; the index is as it was",
};

export function Reindex({ enabled, onProblem, onDone }: Props) {
  const [current, setCurrent] = useState<Job | null>(null);

  // biome-ignore lint/correctness/useExhaustiveDependencies: one look after each
  useEffect(() => {
    if (!current || ended(current)) return;
    const timer = setTimeout(async () => {
      try {
        const next = await job(current.id);
        setCurrent(next);
        if (next.state === "succeeded") onDone();
      } catch {
        setCurrent({ ...current }); // looked for again: the job goes on without the page
      }
    }, EVERY);
    return () => clearTimeout(timer);
  }, [current]);

  const attempt = async (what: () => Promise<Job>) => {
    onProblem(null);
    try {
      setCurrent(await what());
    } catch (error) {
      const other = error instanceof ServiceError && error.kind === "reindex-running" ? error.location : null;
      if (other) setCurrent(await job(other.replace("/jobs/", "")).catch(() => null));
      else onProblem(error);
    }
  };
  const running = current !== null && !ended(current);
  const { done, total } = current?.progress ?? { done: 0, total: 0 };
  return (
    <section className="reindex" aria-label="Reindexing">
      <div className="row">
        <button type="button" className="primary" disabled={!enabled || running} onClick={() => attempt(reindex)}>
          Reindex
        </button>
        {running && (
          <button type="button" onClick={() => attempt(() => cancel(current.id))}>
            Cancel reindex
          </button>
        )}
        <span className="help" role="status">
          {current
            ? (STATES[current.state] ?? current.state)
            : "Encodes the whole catalogue anew, while searches go on."}
          {current?.error ? `: ${current.error}` : ""}
        </span>
      </div>
      {current && (
        <progress
          aria-label="Reindex progress"
          max={Math.max(total, 1)}
          value={current.state === "succeeded" ? Math.max(total, 1) : done}
        />
      )}
      {current && total > 0 && (
        <p className="help">
          {done.toLocaleString("en")} of {total.toLocaleString("en")} images
        </p>
      )}
    </section>
  );
}
