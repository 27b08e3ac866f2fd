/** Takes a graph from somewhere else. */
import { type FormEvent, useEffect, useRef, useState } from "react";
import { Dialog } from "../parts/Dialog";
import { type Pasted, read } from "./paste";

interface Props {
  /** What was dropped or pasted onto the page and could not be read, with the reason. */
  readonly begin?: { readonly text: string; readonly problem: string } | null;
  readonly onClose: () => void;
  readonly onTake: (pasted: Pasted) => void;
}

export function PasteDialog({ begin, onClose, onTake }: Props) {
  const [text, setText] = useState(begin?.text ?? "");
  const [problem, setProblem] = useState<string | null>(begin?.problem ?? null);
  const reading = useRef<AbortController>(null);
  useEffect(() => () => reading.current?.abort(), []);
  const onSubmit = async (event: FormEvent) => {
    event.preventDefault();
    reading.current?.abort();
    const stop = new AbortController();
    reading.current = stop;
    try {
      onTake(await read(text, stop.signal));
    } catch (error) {
      if (!stop.signal.aborted) setProblem(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <Dialog title="Paste a graph" onClose={onClose}>
      <form onSubmit={onSubmit} className="stack">
        <p className="help">
          A scene graph as JSON: SceneRank's own form, sg2im, Visual Genome or GQA. A line such as “dog on couch” will
          do too. You can also drop a file anywhere on this page.
        </p>
        <textarea
          aria-label="Graph"
          rows={12}
          spellCheck={false}
          placeholder={'{"objects": ["dog", "couch"],\n "relationships": [[0, "on", 1]]}'}
          value={text}
          onChange={(event) => {
            setText(event.target.value);
            setProblem(null);
          }}
        />
        {problem && (
          <p className="field-problem" role="alert">
            {problem}
          </p>
        )}
        <div className="row end">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="primary" disabled={text.trim() === ""}>
            Use graph
          </button>
        </div>
      </form>
    </Dialog>
  );
}
