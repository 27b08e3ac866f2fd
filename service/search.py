"""From query graphs to ranked images: encode together, look up together."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from model.batch import PackedGraphs
from model.inference import embed
from model.resolution import ResolvedGraph, Substitution
from model.scene_graph import SceneGraph
from service.catalogue import StoredImage
from service.filters import Filter
from service.index.state import PageQuery, Selection, State


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchQuery:
    """A search, read and looked up in one state of the catalogue.

    Args:
        snapshot: that state.
        graph: the scene, or a part of one.
        resolved: the graph by the snapshot's vocabulary.
        limit, offset: which page of the ranking.
        min_score: leave out images with a lower score.
        filter: which images may be in the ranking; None for all.
        selection: those that the filter leaves; None for all.
        substitutions: names that were not taken as they stand; their pointers start with /graph or /filter.
    """

    snapshot: State
    graph: SceneGraph
    resolved: ResolvedGraph
    limit: int
    offset: int
    min_score: float | None
    filter: Filter | None = None
    selection: Selection | None = None
    substitutions: tuple[Substitution, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchAnswer:
    """A page of the ranking, best first.

    Args:
        images, scores: the page.
        total: images in the whole ranking.
        total_is_exact: False if there may be more.
        encode_ms, search_ms: how long the searches took that were done together. Units: milliseconds.
    """

    images: Sequence[StoredImage]
    scores: list[float]
    total: int
    total_is_exact: bool
    encode_ms: float
    search_ms: float


def search(queries: Sequence[SearchQuery]) -> list[SearchAnswer]:
    """The images whose graphs are most like the queries', by inner product of unit vectors.

    Args:
        queries: all in the same snapshot.
    """
    started = perf_counter()
    snapshot = queries[0].snapshot
    vectors = embed(snapshot.version.encoder, PackedGraphs.pack(query.resolved for query in queries))
    encoded = perf_counter()
    pages = snapshot.pages(
        [
            PageQuery(
                vector=vector,
                limit=query.limit,
                offset=query.offset,
                min_score=query.min_score,
                selection=query.selection,
            )
            for query, vector in zip(queries, vectors, strict=True)
        ]
    )
    ended = perf_counter()
    return [
        SearchAnswer(
            images=page.images,
            scores=page.scores,
            total=page.total,
            total_is_exact=page.total_is_exact,
            encode_ms=(encoded - started) * 1000,
            search_ms=(ended - encoded) * 1000,
        )
        for page in pages
    ]


def describe(substitution: Substitution) -> str:
    """What a word was taken for, and why."""
    if substitution.taken_for is None:
        if substitution.pointer.startswith("/filter"):
            return f"{unknown(substitution)}; no image has it"
        return f"{unknown(substitution)}; it is taken for an unknown thing"
    return f"{unknown(substitution)}, which it is taken for"


def unknown(substitution: Substitution) -> str:
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
