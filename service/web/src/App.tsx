/** The page: what is asked on one side, the images found on the other. */
import { ReactFlowProvider } from "@xyflow/react";
import { useCallback, useState } from "react";
import { AdminDialog } from "./admin/AdminDialog";
import type { Result } from "./api/client";
import { Composer } from "./Composer";
import { Header } from "./Header";
import type { NativeGraph } from "./query/model";
import { PasteDialog } from "./query/PasteDialog";
import type { Pasted } from "./query/paste";
import { type Failed, usePasting } from "./query/usePasting";
import { useQuery } from "./query/useQuery";
import { ResultDialog } from "./results/ResultDialog";
import { Results } from "./results/Results";
import { ResultsHead } from "./results/ResultsHead";
import { ToResults } from "./results/ToResults";
import { Problem } from "./search/Problem";
import { useSearch } from "./search/useSearch";
import { useWatch } from "./search/useWatch";
import { forget } from "./search/vocabulary";

type Shown =
  | { readonly dialog: "admin" }
  | { readonly dialog: "paste"; readonly begin: Failed | null }
  | {
      readonly dialog: "result";
      readonly result: Result;
      /** What it is an answer to; that on the page may be another by now. */
      readonly query: NativeGraph;
      readonly browsing: boolean;
    }
  | null;

export function App() {
  const state = useQuery();
  const search = useSearch(state.request, state.answered);
  const [shown, setShown] = useState<Shown>(null);
  const [selected, setSelected] = useState<string | null>(null);
  const [watchedId, setWatchedId] = useState<string | null>(null);
  const watch = useWatch(watchedId, search.found, state.request);

  const take = useCallback(
    ({ graph, must, mustNot }: Pasted) => {
      state.show(graph, { must, mustNot });
      setShown(null);
      setSelected(null);
      setWatchedId(null);
    },
    [state.show],
  );
  const fail = useCallback((failed: Failed) => setShown({ dialog: "paste", begin: failed }), []);
  const dropping = usePasting(take, fail);
  // One function for all cards: else each would be drawn anew with every key that is pressed.
  const open = useCallback(
    (result: Result, query: NativeGraph, browsing: boolean) => setShown({ dialog: "result", result, query, browsing }),
    [],
  );

  const searchWith = (graph: NativeGraph, imageId: string) => {
    state.show(graph);
    setWatchedId(imageId);
    setShown(null);
    setSelected(null);
  };
  const inText =
    search.problem !== null && search.problem.status === 422 && typeof state.request.body.text === "string";
  return (
    <ReactFlowProvider>
      <Header onAdmin={() => setShown({ dialog: "admin" })} />
      <main className="page">
        <Composer
          state={state}
          search={search}
          textProblem={inText ? search.problem : null}
          selected={selected}
          onSelect={setSelected}
          onPaste={() => setShown({ dialog: "paste", begin: null })}
        />
        <section className="results" aria-labelledby="results-title">
          <ResultsHead state={state} search={search} watch={watch} onUnwatch={() => setWatchedId(null)} />
          {search.problem && !inText && <Problem problem={search.problem} onRetry={search.again} />}
          <Results search={search} watched={watchedId} onOpen={open} />
        </section>
      </main>
      <ToResults found={search.found} />
      {dropping && <div className="drop-veil">Drop a scene graph to search with it</div>}
      {shown?.dialog === "admin" && (
        <AdminDialog
          onClose={() => setShown(null)}
          onSwitch={() => {
            forget();
            search.again();
          }}
        />
      )}
      {shown?.dialog === "paste" && <PasteDialog begin={shown.begin} onClose={() => setShown(null)} onTake={take} />}
      {shown?.dialog === "result" && (
        <ResultDialog
          result={shown.result}
          query={shown.query}
          browsing={shown.browsing}
          onClose={() => setShown(null)}
          onSearch={(graph) => searchWith(graph, shown.result.image_id)}
        />
      )}
    </ReactFlowProvider>
  );
}
