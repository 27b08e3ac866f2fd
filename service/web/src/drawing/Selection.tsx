/** What is selected in the drawing, to be changed: by keyboard and on small screens this is how one draws. */
import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { Combobox } from "../parts/Combobox";
import { Icon } from "../parts/Icon";
import {
  changeObject,
  changeRelationship,
  labels,
  nameOf,
  type Query,
  type QueryObject,
  type QueryRelationship,
  relate,
  remove,
} from "../query/model";

interface Props {
  readonly query: Query;
  readonly selected: string | null;
  readonly onSelect: (id: string | null) => void;
  /** The part whose first field is to have the focus. */
  readonly edited: string | null;
  readonly edit: (change: (query: Query) => Query) => void;
}

export function Selection({ query, selected, edited, onSelect, edit }: Props) {
  const box = useRef<HTMLElement>(null);
  useEffect(() => {
    if (edited !== null && edited === selected) box.current?.querySelector("input")?.focus({ preventScroll: true });
  }, [edited, selected]);
  const object = query.objects.find((one) => one.id === selected);
  const relationship = query.relationships.find((one) => one.id === selected);
  if (!object && !relationship) return null;
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Escape") return; // back to the drawing
    onSelect(selected);
    const part = document.querySelector<HTMLElement>(`.canvas [data-id="${selected}"]`);
    part?.focus({ preventScroll: true });
  };
  const onDelete = () => {
    edit((old) => remove(old, new Set([selected ?? ""])));
    onSelect(null);
    document.querySelector<HTMLElement>(".canvas")?.focus({ preventScroll: true });
  };
  return (
    <section className="selection" aria-label="Selection" ref={box} onKeyDown={onKeyDown}>
      {object && <OfObject key={object.id} object={object} query={query} onSelect={onSelect} edit={edit} />}
      {relationship && <OfRelationship key={relationship.id} relationship={relationship} query={query} edit={edit} />}
      <button type="button" className="quiet danger" onClick={onDelete}>
        <Icon name="trash" /> Delete
      </button>
    </section>
  );
}

function OfObject({
  object,
  query,
  onSelect,
  edit,
}: Omit<Props, "selected" | "edited"> & { readonly object: QueryObject }) {
  const [attribute, setAttribute] = useState("");
  const [target, setTarget] = useState("");
  const field = useRef<HTMLInputElement>(null);
  const names = labels(query);
  const others = query.objects.filter((one) => one.id !== object.id);
  const chosen = query.objects.some((one) => one.id === target) ? target : (others[0]?.id ?? object.id);
  const onRelate = () => {
    const [next, id] = relate(query, object.id, chosen);
    edit(() => next);
    onSelect(id);
  };
  const setAttributes = (attributes: readonly string[]) => edit((old) => changeObject(old, object.id, { attributes }));
  const onAttribute = (entered: string) => {
    setAttribute("");
    const word = entered.trim();
    if (word !== "" && word !== "*" && !object.attributes.includes(word)) setAttributes([...object.attributes, word]);
  };
  return (
    <>
      <div className="field">
        <span>Name</span>
        <Combobox
          label="Name"
          kind="object"
          value={object.name ?? "*"}
          onEnter={(entered) => {
            const name = nameOf(entered);
            if (name !== undefined && name !== object.name) edit((old) => changeObject(old, object.id, { name }));
          }}
        />
      </div>
      <div className="field">
        <span>Relate to</span>
        <div className="row">
          <select aria-label="Relate to" value={chosen} onChange={(event) => setTarget(event.target.value)}>
            {[...others, object].map((one) => (
              <option key={one.id} value={one.id}>
                {one.id === object.id ? "itself" : names.get(one.id)}
              </option>
            ))}
          </select>
          <button type="button" onClick={onRelate}>
            Relate
          </button>
        </div>
      </div>
      <div className="field attributes">
        <span>Attributes</span>
        <div className="row">
          {object.attributes.map((one) => (
            <span className="chip" key={one}>
              {one}
              <button
                type="button"
                aria-label={`Remove attribute ${one}`}
                onClick={() => {
                  setAttributes(object.attributes.filter((other) => other !== one));
                  field.current?.focus({ preventScroll: true }); // the button is gone
                }}
              >
                <Icon name="close" />
              </button>
            </span>
          ))}
          <Combobox
            label="Attribute"
            kind="attribute"
            value={attribute}
            placeholder="white, tall, …"
            onEnter={onAttribute}
            onText={setAttribute}
            inputRef={field}
            adding
          />
          <button
            type="button"
            className="quiet"
            aria-label="Add attribute"
            disabled={attribute.trim() === ""}
            onClick={() => onAttribute(attribute)}
          >
            <Icon name="plus" />
          </button>
        </div>
      </div>
    </>
  );
}

interface RelationshipProps {
  readonly relationship: QueryRelationship;
  readonly query: Query;
  readonly edit: Props["edit"];
}

function OfRelationship({ relationship, query, edit }: RelationshipProps) {
  const field = useRef<HTMLInputElement>(null);
  const names = labels(query);
  const isNew = useRef(relationship.predicate === null);
  // A relationship that has just been drawn waits for its predicate.
  useEffect(() => {
    if (isNew.current) field.current?.focus({ preventScroll: true });
  }, []);
  return (
    <div className="row relationship">
      <span className="end">{names.get(relationship.subject)}</span>
      <Combobox
        label="Predicate"
        kind="predicate"
        inputRef={field}
        value={relationship.predicate ?? ""}
        placeholder="any: on, riding, …"
        onEnter={(entered) => {
          const predicate = nameOf(entered) ?? null;
          if (predicate !== relationship.predicate)
            edit((old) => changeRelationship(old, relationship.id, { predicate }));
        }}
      />
      <span className="end">{names.get(relationship.object)}</span>
      <button
        type="button"
        className="quiet"
        onClick={() =>
          edit((old) =>
            changeRelationship(old, relationship.id, { subject: relationship.object, object: relationship.subject }),
          )
        }
      >
        <Icon name="swap" /> Reverse
      </button>
    </div>
  );
}
