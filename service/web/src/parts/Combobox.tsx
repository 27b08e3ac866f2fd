/** A text field that completes names: any text may be entered, the list only helps. */
import { type KeyboardEvent, type Ref, useEffect, useId, useRef, useState } from "react";
import type { NameKind, VocabularyName } from "../api/client";
import { complete } from "../search/vocabulary";

interface Props {
  readonly label: string;
  readonly kind: NameKind;
  readonly value?: string;
  readonly placeholder?: string;
  /** Told of what is entered: by Enter, by a choice, or, where a value is edited, by leaving the field. */
  readonly onEnter: (text: string) => void;
  readonly onText?: (text: string) => void;
  readonly inputRef?: Ref<HTMLInputElement>;
  /** Whether the field is for adding: it empties itself after each entry. */
  readonly adding?: boolean;
}

const TALLEST = 310; // pixels; the stylesheet's

export function Combobox({ label, kind, value = "", placeholder, onEnter, onText, inputRef, adding = false }: Props) {
  const id = useId();
  const [text, setText] = useState(value);
  const [open, setOpen] = useState(false);
  const [options, setOptions] = useState<readonly VocabularyName[]>([]);
  const [active, setActive] = useState(-1);
  const [above, setAbove] = useState(false);
  const list = useRef<HTMLDivElement>(null);
  const changed = useRef(false);

  useEffect(() => {
    setText(value);
    changed.current = false;
  }, [value]);

  // Where there is more room.
  useEffect(() => {
    const field = list.current?.parentElement?.getBoundingClientRect();
    if (open && field) setAbove(innerHeight - field.bottom < TALLEST && field.top > innerHeight - field.bottom);
  }, [open]);
  useEffect(() => {
    if (active >= 0) list.current?.children[active]?.scrollIntoView({ block: "nearest" });
  }, [active]);

  const prefix = changed.current || adding ? text : "";
  useEffect(() => {
    if (!open) return;
    let stale = false;
    complete(kind, prefix === "*" ? "" : prefix).then(
      (found) => {
        if (stale) return;
        setOptions(found);
        setActive(-1);
      },
      () => stale || setOptions([]), // no list is no obstacle
    );
    return () => {
      stale = true;
    };
  }, [open, kind, prefix]);

  const put = (next: string) => {
    setText(next);
    onText?.(next);
  };
  const enter = (entered: string) => {
    setOpen(false);
    changed.current = false;
    put(adding ? "" : entered);
    if (entered.trim() !== "" || !adding) onEnter(entered);
  };
  const onKeyDown = (event: KeyboardEvent<HTMLInputElement>) => {
    const count = options.length;
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && count > 0) {
      event.preventDefault();
      setOpen(true);
      const by = event.key === "ArrowDown" ? 1 : -1;
      setActive((old) => (open ? (old + by + count + (old < 0 && by < 0 ? 1 : 0)) % count : 0));
    } else if (event.key === "ArrowDown") setOpen(true);
    else if (event.key === "Enter") {
      event.preventDefault();
      enter((open && options[active]?.name) || text);
    } else if (event.key === "Escape" && open) {
      event.preventDefault();
      event.stopPropagation();
      setOpen(false);
    }
  };
  const shown = open && options.length > 0;
  return (
    <div className="combobox">
      <input
        ref={inputRef}
        role="combobox"
        aria-label={label}
        aria-expanded={shown}
        aria-controls={`${id}-list`}
        aria-autocomplete="list"
        aria-activedescendant={shown && active >= 0 ? `${id}-${active}` : undefined}
        autoComplete="off"
        autoCapitalize="none"
        spellCheck={false}
        placeholder={placeholder}
        maxLength={200}
        value={text}
        onChange={(event) => {
          changed.current = true;
          setActive(-1); // it was chosen for what stood here before
          put(event.target.value);
          setOpen(true);
        }}
        onFocus={(event) => {
          if (!adding) event.target.select();
          setOpen(true);
        }}
        onBlur={() => {
          setOpen(false);
          if (!adding && changed.current) enter(text);
        }}
        onKeyDown={onKeyDown}
      />
      <div
        role="listbox"
        id={`${id}-list`}
        aria-label={`${label} suggestions`}
        className={above ? "options above" : "options"}
        ref={list}
        hidden={!shown}
      >
        {options.map((option, row) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the keys are the field's
          // biome-ignore lint/a11y/useFocusableInteractive: the field keeps the focus
          <div
            key={option.name}
            role="option"
            id={`${id}-${row}`}
            aria-selected={row === active}
            className="option"
            onPointerDown={(event) => event.preventDefault()}
            onClick={() => enter(option.name)}
          >
            <span>{option.name}</span>
            <span className="count">
              {option.images.toLocaleString("en")} {option.images === 1 ? "image" : "images"}
            </span>
          </div>
        ))}
      </div>
    </div>
  );
}
