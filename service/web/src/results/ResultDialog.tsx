/** One image with its whole scene graph. */
import { useRef, useState } from "react";
import type { Result } from "../api/client";
import { Dialog } from "../parts/Dialog";
import { Icon } from "../parts/Icon";
import { labels, type NativeGraph } from "../query/model";
import { arrows, boxed, standIns, words } from "./matches";
import { ScenePicture } from "./ScenePicture";
import { usePhoto } from "./usePhoto";
import { WordList } from "./WordList";

interface Props {
  readonly result: Result;
  readonly query: NativeGraph;
  readonly browsing: boolean;
  readonly onClose: () => void;
  readonly onSearch: (graph: NativeGraph) => void;
}

export function ResultDialog({ result, query, browsing, onClose, onSearch }: Props) {
  const [pointed, setPointed] = useState<string | null>(null);
  const frame = useRef<HTMLDivElement>(null);
  const photo = usePhoto(result.image_id, result.url, frame);
  const graph = (result.graph ?? { objects: [] }) as unknown as NativeGraph;
  const objects = boxed(graph, browsing ? new Map() : standIns(result, query));
  const found = browsing ? [] : words(result, query);
  const named = labels({ objects: graph.objects, relationships: graph.relationships ?? [] });
  return (
    <Dialog title={`Image ${result.image_id}`} onClose={onClose} wide>
      <div className="result">
        <div className="result-picture" ref={frame}>
          <ScenePicture
            id={result.image_id}
            photo={photo}
            graph={graph}
            objects={objects}
            arrows={browsing ? [] : arrows(result, query, objects)}
            shownAt={620}
            pointed={pointed}
          />
          {!browsing && (
            <p className="result-facts">
              Rank <b>{result.rank}</b> · score <b>{result.score.toFixed(3)}</b>
              {photo.address && (
                <>
                  {" · "}
                  <a href={photo.address} target="_blank" rel="noreferrer">
                    Open the picture
                  </a>
                </>
              )}
            </p>
          )}
          <WordList words={found} label="Of the query" />
        </div>
        <div className="result-graph">
          <button type="button" className="primary" onClick={() => onSearch(graph)}>
            <Icon name="search" /> Search with this graph
          </button>
          <p className="help">Its graph becomes your drawing; remove parts and watch this image's rank.</p>
          <h3>Relationships</h3>
          <ul className="graph-list" aria-label="Relationships">
            {(graph.relationships ?? []).map((one, row) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: two may be equal
              <li key={row} onPointerEnter={() => setPointed(one.subject)} onPointerLeave={() => setPointed(null)}>
                {named.get(one.subject)} <i>{one.predicate ?? "any"}</i> {named.get(one.object)}
              </li>
            ))}
            {(graph.relationships ?? []).length === 0 && <li className="none">none</li>}
          </ul>
          <h3>Objects</h3>
          <ul className="chips" aria-label="Objects">
            {graph.objects.map((one) => (
              <li
                className="chip"
                key={one.id}
                onPointerEnter={() => setPointed(one.id)}
                onPointerLeave={() => setPointed(null)}
              >
                {[...(one.attributes ?? []), named.get(one.id)].join(" ")}
              </li>
            ))}
          </ul>
        </div>
      </div>
    </Dialog>
  );
}
