/** On a small screen the results are below the query: a way down that tells that there are some. */
import { useEffect, useState } from "react";
import type { Found } from "../search/useSearch";

export function ToResults({ found }: { readonly found: Found | null }) {
  const [below, setBelow] = useState(false);
  useEffect(() => {
    const title = document.getElementById("results-title");
    if (!title) return;
    const watcher = new IntersectionObserver(
      ([entry]) => setBelow(entry !== undefined && !entry.isIntersecting && entry.boundingClientRect.top > 0),
      { rootMargin: "0px 0px -180px" }, // a title alone shows nobody that there are images
    );
    watcher.observe(title);
    return () => watcher.disconnect();
  }, []);
  if (!below || found === null || found.browsing) return null;
  const { total } = found.answer;
  const onClick = () => {
    const title = document.getElementById("results-title");
    title?.scrollIntoView({ block: "start" });
    title?.focus({ preventScroll: true }); // the button goes away
  };
  return (
    <button type="button" className="primary to-results" onClick={onClick}>
      See {total.toLocaleString("en")} {total === 1 ? "image" : "images"}
    </button>
  );
}
