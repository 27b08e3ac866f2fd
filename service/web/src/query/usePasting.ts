/** Graphs that are dropped anywhere on the page, or pasted where no field has the focus. */
import { useEffect, useRef, useState } from "react";
import { type Pasted, read } from "./paste";

const LARGEST = 4 * 1024 * 1024; // bytes; the service takes less

export interface Failed {
  readonly text: string;
  readonly problem: string;
}

/** @returns whether something is held over the page. */
export function usePasting(onTake: (pasted: Pasted) => void, onFail: (failed: Failed) => void): boolean {
  const [over, setOver] = useState(false);
  const told = useRef({ onTake, onFail });
  told.current = { onTake, onFail };
  useEffect(() => {
    let reading = new AbortController();
    const take = async (source: string | File) => {
      reading.abort(); // the later of two counts
      reading = new AbortController();
      const { signal } = reading;
      let text = "";
      try {
        text = typeof source === "string" ? source : await source.text();
        const pasted = await read(text, signal);
        if (!signal.aborted) told.current.onTake(pasted);
      } catch (error) {
        if (signal.aborted) return;
        told.current.onFail({ text, problem: error instanceof Error ? error.message : String(error) });
      }
    };
    const onPaste = (event: ClipboardEvent) => {
      const target = event.target instanceof Element ? event.target : null;
      if (target?.closest("input, textarea, select, dialog")) return;
      const text = event.clipboardData?.getData("text/plain") ?? "";
      if (text.trim() !== "") void take(text);
    };
    const onDrop = (event: DragEvent) => {
      event.preventDefault();
      setOver(false);
      const file = event.dataTransfer?.files[0];
      if (file && file.size > LARGEST)
        told.current.onFail({ text: "", problem: `${file.name} is too large; one graph is enough.` });
      else void take(file ?? event.dataTransfer?.getData("text/plain") ?? "");
    };
    const onOver = (event: DragEvent) => {
      event.preventDefault();
      setOver(true);
    };
    const onLeave = (event: DragEvent) => {
      if (event.relatedTarget === null) setOver(false);
    };
    document.addEventListener("paste", onPaste);
    document.addEventListener("drop", onDrop);
    document.addEventListener("dragover", onOver);
    document.addEventListener("dragleave", onLeave);
    return () => {
      reading.abort();
      document.removeEventListener("paste", onPaste);
      document.removeEventListener("drop", onDrop);
      document.removeEventListener("dragover", onOver);
      document.removeEventListener("dragleave", onLeave);
    };
  }, []);
  return over;
}
