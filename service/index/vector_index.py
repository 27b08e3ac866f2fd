"""Exact nearest neighbours by inner product, with a total order: falling score, then rising row."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.dlpack import from_dlpack

from service.index.approximate import ApproximateIndex

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]
Scores = NDArray[np.float64]

SCORE_DECIMALS: Final = 6
"""Scores are rounded, so that images whose graphs say the same tie instead of being ordered by rounding noise."""

_BLOCK: Final = 8192  # rows looked at together
_CACHED: Final = 1024  # rows multiplied together: they stay in the cache while all queries pass over them
_FEW: Final = 4  # queries that are multiplied as columns
_SPARE: Final = 32  # neighbours fetched beyond those asked for, to see whether the last one ties with the next
_GATHER: Final = 3  # so many rows in place cost about as much as one that is picked out
_MOST_FETCHED: Final = 2048  # FAISS's limit on a GPU (its issue 2103); from here on a full look is as fast
_NO_ROWS: Final[Rows] = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What one search wants of the index.

    Args:
        query: a unit vector. Shape (D,).
        wanted: how many rows, from the best on.
        min_score: leave out rows with a lower score.
        allowed: leave out all rows but these, which rise; None for all rows. Shape (allowed,).
    """

    query: Vectors
    wanted: int
    min_score: float | None = None
    allowed: Rows | None = None


@dataclass(frozen=True, slots=True)
class Hits:
    """The best rows of a ranking.

    Shapes:
        rows, scores: (at most wanted,) positions in the index and their scores, best first.
        total: how many rows the whole ranking has.
    """

    rows: Rows
    scores: Scores
    total: int


