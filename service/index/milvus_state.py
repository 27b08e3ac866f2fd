"""Searching an index version in Milvus, with scores, order and ties as exact as those from files.

Milvus ranks in single precision, and breaks ties as it likes. So it is asked for more than the page: all that could be
on it within the bound on rounding. Of these the vectors are fetched, and scored in double precision.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from model.checkpoint import Checkpoint
from model.inference import InferenceEncoder
from model.vocabulary import Vocabulary
from service.catalogue import StoredImage
from service.filters import ResolvedFilter
from service.index.approximate import IndexKind
from service.index.manifest import IndexManifest
from service.index.milvus import MOST_HITS, Milvus
from service.index.milvus_rows import expression_of, has, image_of_row
from service.index.name_counts import NAME_KINDS
from service.index.ranking import ExactScores, Scores, Vectors
from service.index.state import NameKind, Page, PageQuery

_SPARE: Final = 64  # hits asked for beyond the page, to see whether its last one ties with the next
_MORE: Final = 4  # times as many, where they all tie


@dataclass(frozen=True, slots=True, kw_only=True)
class MilvusVersion:
    """An index version whose vectors are in Milvus.

    Args:
        manifest: what it is.
        checkpoint, encoder: the model that made the vectors, and its form that makes those of queries.
        kind: of the index of its vectors.
        name_counts: by kind how many images had each name when it was made.
    """

    manifest: IndexManifest
    checkpoint: Checkpoint
    encoder: InferenceEncoder
    kind: IndexKind
    name_counts: Mapping[str, Mapping[str, int]]


class MilvusState:
    """An index version in Milvus, as it is when it is asked.

    Changes are written into the collection, so a search may see some that are later than `revision`.

    Args:
        milvus: the connection.
        version: the version.
        revision: all changes of the catalogue up to it are in the collection.
    """

    changed = 0
    """Changes are in the version itself, so there are none beside it."""
    removed = 0

    def __init__(self, milvus: Milvus, version: MilvusVersion, revision: int) -> None:
        self.version, self.revision = version, revision
        self._milvus = milvus
        self._name = version.manifest.version
        self.count = milvus.count(self._name)
        self.names: Mapping[str, Container[str]] = {f"{kind}s": _Names(self, kind) for kind in NAME_KINDS}

    @property
    def name(self) -> str:
        """The version's name, and the catalogue's revision if something has changed since it was made."""
        is_new = self.revision > self.version.manifest.catalogue_revision
        return f"{self._name}+{self.revision}" if is_new else self._name

    def name_counts(self, kind: NameKind) -> Mapping[str, int]:
        """How many images had each name when the version was made: Milvus cannot count them all at once."""
        return self.version.name_counts[kind]

    def get(self, image_id: str) -> StoredImage | None:
        """An image, if it can be found."""
        rows = self._milvus.fetch(self._name, [image_id], ["record"])
        return image_of_row(rows[image_id]) if image_id in rows else None

    def select(self, wanted: ResolvedFilter) -> str:
        """The images that a filter leaves, as an expression."""
        return expression_of(wanted)

    def has_entry(self, kind: str, names: tuple[str | None, ...]) -> bool:
        """Whether any image has an entry."""
        return self._milvus.any(self._name, has((kind, names)))

    def pages(self, queries: Sequence[PageQuery]) -> list[Page]:
        """The pages asked for, some of them at a time.

        Raises:
            VectorStoreError: Milvus does not answer.
        """
        if len(queries) == 1:
            return [self._page(queries[0])]
        return list(self._milvus.pool.map(self._page, queries))

    def exact_scores(self, vector: Vectors, image_ids: Sequence[str]) -> dict[str, float]:
        """Scores of images that are there."""
        rows = self._milvus.fetch(self._name, image_ids, ["vector"])
        return dict(zip(rows, _scores(vector, list(rows.values())), strict=True))

    def _page(self, query: PageQuery) -> Page:
        expression = "" if query.selection is None else query.selection
        assert isinstance(expression, str), "a selection belongs to the state that made it"
        ids, products, has_all = self._hits(query, expression)
        total, is_exact = self._total(query, expression, ids, products, has_all=has_all)
        if query.offset >= len(ids) or not query.limit:
            return Page(images=[], scores=[], total=total, total_is_exact=is_exact)
        margin = 2 * self._rounding
        first, last = products[query.offset], products[min(query.offset + query.limit, len(ids)) - 1]
        before = int((products > first + margin).sum())
        near = [
            ids[place] for place in np.flatnonzero((products >= last - margin) & (products <= first + margin)).tolist()
        ]
        rows = self._milvus.fetch(self._name, near, ["vector", "record"])
        ranked = sorted(
            (-score, image_id)
            for image_id, score in zip(rows, _scores(query.vector, list(rows.values())), strict=True)
            if query.min_score is None or score >= query.min_score
        )[query.offset - before :][: query.limit]
        return Page(
            images=[image_of_row(rows[image_id]) for _, image_id in ranked],
            scores=[-score + 0.0 for score, _ in ranked],  # no minus zero
            total=total,
            total_is_exact=is_exact,
        )

    def _hits(self, query: PageQuery, expression: str) -> tuple[list[str], Scores, bool]:
        """Ids and products of the best rows, all that could be on the page among them; whether there are no others."""
        wanted = query.offset + query.limit
        # How many have at least a score Milvus does not tell, so they are all asked for.
        limit = MOST_HITS if query.min_score is not None else min(wanted + _SPARE, MOST_HITS)
        while True:
            ids, found = self._milvus.search(
                self._name,
                query.vector,
                limit=limit,
                expression=expression,
                params={"nprobe": self.version.kind.probes} if self.version.kind.lists else {},
            )
            products = np.array(found, np.float64)
            has_all = len(ids) < limit
            if query.min_score is not None:
                kept = int((products >= query.min_score - self._rounding).sum())
                has_all = has_all or kept < len(ids)
                ids, products = ids[:kept], products[:kept]
            if has_all or limit >= MOST_HITS or products[wanted - 1] - products[-1] > 2 * self._rounding:
                return ids, products, has_all
            limit = min(_MORE * limit, MOST_HITS)

    def _total(
        self, query: PageQuery, expression: str, ids: Sequence[str], products: Scores, *, has_all: bool
    ) -> tuple[int, bool]:
        """How many images the whole ranking has, and whether there are no more."""
        looks_at_all = not self.version.kind.lists
        if query.min_score is None:
            if has_all:
                return len(ids), looks_at_all
            return (self._milvus.count(self._name, expression) if expression else self.count), True
        above = products - query.min_score
        near = np.flatnonzero(np.abs(above) <= self._rounding).tolist()
        scores = self.exact_scores(query.vector, [ids[place] for place in near])
        total = int((above > self._rounding).sum()) + sum(score >= query.min_score for score in scores.values())
        return total, has_all and looks_at_all

    @property
    def _rounding(self) -> float:
        return ExactScores(np.empty((0, self.version.manifest.dimension), np.float32)).rounding


class _Names(Container[str]):
    """The names of one kind that images have."""

    def __init__(self, state: MilvusState, kind: NameKind) -> None:
        self._state, self._kind = state, kind
        self._known = _known(state.version.checkpoint.resolver.vocabulary, kind)

    def __contains__(self, name: object) -> bool:
        assert isinstance(name, str)
        # A name that the model knows and no image has is no mistake to look for: nothing meets it.
        if name in self._known or name in self._state.name_counts(self._kind):
            return True
        match self._kind:
            case "object":
                return self._state.has_entry("objects", (name,))
            case "predicate":
                return self._state.has_entry("triples", (None, name, None))
            case "attribute":
                return self._state.has_entry("attributes", (None, name))


def _known(vocabulary: Vocabulary, kind: NameKind) -> frozenset[str]:
    match kind:
        case "object":
            return frozenset(vocabulary.objects)
        case "predicate":
            return frozenset(vocabulary.predicates)
        case "attribute":
            return frozenset()


def _scores(vector: Vectors, rows: Sequence[dict[str, Any]]) -> list[float]:
    """Inner products with rows' vectors in double precision, rounded."""
    if not rows:
        return []
    vectors = np.array([row["vector"] for row in rows], np.float32)
    scores: list[float] = ExactScores(vectors).scores(vector, slice(None)).tolist()
    return scores
