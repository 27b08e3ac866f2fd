/** One image of the ranking. */
import { memo, useMemo, useRef } from "react";
import type { Result } from "../api/client";
import type { NativeGraph } from "../query/model";
import { arrows, boxed, standIns, words } from "./matches";
import { ScenePicture } from "./ScenePicture";
import { usePhoto } from "./usePhoto";
import { WordList } from "./WordList";

interface Props {
  readonly result: Result;
  readonly query: NativeGraph;
  readonly browsing: boolean;
  readonly watched: boolean;
  readonly onOpen: (result: Result, query: NativeGraph, browsing: boolean) => void;
}

const MOST = 5;

export const ResultCard = memo(function ResultCard({ result, query, browsing, watched, onOpen }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const photo = usePhoto(result.image_id, result.url, frame);
  const graph = (result.graph ?? { objects: [] }) as unknown as NativeGraph;
  const objects = useMemo(
    () => boxed(graph, browsing ? new Map() : standIns(result, query)),
    [graph, browsing, result, query],
  );
  const marks = useMemo(() => (browsing ? [] : arrows(result, query, objects)), [browsing, result, query, objects]);
  const found = browsing ? [] : words(result, query);
  const name = browsing
    ? `Image ${result.image_id}`
    : `Image ${result.image_id}, rank ${result.rank}, score ${result.score.toFixed(3)}`;
  return (
    <li className={watched ? "card watched" : "card"} aria-label={name}>
      <div className="card-picture" ref={frame}>
        <ScenePicture id={result.image_id} photo={photo} graph={graph} objects={objects} arrows={marks} shownAt={260} />
        <button
          type="button"
          className="card-open"
          aria-label={`Open image ${result.image_id}`}
          onClick={() => onOpen(result, query, browsing)}
        />
      </div>
      <div className="card-text">
        <div className="card-head">
          {!browsing && <span className="rank">{result.rank}</span>}
          <span className="card-id" title={result.image_id}>
            {result.image_id}
          </span>
          {!browsing && (
            <span className="score" title="How alike: 1 is the same scene, 0 nothing in common">
              {result.score.toFixed(3)}
            </span>
          )}
        </div>
        <WordList words={found} most={MOST} />
      </div>
    </li>
  );
});