class VectorIndex:
    """N unit vectors, searched where they are: an array mapped from a file stays one, and is not copied.

    Candidates come from single-precision products, for many lookups at once or from FAISS; their scores are then
    computed in double precision, row by row, so that equal vectors have equal scores whatever their places. Whatever
    could tie with the last row wanted is a candidate. On a GPU FAISS has the vectors in its memory as well.

    Args:
        vectors: unit rows, in the order that breaks ties. Shape (N, D).
        approximate: their lists; then a search without `allowed` ranks only rows of the lists near to it, exactly.
    """

    def __init__(self, vectors: Vectors, approximate: ApproximateIndex | None = None) -> None:
        self._approximate = approximate
        self._vectors: Vectors = np.ascontiguousarray(vectors, np.float32)
        self._tensor = from_dlpack(self._vectors)  # unlike from_numpy, no warning that the array is read-only
        self.count, self.dimension = self._vectors.shape
        # A GPU index must not be used by two threads at once; the owner has one, and this makes it sure.
        self._lock = threading.Lock()
        self._resources: Any = None
        self._on_gpu: Any = None
        if self.count and approximate is None and faiss.get_num_gpus() > 0:
            self._resources = faiss.StandardGpuResources()
            self._on_gpu = faiss.GpuIndexFlatIP(self._resources, self.dimension)
            self._on_gpu.add(self._vectors)
        self.rounding: float = (self.dimension + 1) * 2.0**-24 * 1.01 + 10.0**-SCORE_DECIMALS
        """Bound on a single-precision product's distance from its score (Higham 2002, section 3.1)."""

    def search(self, lookups: Sequence[Lookup], *, excluded: Rows | None = None) -> list[Hits]:
        """For each lookup the first rows by falling score, equal scores by rising row.

        Args:
            lookups: done together; each gets what it would get alone.
            excluded: rising rows that are in no ranking. Shape (excluded,).
        """
        excluded = _NO_ROWS if excluded is None else excluded
        hits: dict[int, Hits] = {}
        rest: list[int] = []
        for place, lookup in enumerate(lookups):
            rows = lookup.allowed
            if rows is None and self._approximate is not None:
                rows = self._approximate.near(lookup.query)
                hits[place] = self._among(lookup, without(rows, excluded))
            elif rows is not None and _GATHER * len(rows) < self.count:
                hits[place] = self._among(lookup, without(rows, excluded))
            else:
                rest.append(place)
        hits |= self._proposed({place: lookups[place] for place in rest}, excluded)
        rest = [place for place in rest if place not in hits]
        hits |= zip(rest, self._scan([lookups[place] for place in rest], excluded), strict=True)
        return [hits[place] for place in range(len(lookups))]

    def scores(self, query: Vectors, rows: Rows | slice) -> Scores:
        """Inner products in double precision, within -1..1, rounded to SCORE_DECIMALS. Shape (rows,)."""
        # Multiply and sum, not a matrix product: a row's result must not depend on the rows around it.
        products = (self._vectors[rows].astype(np.float64) * query.astype(np.float64)).sum(axis=1)
        scores: Scores = np.clip(products, -1, 1).round(SCORE_DECIMALS) + 0.0  # no minus zero
        return scores

    def _proposed(self, lookups: dict[int, Lookup], excluded: Rows) -> dict[int, Hits]:
        """What FAISS finds with certainty, by the lookups' places: of all on a GPU, of a lone one on the CPU."""
        plain = {
            place: lookup
            for place, lookup in lookups.items()
            if lookup.allowed is None and lookup.min_score is None and lookup.wanted + _SPARE <= _MOST_FETCHED
        }
        total = self.count - len(excluded)
        if not plain or (self._on_gpu is None and len(lookups) > 1):
            return {}
        fetch = max(lookup.wanted for lookup in plain.values()) + _SPARE
        if fetch >= total:
            return {}
        queries = np.stack([lookup.query for lookup in plain.values()])
        with self._lock:
            if self._on_gpu is not None:
                products, rows = self._on_gpu.search(queries, fetch)
            else:
                products, rows = faiss.knn(queries, self._vectors, fetch, metric=faiss.METRIC_INNER_PRODUCT)
        hits: dict[int, Hits] = {}
        for (place, lookup), near, found in zip(plain.items(), products, rows, strict=True):
            scores = self.scores(lookup.query, found)
            # What FAISS left out has at most the product of the last one it found, give or take its rounding.
            beyond = float(near[-1]) + max(self.rounding, 2 * float(np.abs(near - scores).max()))
            order = np.lexsort((found, -scores))
            if len(excluded):
                order = order[~np.isin(found[order], excluded)]
            order = order[: lookup.wanted]
            if len(order) == lookup.wanted and scores[order[-1]] > beyond:
                hits[place] = Hits(found[order], scores[order], total)
        return hits

    def _scan(self, lookups: Sequence[Lookup], excluded: Rows) -> Iterator[Hits]:
        """Look at all rows, block by block, for all lookups together."""
        rankings = [_Ranking(self, lookup) for lookup in lookups]
        queries = np.stack([lookup.query for lookup in lookups]) if lookups else np.empty((0, self.dimension))
        for block in self._blocks() if lookups else ():
            products = self._products(queries.astype(np.float32, copy=False), block)
            hidden = excluded[_within(excluded, block)] - block.start
            for ranking, found in zip(rankings, products, strict=True):
                found[hidden] = -np.inf
                if ranking.lookup.allowed is not None:
                    forbidden = np.ones(len(found), np.bool_)
                    forbidden[ranking.lookup.allowed[_within(ranking.lookup.allowed, block)] - block.start] = False
                    found[forbidden] = -np.inf
            floors = np.array([ranking.floor for ranking in rankings], np.float32)
            which, places = np.nonzero(products >= floors[:, np.newaxis])
            ends = np.searchsorted(which, np.arange(len(rankings) + 1))
            for number, ranking in enumerate(rankings):
                ranking.count(products[number], block.start)
                near = places[ends[number] : ends[number + 1]]
                if len(near):
                    ranking.offer(near + block.start, products[number, near])
        for ranking in rankings:
            if ranking.lookup.min_score is not None:
                total = ranking.counted
            elif ranking.lookup.allowed is not None:
                total = len(without(ranking.lookup.allowed, excluded))
            else:
                total = self.count - len(excluded)
            yield ranking.hits(total)

    def _among(self, lookup: Lookup, rows: Rows) -> Hits:
        """The best of a few rows, each of which is looked at."""
        products = np.empty(len(rows), np.float32)
        pointers = [faiss.swig_ptr(array) for array in (products, lookup.query, self._vectors, rows)]
        faiss.fvec_inner_products_by_idx(*pointers, self.dimension, 1, len(rows))  # type: ignore[attr-defined]
        ranking = _Ranking(self, replace(lookup, allowed=None))
        ranking.count(products, 0, rows)
        ranking.offer(rows, products)
        return ranking.hits(len(rows) if lookup.min_score is None else ranking.counted)

    def _products(self, queries: Vectors, block: slice) -> Vectors:
        """Inner products in single precision: fast, and within `rounding` of the scores. Shape (queries, block).

        By PyTorch, whose threads the engine has set to one; NumPy's would get in each other's way.
        """
        left = torch.from_numpy(queries)
        if len(left) <= _FEW:
            # For a few columns, not one, there is a kernel that goes through the rows once.
            right = left.T if len(left) > 1 else left.repeat(2, 1).T
            few: Vectors = torch.mm(self._tensor[block], right).T[: len(left)].contiguous().numpy()
            return few
        starts = range(block.start, block.stop, _CACHED)
        parts = [torch.mm(left, self._tensor[start : min(start + _CACHED, block.stop)].T) for start in starts]
        products: Vectors = torch.cat(parts, 1).numpy()
        return products

    def _blocks(self) -> list[slice]:
        return [slice(start, min(start + _BLOCK, self.count)) for start in range(0, self.count, _BLOCK)]


