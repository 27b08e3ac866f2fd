/** Which images may be in the ranking at all: what they must and must not have. */
import { type FormEvent, useRef, useState } from "react";
import { ServiceError, search } from "../api/client";
import { Icon } from "../parts/Icon";
import { useKnown } from "../search/vocabulary";
import { readConditions } from "./link";
import type { Condition, Query } from "./model";
import { writeCondition } from "./text";

interface Props {
  readonly query: Query;
  readonly edit: (change: (query: Query) => Query) => void;
}

type Kind = "must" | "mustNot";
const KINDS: Record<Kind, string> = { must: "must have", mustNot: "must not have" };

export function Filters({ query, edit }: Props) {
  const known = useKnown();
  const [kind, setKind] = useState<Kind>("must");
  const [text, setText] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const field = useRef<HTMLInputElement>(null);

  const onAdd = async (event: FormEvent) => {
    event.preventDefault();
    if (text.trim() === "") return;
    setProblem(null);
    try {
      const condition = await understand(text);
      const same = (other: Condition) => JSON.stringify(other) === JSON.stringify(condition);
      edit((old) => (old[kind].some(same) ? old : { ...old, [kind]: [...old[kind], condition] }));
      // Somebody may have begun with the next one.
      setText((now) => (now === text ? "" : now));
    } catch (error) {
      if (field.current?.value === text) setProblem(error instanceof Error ? error.message : String(error));
    }
  };
  const active = (["must", "mustNot"] as const).flatMap((of) => query[of].map((one) => [of, one] as const));
  return (
    <section className="filters" aria-label="Filters">
      <form onSubmit={onAdd}>
        <span className="filters-title">Images</span>
        <select aria-label="Filter kind" value={kind} onChange={(event) => setKind(event.target.value as Kind)}>
          {Object.entries(KINDS).map(([value, label]) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </select>
        <input
          ref={field}
          type="text"
          aria-label="Condition"
          aria-invalid={problem !== null}
          placeholder="car, white horse"
          autoComplete="off"
          autoCapitalize="none"
          maxLength={400}
          value={text}
          onChange={(event) => {
            setText(event.target.value);
            setProblem(null);
          }}
        />
        <button type="submit" aria-label="Add filter" disabled={text.trim() === ""}>
          <Icon name="plus" /> Add
        </button>
      </form>
      {problem && (
        <p className="field-problem" role="alert">
          {problem}
        </p>
      )}
      {active.length > 0 && (
        <ul className="chips" aria-label="Active filters">
          {active.map(([of, one]) => {
            const words = `${KINDS[of]} ${writeCondition(one, known)}`;
            return (
              <li className={of === "must" ? "chip" : "chip without"} key={words}>
                {words}
                <button
                  type="button"
                  aria-label={`Remove filter ${words}`}
                  onClick={() => {
                    edit((old) => ({ ...old, [of]: old[of].filter((other) => other !== one) }));
                    field.current?.focus(); // the button is gone
                  }}
                >
                  <Icon name="close" />
                </button>
              </li>
            );
          })}
        </ul>
      )}
    </section>
  );
}

/** The condition that a clause is: the service reads it, as what a query excludes. */
async function understand(text: string): Promise<Condition> {
  if (text.includes(";")) throw new Error("One condition at a time, without “;”.");
  const before = "*; not ";
  try {
    const answer = await search({ text: before + text.trim(), limit: 1 });
    const [condition] = readConditions(((answer.filter ?? {}) as { must_not?: unknown[] }).must_not ?? []);
    if (condition) return condition;
  } catch (error) {
    if (!(error instanceof ServiceError) || error.status !== 422) throw error;
    const detail = error.message
      .replace(/^\/text: /, "")
      .replace(/column (\d+)/, (_, column) => `column ${Math.max(1, column - before.length)}`);
    throw new Error(
      `A condition is a thing, with one attribute or none, or a relationship. The service says: ${detail}.`,
    );
  }
  throw new Error("A condition is a thing, such as “car” or “white horse”, or a relationship, such as “man riding *”.");
}
