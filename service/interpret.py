"""What a search request asks for: its graph and its filter, read, measured and looked up."""

from collections.abc import Iterator, Sequence
from typing import Final

from model.errors import GraphError, Problem, QueryTextError
from model.formats import read_graph, write_graph
from model.query_language import Clause, parse_query
from model.resolution import NameResolver
from model.scene_graph import SceneGraph
from service.catalogue import Catalogue
from service.errors import NotFoundError, RequestInvalidError
from service.filters import MAX_CONDITIONS, Condition, Filter, select
from service.index.versions import IndexVersion
from service.schemas import FilterCondition, SearchFilter, SearchRequest
from service.search import SearchQuery, read_query_graph
from service.settings import Settings

MAX_EXPLAINED: Final = 100
"""Results of a page with explanations; each takes some milliseconds where a query is large."""

MAX_BATCH_EXPLAINED: Final = 1000
"""The same for all searches of a batch together."""


def interpret(body: SearchRequest, version: IndexVersion, catalogue: Catalogue, limits: Settings) -> SearchQuery:
    """The search that a request describes.

    Raises:
        RequestInvalidError: a field has an impossible value or is too large.
        GraphError: the graph is not valid or too large.
        NotFoundError: there is no such image.
        IndexVersionError: there is a filter, and the index version is too old for filters.
    """
    _check_page(body, limits)
    resolver = version.checkpoint.resolver
    graph, excluded = _graph(body, catalogue, resolver, limits)
    selection = None
    if body.filter is not None or excluded:
        wanted = _filter(body.filter or SearchFilter(), excluded, limits)
        selection = select(version.require_filters(), wanted, resolver)
    return SearchQuery(
        graph=graph,
        limit=body.limit,
        offset=body.offset,
        min_score=body.min_score,
        strict=body.strict,
        selection=selection,
    )


def check_batch(bodies: Sequence[SearchRequest], limits: Settings) -> None:
    """See that searches do not ask for too much together.

    Raises:
        RequestInvalidError: they do.
    """
    asked = sum(body.limit for body in bodies)
    explained = sum(body.limit for body in bodies if body.explain)
    for what, count, most in (("results", asked, limits.max_window), ("explanations", explained, MAX_BATCH_EXPLAINED)):
        if count > most:
            message = f"the searches of a batch may ask for {most} {what} together, these ask for {count}; split it"
            raise RequestInvalidError(Problem("/queries", message))


def _check_page(body: SearchRequest, limits: Settings) -> None:
    if body.limit > limits.max_limit:
        raise RequestInvalidError(Problem("/limit", f"limit is at most {limits.max_limit}; ask for pages"))
    if body.explain and body.limit > MAX_EXPLAINED:
        raise RequestInvalidError(Problem("/limit", f"with explain, limit is at most {MAX_EXPLAINED}; ask for pages"))
    if body.offset + body.limit > limits.max_window:
        message = f"offset + limit is at most {limits.max_window}; ask for a smaller part, or a higher min_score"
        raise RequestInvalidError(Problem("/offset", message))


def _graph(
    body: SearchRequest, catalogue: Catalogue, resolver: NameResolver, limits: Settings
) -> tuple[SceneGraph, tuple[Condition, ...]]:
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
        return _read_text(body.text, resolver, limits)
    assert body.image_id is not None
    image = None if "\0" in body.image_id else catalogue.get(body.image_id)  # which databases refuse
    if image is None:
        raise NotFoundError(f"there is no image {body.image_id!r} in the catalogue")
    return read_graph(image.graph, "native"), ()


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