class _Ranking:
    """Gathers the rows that can be among the best for one lookup, in rising order, by their products.

    A row may be left out if its product is below `floor`.
    """

    def __init__(self, index: VectorIndex, lookup: Lookup) -> None:
        self.lookup = lookup
        self.counted = 0
        """Rows that have at least the lookup's `min_score`."""
        self._index = index
        self.floor = -2.0 if lookup.min_score is None else lookup.min_score - index.rounding
        self._rows: list[Rows] = []
        self._products: list[Vectors] = []
        self._held = 0
        self._most_held = 4 * lookup.wanted + 256

    def count(self, products: Vectors, start: int, rows: Rows | None = None) -> None:
        """Add to `counted` what of some rows belongs there."""
        least = self.lookup.min_score
        if least is None:
            return
        near = np.flatnonzero(np.abs(products - least) <= self._index.rounding)
        self.counted += int((products > least + self._index.rounding).sum())
        for part in np.split(near, range(_BLOCK, len(near), _BLOCK)):
            which = part + start if rows is None else rows[part]
            self.counted += int((self._index.scores(self.lookup.query, which) >= least).sum())

    def offer(self, rows: Rows, products: Vectors) -> None:
        """Take in rows, which come after all earlier ones."""
        self._rows.append(rows)
        self._products.append(products)
        self._held += len(rows)
        if self._held > self._most_held:
            self._shrink()

    def _shrink(self) -> None:
        """Let go of what cannot be among the best any more, and raise the floor."""
        rows, products = np.concatenate(self._rows), np.concatenate(self._products)
        wanted = self.lookup.wanted
        border = float(np.partition(products, len(products) - wanted)[len(products) - wanted])
        self.floor = max(self.floor, border - 2 * self._index.rounding)
        kept = products >= self.floor
        rows, products = rows[kept], products[kept]
        if len(rows) > 2 * wanted + 128:
            # Many tie with the last one. Those that come later have higher rows, so only the first of these matter.
            rows, scores = self._best(rows, wanted)
            self.floor = max(self.floor, float(scores[-1]) - self._index.rounding)
            order = np.argsort(rows)
            rows, products = rows[order], scores[order].astype(np.float32)
        self._rows, self._products, self._held = [rows], [products], len(rows)
        self._most_held = 4 * wanted + 256

    def hits(self, total: int) -> Hits:
        """The best rows of those taken in; `total` is how many the whole ranking has."""
        wanted = min(self.lookup.wanted, total)
        if wanted == 0:
            return Hits(_NO_ROWS, np.empty(0), total)
        rows, products = np.concatenate(self._rows), np.concatenate(self._products)
        border = float(np.partition(products, len(products) - wanted)[len(products) - wanted])
        rows, scores = self._best(rows[products >= border - 2 * self._index.rounding], wanted)
        return Hits(rows, scores, total)

    def _best(self, rows: Rows, wanted: int) -> tuple[Rows, Scores]:
        parts = np.split(rows, range(_BLOCK, len(rows), _BLOCK))
        scores = np.concatenate([self._index.scores(self.lookup.query, part) for part in parts])
        order = np.lexsort((rows, -scores))[:wanted]
        return rows[order], scores[order]


def without(rows: Rows, excluded: Rows) -> Rows:
    """Rising rows without some others, which rise too."""
    if not len(rows) or not len(excluded):
        return rows
    places = np.minimum(np.searchsorted(rows, excluded), len(rows) - 1)
    left: Rows = np.delete(rows, places[rows[places] == excluded])
    return left


def _within(rows: Rows, block: slice) -> slice:
    """Which of some rising rows are in a block."""
    return slice(*np.searchsorted(rows, (block.start, block.stop)))


def use_one_thread() -> None:
    """Let the thread that calls this encode and search by itself.

    For one query the threads of PyTorch and FAISS mostly wait for each other: on a busy machine that makes a search
    several times slower.
    """
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
