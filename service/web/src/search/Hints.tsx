/** Words of the query that were not taken as they stand. */
import type { SearchWarning } from "../api/client";

const REASONS: Partial<Record<SearchWarning["code"], string>> = {
  alias: "another word for it",
  plural: "its plural",
  nearest: "the nearest that the model knows",
};

export function Hints({ warnings }: { readonly warnings: readonly SearchWarning[] }) {
  const shown = warnings.filter((one) => one.code !== "case");
  if (shown.length === 0) return null;
  return (
    <ul className="hints" aria-label="Hints">
      {shown.map((one) => (
        <li key={one.pointer}>{say(one)}</li>
      ))}
    </ul>
  );
}

function say({ code, word, taken_for: taken }: SearchWarning) {
  if (code === "attributes_not_scored")
    return "Attributes do not change the ranking with this model; a filter such as “must have white horse” does count them.";
  if (taken === null || taken === undefined)
    return (
      <>
        <b>{word}</b> is a word that the model does not know and has nothing near to; it hardly changes the ranking. Try
        another word.
      </>
    );
  return (
    <>
      <b>{word}</b> is taken for <b>{taken}</b>
      {REASONS[code] ? `, ${REASONS[code]}` : ""}.
    </>
  );
}
