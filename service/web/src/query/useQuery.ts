/** The query that everything on the page shows and changes: with undo, as text, in the address. */
import { useCallback, useEffect, useMemo, useReducer, useRef, useState } from "react";
import type { SearchResponse } from "../api/client";
import { PAGE, type Request } from "../search/useSearch";
import { useKnown } from "../search/vocabulary";
import { begin, type History, type Step, step } from "./history";
import { drawn } from "./layout";
import { filtersOf, type Link, readConditions, readLink, writeLink } from "./link";
import { EMPTY, isBlank, keyOf, type NativeGraph, type Query, toNative } from "./model";
import { writeQuery } from "./text";

/** A line that somebody types; settled once the drawing shows what it says. */
interface Typed {
  readonly text: string;
  readonly settled: boolean;
  /** What was excluded when somebody began to type: the line speaks of these, and of no filter added since. */
  readonly excluded: Query["mustNot"];
}

export interface QueryState {
  readonly query: Query;
  readonly text: string;
  readonly byMatches: boolean;
  readonly canUndo: boolean;
  readonly canRedo: boolean;
  readonly request: Request;
  readonly edit: (change: (query: Query) => Query) => void;
  readonly undo: () => void;
  readonly redo: () => void;
  readonly type: (text: string) => void;
  /** Nobody types any more: the line shows the drawing's own text. */
  readonly endTyping: () => void;
  readonly setByMatches: (byMatches: boolean) => void;
  readonly show: (graph: NativeGraph, filters?: Pick<Query, "must" | "mustNot">) => void;
  /** Takes in what the service understood; gives the key of the query as it then is. */
  readonly answered: (request: Request, answer: SearchResponse) => string | null;
}

const WINDOW = 10_000; // results that the service looks at unless told otherwise
const RERANKED = 200;
const TITLE = document.title;

export function useQuery(): QueryState {
  const [history, dispatch] = useReducer(
    step<Query> as (h: History<Query>, s: Step<Query>) => History<Query>,
    null,
    () => begin(opened(readLink(location.hash))),
  );
  const [typed, setTyped] = useState<Typed | null>(() => typedOf(readLink(location.hash)));
  const [byMatches, setByMatches] = useState(() => readLink(location.hash)?.byMatches ?? false);
  const known = useKnown();
  const query = history.present;
  const written = useMemo(() => writeQuery(query, known), [query, known]);
  const typing = useRef(false);
  const latest = useRef(query);
  latest.current = query;

  const edit = useCallback((change: (query: Query) => Query) => {
    const { objects, relationships } = latest.current;
    const next = change(latest.current);
    const drawing = next.objects !== objects || next.relationships !== relationships;
    // A filter leaves alone what has been typed and not been answered yet.
    setTyped((old) => (old === null || old.settled || drawing ? null : old));
    dispatch({ kind: "change", to: change });
  }, []);
  const type = useCallback((text: string) => {
    typing.current = true;
    const { mustNot } = latest.current;
    setTyped((old) => {
      const excluded = old !== null && !old.settled ? old.excluded : mustNot;
      return { text, settled: text.trim() === "", excluded };
    });
    if (text.trim() === "") dispatch({ kind: "change", to: emptied });
  }, []);
  const endTyping = useCallback(() => {
    typing.current = false;
    setTyped((old) => (old?.settled ? null : old));
  }, []);
  const undo = useCallback(() => {
    setTyped(null);
    dispatch({ kind: "undo" });
  }, []);
  const redo = useCallback(() => {
    setTyped(null);
    dispatch({ kind: "redo" });
  }, []);
  const show = useCallback(
    (graph: NativeGraph, filters?: Pick<Query, "must" | "mustNot">) =>
      edit((old) => ({ ...old, ...drawn(graph), ...filters })),
    [edit],
  );

  const request = useMemo(() => makeRequest(query, typed, byMatches), [query, typed, byMatches]);
  const answered = useCallback(
    (request: Request, answer: SearchResponse) => {
      if (request.body.text === undefined || request.body.text === null) return null;
      const graph = answer.query as unknown as NativeGraph;
      const filter = (answer.filter ?? {}) as { must_not?: unknown[] };
      const next: Query = { ...query, ...drawn(graph, query.objects), mustNot: readConditions(filter.must_not ?? []) };
      dispatch({ kind: "change", to: next });
      setTyped((old) => (typing.current && old ? { ...old, settled: true } : null));
      return makeRequest(next, null, byMatches).key;
    },
    [query, byMatches],
  );

  useEffect(() => {
    if (typed !== null && !typed.settled) return; // an address is of what has been understood
    const wanted = location.pathname + location.search + writeLink(query, written, byMatches);
    if (wanted !== location.pathname + location.search + location.hash) window.history.replaceState(null, "", wanted);
  }, [query, written, byMatches, typed]);

  useEffect(() => {
    document.title = written === "" ? TITLE : `${written.slice(0, 80)} · SceneRank`;
  }, [written]);

  useEffect(() => {
    // Somebody opens another link in this tab.
    const follow = () => {
      const link = readLink(location.hash);
      dispatch({ kind: "change", to: opened(link) });
      setTyped(typedOf(link));
      setByMatches(link?.byMatches ?? false);
    };
    window.addEventListener("hashchange", follow);
    return () => window.removeEventListener("hashchange", follow);
  }, []);

  return {
    query,
    text: typed?.text ?? written,
    byMatches,
    canUndo: history.past.length > 0,
    canRedo: history.future.length > 0,
    request,
    edit,
    undo,
    redo,
    type,
    endTyping,
    setByMatches,
    show,
    answered,
  };
}

/** Without what a line can say. */
const emptied = (query: Query): Query =>
  isBlank(query) && query.mustNot.length === 0 ? query : { ...EMPTY, must: query.must };

const opened = (link: Link | null): Query =>
  link === null ? EMPTY : { ...filtersOf(link), ...(link.graph && drawn(link.graph)) };

const typedOf = (link: Link | null): Typed | null =>
  link?.text ? { text: link.text, settled: false, excluded: [] } : null;

function makeRequest(query: Query, typed: Typed | null, byMatches: boolean): Request {
  const asText = typed !== null && !typed.settled ? typed.text.trim() : "";
  const blank = asText === "" && isBlank(query);
  const said = asText === "" ? [] : (typed?.excluded ?? []);
  const mustNot = query.mustNot.filter((one) => !said.includes(one));
  const filter = {
    ...(query.must.length > 0 && { must: query.must }),
    ...(mustNot.length > 0 && { must_not: mustNot }),
  };
  const order = byMatches && !blank;
  const scene = asText !== "" ? { text: asText } : { graph: blank ? { objects: ["*"] } : toNative(query) };
  const body = {
    ...scene,
    ...(Object.keys(filter).length > 0 && { filter }),
    ...(order && { rerank: "triples" as const }),
    explain: true,
    with_graph: true,
  } as unknown as Request["body"];
  const key = asText !== "" ? JSON.stringify([asText, query.must, mustNot, order]) : `${keyOf(query)} ${order}`;
  return { key, body, browsing: blank, most: blank ? PAGE : order ? RERANKED : WINDOW };
}
