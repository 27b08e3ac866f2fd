/** What the results are, how many, in which order; and how a watched image's rank moves. */
import { isBlank } from "../query/model";
import type { QueryState } from "../query/useQuery";
import type { Search } from "../search/useSearch";
import type { Watch } from "../search/useWatch";

interface Props {
  readonly state: QueryState;
  readonly search: Search;
  readonly watch: Watch | null;
  readonly onUnwatch: () => void;
}

export function ResultsHead({ state, search, watch, onUnwatch }: Props) {
  return (
    <div className="results-head">
      <h2 id="results-title" tabIndex={-1}>
        Results
      </h2>
      <p role="status" className="status">
        {say(state, search)}
      </p>
      <label className="order">
        <span>Order</span>
        <select
          value={state.byMatches ? "matches" : "likeness"}
          onChange={(event) => state.setByMatches(event.target.value === "matches")}
        >
          <option value="likeness">most alike</option>
          <option value="matches">most of it there</option>
        </select>
      </label>
      {watch && (
        <p className="watch" aria-live="polite">
          <span>
            Image <b>{watch.imageId}</b>: {watch.before !== undefined && <>rank {rank(watch.before)} → </>}
            {watch.before === undefined && "rank "}
            <b>{watch.now === undefined ? "…" : rank(watch.now)}</b>
            {moved(watch)}
          </span>
          <button type="button" className="quiet" onClick={onUnwatch}>
            Stop watching
          </button>
        </p>
      )}
      {search.renewed && <p className="note">The catalogue has changed; these are the results as they are now.</p>}
    </div>
  );
}

function say({ query }: QueryState, { found, busy, problem }: Search): string {
  if (problem) return "";
  if (!found) return "Loading…";
  if (busy) return "Searching…";
  const { total } = found.answer;
  const count = `${total.toLocaleString("en")} ${total === 1 ? "image" : "images"}`;
  if (isBlank(query)) {
    if (total === 0)
      return query.must.length + query.mustNot.length > 0 ? NOTHING : "The catalogue is empty: import images first.";
    return `Nothing is asked for yet; some of ${count}`;
  }
  return total === 0 ? NOTHING : `${count}, best first`;
}

const NOTHING = "Nothing found: no image meets the filters. Remove one of them, or a “not” of the query.";

const rank = (value: number | null): string => (value === null ? "beyond 1000" : value.toLocaleString("en"));

function moved({ before, now }: Watch): string {
  if (before === undefined || before === null || now === undefined || now === null) return "";
  if (before === now) return " (unmoved)";
  return now < before ? ` (up ${before - now})` : ` (down ${now - before})`;
}
