"""What a search request asks for: its graph and its filter, read, measured and looked up."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from model.errors import GraphError, Problem, QueryTextError
from model.formats import GraphFormat, read_graph, write_graph
from model.graph_reader import GraphLimits
from model.query_language import Clause, parse_query
from model.resolution import NameResolver
from model.scene_graph import SceneGraph
from service.errors import NotFoundError, RequestInvalidError, SubstitutionError
from service.filters import MAX_CONDITIONS, Condition, Filter, resolve
from service.index.state import State
from service.rerank import RERANK_WINDOW
from service.search import SearchQuery, unknown
from service.search_schemas import FilterCondition, SearchFilter, SearchRequest
from service.settings import Settings

MAX_EXPLAINED: Final = 100
"""Results of a page with explanations; each takes some milliseconds where a query is large."""

MAX_BATCH_EXPLAINED: Final = 1000
"""The same for all searches of a batch together."""


def interpret(body: SearchRequest, snapshot: State, limits: Settings) -> SearchQuery:
    """The search that a request describes.

    Raises:
        RequestInvalidError: a field has an impossible value or is too large.
        SubstitutionError: the search is strict, and names are not in the vocabulary.
        GraphError: the graph is not valid or too large.
        NotFoundError: there is no such image.
    """
    _check_page(body, limits)
    resolver = snapshot.version.checkpoint.resolver
    graph, excluded = _graph(body, snapshot, limits)
    resolved = resolver.resolve(graph)
    substitutions = [replace(item, pointer=f"/graph{item.pointer}") for item in resolved.substitutions]
    wanted, selection = None, None
    if body.filter is not None or excluded:
        wanted = _filter(body.filter or SearchFilter(), excluded, limits)
        by_names = resolve(wanted, snapshot.names, resolver)
        selection = snapshot.select(by_names)
        substitutions += [replace(item, pointer=f"/filter{item.pointer}") for item in by_names.substitutions]
    if body.strict and substitutions:
        raise SubstitutionError(*(Problem(item.pointer, unknown(item)) for item in substitutions))
    return SearchQuery(
        snapshot=snapshot,
        graph=graph,
        resolved=resolved,
        limit=body.limit if body.rerank is None else RERANK_WINDOW,
        offset=body.offset if body.rerank is None else 0,
        min_score=body.min_score,
        filter=wanted,
        selection=selection,
        substitutions=tuple(substitutions),
    )


def read_query_graph(document: dict[str, Any], format: GraphFormat | None, limits: Settings) -> SceneGraph:  # noqa: A002
    """The scene graph of a request.

    Raises:
        GraphError: it is not valid, or larger than the settings allow.
    """
    size = GraphLimits(
        objects=limits.max_objects, relationships=limits.max_relationships, text_length=limits.max_name_length
    )
    return read_graph(document, format, size)


def check_batch(bodies: Sequence[SearchRequest], limits: Settings) -> None:
    """See that searches do not ask for too much together.

    Raises:
        RequestInvalidError: they do.
    """
    asked = sum(body.limit for body in bodies)
    explained = sum(
        body.limit if body.rerank is None else RERANK_WINDOW for body in bodies if body.explain or body.rerank
    )
    for what, count, most in (("results", asked, limits.max_window), ("explanations", explained, MAX_BATCH_EXPLAINED)):
        if count > most:
            message = f"the searches of a batch may ask for {most} {what} together, these ask for {count}; split it"
            raise RequestInvalidError(Problem("/queries", message))


def _check_page(body: SearchRequest, limits: Settings) -> None:
    if body.limit > limits.max_limit:
        raise RequestInvalidError(Problem("/limit", f"limit is at most {limits.max_limit}; ask for pages"))
    if body.explain and body.limit > MAX_EXPLAINED:
        raise RequestInvalidError(Problem("/limit", f"with explain, limit is at most {MAX_EXPLAINED}; ask for pages"))
    if body.rerank is not None and body.offset + body.limit > RERANK_WINDOW:
        message = f"with rerank, offset + limit is at most {RERANK_WINDOW}; ask for a smaller part"
        raise RequestInvalidError(Problem("/offset", message))
    if body.offset + body.limit > limits.max_window:
        message = f"offset + limit is at most {limits.max_window}; ask for a smaller part, or a higher min_score"
        raise RequestInvalidError(Problem("/offset", message))


def _graph(body: SearchRequest, snapshot: State, limits: Settings) -> tuple[SceneGraph, tuple[Condition, ...]]:
    """The scene asked for, from the one field that tells it, and what its text excludes."""
    given = [field for field in ("graph", "image_id", "text") if getattr(body, field) is not None]
    if len(given) != 1:
        pointer = f"/{given[1]}" if given else "/graph"
        raise RequestInvalidError(Problem(pointer, "a search needs exactly one of graph, image_id and text"))
    if body.graph is not None:
        return read_query_graph(body.graph, body.format, limits), ()
    if body.format is not None:
        raise RequestInvalidError(Problem("/format", "format goes with graph only; remove it"))
    if body.text is not None:
        return _read_text(body.text, snapshot.version.checkpoint.resolver, limits)
    assert body.image_id is not None
    image = snapshot.get(body.image_id)
    if image is None:
        raise NotFoundError(f"there is no image {body.image_id!r} in the index")
    return read_graph(json.loads(image.graph), "native"), ()


def _read_text(text: str, resolver: NameResolver, limits: Settings) -> tuple[SceneGraph, tuple[Condition, ...]]:
    try:
        query = parse_query(text, resolver)
        graph = read_query_graph(write_graph(query.graph), "native", limits)  # which measures it
    except QueryTextError as error:
        raise RequestInvalidError(Problem("/text", str(error))) from None
    except GraphError as error:
        raise RequestInvalidError(*(Problem("/text", item.message) for item in error.problems)) from None
    excluded = tuple(map(_excluded, query.excluded))
    if any(len(name or "") > limits.max_name_length for condition in excluded for name in condition.names):
        raise RequestInvalidError(Problem("/text", f"a name may have {limits.max_name_length} characters"))
    return graph, excluded


def _excluded(clause: Clause) -> Condition:
    if clause.object is not None:
        return Condition("triple", (clause.subject.name, clause.predicate, clause.object.name))
    if clause.subject.attributes:
        return Condition("attribute", (clause.subject.name, clause.subject.attributes[0]))
    return Condition("object", (clause.subject.name,))


def _filter(body: SearchFilter, excluded: tuple[Condition, ...], limits: Settings) -> Filter:
    if len(body.must) + len(body.must_not) + len(excluded) > MAX_CONDITIONS:
        raise RequestInvalidError(
            Problem("/filter", f"a filter may have {MAX_CONDITIONS} conditions, this one has more")
        )
    problems = [
        problem
        for clause, conditions in (("must", body.must), ("must_not", body.must_not))
        for position, condition in enumerate(conditions)
        for problem in _unusable_names(condition, f"/filter/{clause}/{position}", limits.max_name_length)
    ]
    if problems:
        raise RequestInvalidError(*problems)
    return Filter(must=tuple(map(_condition, body.must)), must_not=(*map(_condition, body.must_not), *excluded))


def _condition(body: FilterCondition) -> Condition:
    def names(texts: list[str | None]) -> tuple[str | None, ...]:
        return tuple(None if text == "*" else text for text in texts)

    if body.triple is not None:
        return Condition("triple", names(body.triple))
    if body.attribute is not None:
        return Condition("attribute", names(body.attribute))
    return Condition("object", (body.object,))


def _unusable_names(body: FilterCondition, pointer: str, longest: int) -> Iterator[Problem]:
    for kind, texts in (("object", [body.object]), ("attribute", body.attribute), ("triple", body.triple)):
        for place, text in enumerate(texts or ()):
            where = f"{pointer}/{kind}" if kind == "object" else f"{pointer}/{kind}/{place}"
            if text is not None and not text.strip():
                yield Problem(where, "a name must not be empty; use null for any")
            elif text is not None and len(text) > longest:
                yield Problem(where, f"a name may have {longest} characters, this one has {len(text)}")
