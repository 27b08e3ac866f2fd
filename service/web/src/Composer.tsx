/** Where the query is made: as a line, as a drawing, with filters. */
import { useCallback, useEffect, useState } from "react";
import type { SearchWarning, ServiceError } from "./api/client";
import { AddObject } from "./drawing/AddObject";
import { Drawing } from "./drawing/Drawing";
import { Selection } from "./drawing/Selection";
import { Icon } from "./parts/Icon";
import { CopyMenu } from "./query/CopyMenu";
import { examples } from "./query/examples";
import { Filters } from "./query/Filters";
import { places } from "./query/layout";
import { changeObject, isBlank, toNative } from "./query/model";
import { QueryLine } from "./query/QueryLine";
import type { QueryState } from "./query/useQuery";
import { Hints } from "./search/Hints";
import type { Search } from "./search/useSearch";

interface Props {
  readonly state: QueryState;
  readonly search: Search;
  readonly textProblem: ServiceError | null;
  readonly selected: string | null;
  readonly onSelect: (id: string | null) => void;
  readonly onPaste: () => void;
}

const NONE: readonly SearchWarning[] = []; // one list: another each time would draw everything anew

export function Composer({ state, search, textProblem, selected, onSelect, onPaste }: Props) {
  const { query, edit, undo, redo } = state;
  const [edited, setEdited] = useState<string | null>(null);
  const [suggested, setSuggested] = useState<readonly string[]>([]);
  const version = search.found?.answer.model_version;
  // biome-ignore lint/correctness/useExhaustiveDependencies: when the service can tell, and of another model anew
  useEffect(() => {
    let stale = false;
    examples().then(
      (found) => !stale && setSuggested(found),
      () => undefined, // the page does without
    );
    return () => {
      stale = true;
    };
  }, [version]);

  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      const inField = event.target instanceof Element && event.target.closest("input, textarea, select, dialog");
      if (inField || !(event.ctrlKey || event.metaKey) || event.altKey) return;
      const key = event.key.toLowerCase();
      if (key !== "z" && key !== "y") return;
      event.preventDefault();
      if (key === "y" || event.shiftKey) redo();
      else undo();
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, [undo, redo]);

  const select = useCallback(
    (id: string | null) => {
      setEdited(null);
      onSelect(id);
    },
    [onSelect],
  );
  const onEdit = (id: string) => {
    setEdited(id);
    onSelect(id);
  };
  const onArrange = () => {
    const laid = places(toNative(query));
    edit((old) => old.objects.reduce((next, { id }) => changeObject(next, id, laid.get(id) ?? {}), old));
  };
  const warnings = search.found && search.found.key === state.request.key ? search.found.answer.warnings : NONE;
  return (
    <section className="composer" aria-label="Query">
      <QueryLine text={state.text} problem={textProblem} onType={state.type} onEnd={state.endTyping}>
        {suggested.length > 0 && (
          // biome-ignore lint/a11y/useSemanticElements: a fieldset is for fields
          <div className="chips examples" role="group" aria-label="Examples">
            <span className="help">Try</span>
            {suggested.map((text) => (
              <button
                type="button"
                className="chip"
                key={text}
                onClick={() => {
                  state.type(text);
                  state.endTyping();
                  onSelect(null);
                }}
              >
                {text}
              </button>
            ))}
          </div>
        )}
      </QueryLine>
      <div className="board">
        {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is for fields */}
        <div className="toolbar" role="group" aria-label="Drawing tools">
          <button type="button" className="quiet" disabled={!state.canUndo} onClick={undo}>
            <Icon name="undo" /> Undo
          </button>
          <button type="button" className="quiet" disabled={!state.canRedo} onClick={redo}>
            <Icon name="redo" /> Redo
          </button>
          <button type="button" className="quiet" disabled={query.objects.length < 2} onClick={onArrange}>
            <Icon name="arrange" /> Arrange
          </button>
          <button
            type="button"
            className="quiet"
            disabled={isBlank(query)}
            onClick={() => {
              edit((old) => ({ ...old, objects: [], relationships: [] }));
              onSelect(null);
            }}
          >
            <Icon name="trash" /> Clear
          </button>
        </div>
        <Drawing query={query} warnings={warnings} selected={selected} onSelect={select} onEdit={onEdit} edit={edit} />
        <Selection query={query} selected={selected} edited={edited} onSelect={select} edit={edit} />
        <AddObject query={query} edit={edit} onSelect={select} />
      </div>
      <Hints warnings={warnings} />
      <Filters query={query} edit={edit} />
      <CopyMenu request={state.request} onPaste={onPaste} />
    </section>
  );
}
