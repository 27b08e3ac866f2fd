"""From a query graph to a page of images: resolve the names, encode, look up, say what was taken for what."""

from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from model.batch import PackedGraphs
from model.errors import Problem
from model.formats import GraphFormat, read_graph
from model.graph_reader import GraphLimits
from model.inference import embed
from model.resolution import Substitution
from model.scene_graph import SceneGraph
from service.errors import SubstitutionError
from service.filters import Selection
from service.index.versions import IndexVersion
from service.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchQuery:
    """A search.

    Args:
        graph: the scene, or a part of one.
        limit, offset: which page of the ranking.
        min_score: leave out images with a lower score.
        strict: refuse names that are not in the vocabulary as they stand.
        selection: what a filter leaves of the index version that is searched; None without one.
    """

    graph: SceneGraph
    limit: int
    offset: int
    min_score: float | None
    strict: bool
    selection: Selection | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchAnswer:
    """A page of images, best first, and the index version that it comes from.

    The pointers of substitutions start with /graph or /filter.

    Units: encode_ms and search_ms in milliseconds.
    """

    image_ids: list[str]
    scores: list[float]
    total: int
    version: IndexVersion
    substitutions: tuple[Substitution, ...]
    encode_ms: float
    search_ms: float


def read_query_graph(document: dict[str, Any], format: GraphFormat | None, limits: Settings) -> SceneGraph:  # noqa: A002
    """The scene graph of a request.

    Raises:
        GraphError: it is not valid, or larger than the settings allow.
    """
    size = GraphLimits(
        objects=limits.max_objects, relationships=limits.max_relationships, text_length=limits.max_name_length
    )
    return read_graph(document, format, size)


def search(version: IndexVersion, query: SearchQuery) -> SearchAnswer:
    """The images whose graphs are most like the query's, by inner product of unit vectors.

    Raises:
        SubstitutionError: the search is strict, and names are not in the vocabulary.
    """
    started = perf_counter()
    resolved = version.checkpoint.resolver.resolve(query.graph)
    substitutions = [replace(item, pointer=f"/graph{item.pointer}") for item in resolved.substitutions]
    if query.selection is not None:
        substitutions += [replace(item, pointer=f"/filter{item.pointer}") for item in query.selection.substitutions]
    if query.strict and substitutions:
        raise SubstitutionError(*(Problem(item.pointer, _unknown(item)) for item in substitutions))
    vector = embed(version.checkpoint.encoder, PackedGraphs.pack([resolved]))[0]
    encoded = perf_counter()
    hits = version.index.search(
        vector,
        limit=query.limit,
        offset=query.offset,
        min_score=query.min_score,
        allowed=None if query.selection is None else query.selection.rows,
    )
    return SearchAnswer(
        image_ids=[version.ids[row] for row in hits.rows],
        scores=hits.scores.tolist(),
        total=hits.total,
        version=version,
        substitutions=tuple(substitutions),
        encode_ms=(encoded - started) * 1000,
        search_ms=(perf_counter() - encoded) * 1000,
    )


def describe(substitution: Substitution) -> str:
    """What a word was taken for, and why."""
    if substitution.taken_for is None:
        if substitution.pointer.startswith("/filter"):
            return f"{_unknown(substitution)}; no image has it"
        return f"{_unknown(substitution)}; it is taken for an unknown thing"
    return f"{_unknown(substitution)}, which it is taken for"


def _unknown(substitution: Substitution) -> str:
    """Why a word is not known as it stands."""
    word, taken_for = repr(substitution.word), repr(substitution.taken_for)
    if substitution.taken_for is None:
        return f"{word} is not known, and nothing near it is"
    how = {
        "case": "differs in case or spaces from",
        "alias": "is another name for",
        "plural": "is the singular or plural of",
        "nearest": "is not known; the nearest known name is",
    }[substitution.how]
    return f"{word} {how} {taken_for}"
