/** The query as one line of text, and what to do with it: copy it, paste one, begin anew. */
import { type ReactNode, useEffect, useId, useRef } from "react";
import type { ServiceError } from "../api/client";
import { Icon } from "../parts/Icon";

interface Props {
  readonly text: string;
  readonly problem: ServiceError | null;
  readonly onType: (text: string) => void;
  readonly onEnd: () => void;
  readonly children?: ReactNode;
}

export function QueryLine({ text, problem, onType, onEnd, children }: Props) {
  const id = useId();
  const field = useRef<HTMLTextAreaElement>(null);
  const pressed = usePressed();
  // The line may come to need another row: what somebody is clicking on must not move before it is clicked.
  const onBlur = () => {
    if (!pressed.current) return onEnd();
    const first = new AbortController();
    const end = () => {
      first.abort();
      setTimeout(onEnd);
    };
    for (const type of ["pointerup", "pointercancel"]) addEventListener(type, end, { signal: first.signal });
  };
  return (
    <div className="query-line">
      <div className="query-field">
        <Icon name="search" />
        <textarea
          ref={field}
          rows={1}
          aria-label="Query as text"
          aria-multiline="false"
          aria-invalid={problem !== null}
          aria-describedby={`${id}-help`}
          placeholder="dog on couch; cat next to dog; not person"
          autoComplete="off"
          autoCapitalize="none"
          spellCheck={false}
          maxLength={4000}
          value={text}
          onChange={(event) => onType(event.target.value.replace(/\s*\n\s*/g, " "))}
          onKeyDown={(event) => event.key === "Enter" && event.preventDefault()}
          onBlur={onBlur}
        />
        {text !== "" && (
          <button
            type="button"
            className="quiet"
            aria-label="Empty the line"
            onClick={() => {
              onType("");
              field.current?.focus(); // the button is gone
            }}
          >
            <Icon name="close" />
          </button>
        )}
      </div>
      {problem ? (
        <p className="field-problem" role="alert" id={`${id}-help`}>
          {sentence(problem.message)}
        </p>
      ) : (
        <p className="help" id={`${id}-help`}>
          Write what is in the picture: <b>man riding horse; not car</b>. Anything is <b>*</b>, a second man{" "}
          <b>man#2</b>.
        </p>
      )}
      {children}
    </div>
  );
}

/** What the service says is wrong, without the field's pointer, which nobody here has seen. */
function sentence(detail: string): string {
  const plain = detail.replace(/^\/text: /, "");
  return `${plain.charAt(0).toUpperCase()}${plain.slice(1)}.`;
}

/** Whether a button of the mouse, or a finger, is down. */
function usePressed() {
  const pressed = useRef(false);
  useEffect(() => {
    const onPointer = (event: PointerEvent) => {
      pressed.current = event.type === "pointerdown";
    };
    const types = ["pointerdown", "pointerup", "pointercancel"] as const;
    for (const type of types) addEventListener(type, onPointer, true);
    return () => {
      for (const type of types) removeEventListener(type, onPointer, true);
    };
  }, []);
  return pressed;
}
