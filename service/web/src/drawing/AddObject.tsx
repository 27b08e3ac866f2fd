/** Adds objects to the drawing by name. */
import { useState } from "react";
import { Combobox } from "../parts/Combobox";
import { Icon } from "../parts/Icon";
import { ACROSS, free } from "../query/layout";
import { addObject, nameOf, type Query } from "../query/model";

interface Props {
  readonly query: Query;
  readonly edit: (change: (query: Query) => Query) => void;
  readonly onSelect: (id: string) => void;
}

export function AddObject({ query, edit, onSelect }: Props) {
  const [text, setText] = useState("");
  const add = (entered: string) => {
    const name = nameOf(entered);
    if (name === undefined) return;
    const last = query.objects.at(-1);
    const place = free(last ? { x: last.x + ACROSS, y: last.y } : { x: 0, y: 0 }, query.objects);
    setText("");
    const [next, id] = addObject(query, name, place);
    edit(() => next);
    onSelect(id);
  };
  return (
    <div className="add-object">
      <Combobox
        label="Object name"
        kind="object"
        value={text}
        placeholder="Add: dog, couch, …"
        onEnter={add}
        onText={setText}
        adding
      />
      <button type="button" disabled={text.trim() === ""} onClick={() => add(text)}>
        <Icon name="plus" /> Add object
      </button>
      <button type="button" title="Something, whatever it is" onClick={() => add("*")}>
        Anything
      </button>
    </div>
  );
}
