/** What went wrong with a search, what to do about it, and when it is tried again. */
import { type FormEvent, useEffect, useState } from "react";
import type { ServiceError } from "../api/client";
import { keepKey, readKey } from "../api/keys";
import { forget } from "./vocabulary";

interface Props {
  readonly problem: ServiceError;
  readonly onRetry: () => void;
}

interface Advice {
  readonly title: string;
  readonly advice: string;
  /** Seconds after which the page tries again by itself. */
  readonly again?: number;
}

const ADVICE: Record<string, Advice> = {
  offline: {
    title: "The service cannot be reached",
    advice: "Is this device online, and does the service run? The page tries again by itself.",
    again: 5,
  },
  "no-index": {
    title: "There is nothing to search in yet",
    advice: "Whoever runs this service has to build the index first: “scenerank index build”, or Reindex under Admin.",
    again: 5,
  },
  "index-unusable": {
    title: "The index cannot be used",
    advice:
      "Whoever runs this service should look into its log, then reindex or go back to an older version, under Admin.",
    again: 30,
  },
  "database-unavailable": {
    title: "The catalogue cannot be reached",
    advice: "Its database does not answer. The page tries again by itself.",
    again: 5,
  },
  draining: { title: "The service is restarting", advice: "The page tries again in a moment.", again: 5 },
  overloaded: {
    title: "Many people are searching",
    advice: "The service is busy. The page tries again in a moment.",
    again: 2,
  },
  "deadline-exceeded": {
    title: "That took too long",
    advice: "The service is busy, or the scene is very large.",
    again: 5,
  },
  "rate-limited": {
    title: "That was too fast",
    advice: "This service answers a limited number of searches a second. The page tries again in a moment.",
    again: 2,
  },
  "key-required": {
    title: "This service asks for a key",
    advice: "Enter the search key that you were given. It stays in this tab only.",
  },
  "too-large": { title: "That scene is too large", advice: "Remove some of its objects, and try again." },
};

export function Problem({ problem, onRetry }: Props) {
  const known = ADVICE[problem.kind];
  const wait = known?.again === undefined ? null : Math.max(problem.retryAfter ?? known.again, 1);
  const asksKey = problem.kind === "key-required";
  const refused = asksKey && readKey("search") !== null;
  return (
    <div className="problem" role="alert">
      <h2>{refused ? "That key is not accepted" : (known?.title ?? problem.title)}</h2>
      <p>{known?.advice ?? `${problem.message}.`}</p>
      {asksKey ? (
        <KeyForm onRetry={onRetry} />
      ) : (
        <p className="row">
          <button type="button" onClick={onRetry}>
            Try again
          </button>
          {wait !== null && <Countdown key={`${wait}`} seconds={wait} problem={problem} onEnd={onRetry} />}
        </p>
      )}
    </div>
  );
}

function KeyForm({ onRetry }: { readonly onRetry: () => void }) {
  const [key, setKey] = useState("");
  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    keepKey("search", key.trim());
    forget();
    onRetry();
  };
  return (
    <form className="row" onSubmit={onSubmit}>
      <input
        type="password"
        aria-label="Search key"
        autoComplete="off"
        value={key}
        onChange={(event) => setKey(event.target.value)}
      />
      <button type="submit" className="primary" disabled={key.trim() === ""}>
        Use key
      </button>
    </form>
  );
}

interface CountdownProps {
  readonly seconds: number;
  readonly problem: ServiceError;
  readonly onEnd: () => void;
}

/** Begins anew with each problem. */
function Countdown({ seconds, problem, onEnd }: CountdownProps) {
  const [left, setLeft] = useState(seconds);
  // biome-ignore lint/correctness/useExhaustiveDependencies: one countdown for each failure
  useEffect(() => {
    const until = Date.now() + seconds * 1000;
    setLeft(seconds);
    const timer = setInterval(() => {
      const rest = Math.ceil((until - Date.now()) / 1000);
      setLeft(Math.max(rest, 0));
      if (rest <= 0) {
        clearInterval(timer);
        onEnd();
      }
    }, 250);
    window.addEventListener("online", onEnd);
    return () => {
      clearInterval(timer);
      window.removeEventListener("online", onEnd);
    };
  }, [problem]);
  return (
    <span className="help" aria-hidden="true">
      {left > 0 ? `again in ${left} s` : "trying…"}
    </span>
  );
}
