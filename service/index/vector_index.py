"""Exact nearest neighbours by inner product, with a total order: falling score, then rising row."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import faiss
import numpy as np
import torch
from torch.utils.dlpack import from_dlpack

from service.index.approximate import ApproximateIndex
from service.index.quantized import QuantizedVectors, can_multiply
from service.index.ranking import NO_ROWS, ExactScores, Hits, Lookup, Ranking, Rows, Scores, Vectors
from service.index.screening import Screen, blocks, can_screen, nearest

_BLOCK: Final = 8192  # rows looked at together
_CACHED: Final = 1024  # rows multiplied together: they stay in the cache while all queries pass over them
_FEW: Final = 4  # queries that are multiplied as columns
_MOST_SCANS: Final = 2  # lookups that pass over all codes one after the other; more are faster together
_SPARE: Final = 32  # neighbours fetched beyond those asked for, to see whether the last one ties with the next
_GATHER: Final = 3  # so many rows in place cost about as much as one that is picked out
_MOST_FETCHED: Final = 2048  # FAISS's limit on a GPU (its issue 2103); from here on a full look is as fast


class VectorIndex:
    """N unit vectors, searched where they are: an array mapped from a file stays one, and is not copied.

    Candidates come from codes in eight bits, from products in single precision, or from FAISS; their scores are then
    computed in double precision, row by row, so that equal vectors have equal scores whatever their places. Whatever
    could tie with the last row wanted is a candidate. On a GPU FAISS has the vectors in its memory as well.

    Args:
        vectors: unit rows, in the order that breaks ties. Shape (N, D).
        approximate: their lists; then a search without `allowed` ranks only rows of the lists near to it, exactly.
        quantized: the same rows in eight bits.
    """

    def __init__(
        self,
        vectors: Vectors,
        approximate: ApproximateIndex | None = None,
        quantized: QuantizedVectors | None = None,
    ) -> None:
        self._approximate, self._quantized = approximate, quantized
        self._multiplied = quantized if can_multiply() else None  # for several lookups together
        self._vectors: Vectors = np.ascontiguousarray(vectors, np.float32)
        self._tensor = from_dlpack(self._vectors)  # unlike from_numpy, no warning that the array is read-only
        self.count, self.dimension = self._vectors.shape
        self._exact = ExactScores(self._vectors)
        # A GPU index must not be used by two threads at once; the owner has one, and this makes it sure.
        self._lock = threading.Lock()
        self._resources: Any = None
        self._on_gpu: Any = None
        if self.count and approximate is None and faiss.get_num_gpus() > 0:
            self._resources = faiss.StandardGpuResources()
            self._on_gpu = faiss.GpuIndexFlatIP(self._resources, self.dimension)
            self._on_gpu.add(self._vectors)

    def search(self, lookups: Sequence[Lookup], *, excluded: Rows | None = None) -> list[Hits]:
        """For each lookup the first rows by falling score, equal scores by rising row.

        Args:
            lookups: done together; each gets what it would get alone.
            excluded: rising rows that are in no ranking. Shape (excluded,).
        """
        excluded = NO_ROWS if excluded is None else excluded
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
        for look in (self._nearest, self._proposed, self._screened):
            hits |= look({place: lookups[place] for place in rest}, excluded)
            rest = [place for place in rest if place not in hits]
        hits |= zip(rest, self._scan([lookups[place] for place in rest], excluded), strict=True)
        return [hits[place] for place in range(len(lookups))]

    @property
    def is_exact(self) -> bool:
        """Whether a search without `allowed` looks at all rows."""
        return self._approximate is None or self._approximate.probes == len(self._approximate.centroids)

    def scores(self, query: Vectors, rows: Rows | slice) -> Scores:
        """Inner products in double precision, within -1..1, rounded. Shape (rows,)."""
        return self._exact.scores(query, rows)

    def _proposed(self, lookups: dict[int, Lookup], excluded: Rows) -> dict[int, Hits]:
        """What FAISS finds with certainty, by the lookups' places: of all on a GPU, of a lone one on the CPU."""
        if self._on_gpu is None and self._multiplied is not None:
            return {}
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
            beyond = float(near[-1]) + max(self._exact.rounding, 2 * float(np.abs(near - scores).max()))
            order = np.lexsort((found, -scores))
            if len(excluded):
                order = order[~np.isin(found[order], excluded)]
            order = order[: lookup.wanted]
            if len(order) == lookup.wanted and scores[order[-1]] > beyond:
                hits[place] = Hits(found[order], scores[order], total)
        return hits

    def _nearest(self, lookups: dict[int, Lookup], excluded: Rows) -> dict[int, Hits]:
        """What one or two lookups find among the few rows whose codes are nearest to each, by their places."""
        hits: dict[int, Hits] = {}
        if self._on_gpu is not None or self._quantized is None or len(lookups) > _MOST_SCANS:
            return hits
        for place, lookup in lookups.items():
            if lookup.allowed is None and lookup.min_score is None and can_screen(self.count, lookup.wanted):
                rows = nearest(self._quantized, lookup, self._exact, excluded)
                if rows is not None:
                    hits[place] = self._among(lookup, rows, self.count - len(excluded))
        return hits

    def _screened(self, lookups: dict[int, Lookup], excluded: Rows) -> dict[int, Hits]:
        """What is found among the few rows that a first pass in eight bits leaves, by the lookups' places."""
        lookups = {place: lookup for place, lookup in lookups.items() if can_screen(self.count, lookup.wanted)}
        if self._multiplied is None or not lookups:
            return {}
        coded = self._multiplied.code(np.stack([lookup.query for lookup in lookups.values()]))
        screens = {
            place: Screen(self._multiplied, coded, which, lookup, self._exact)
            for which, (place, lookup) in enumerate(lookups.items())
        }
        for block in blocks(self.count, len(lookups)):
            all_products = self._multiplied.products(coded, block)
            for products, (place, lookup) in zip(all_products, lookups.items(), strict=True):
                _hide(products, lookup, excluded, block)
                screens[place].offer(products, block.start)
        hits = {}
        for place, lookup in lookups.items():
            rows = screens[place].rows()
            if _GATHER * len(rows) < self.count:
                hits[place] = self._among(lookup, rows, self._total(lookup, excluded, screens[place]))
        return hits

    def _total(self, lookup: Lookup, excluded: Rows, screen: Screen) -> int:
        """How many rows the whole ranking has."""
        if lookup.min_score is None:
            return self.count - len(excluded) if lookup.allowed is None else len(without(lookup.allowed, excluded))
        doubtful = np.concatenate(screen.doubtful)
        ranking = Ranking(self._exact, lookup)
        ranking.count(self._exact.products(lookup.query, doubtful), 0, doubtful)
        return screen.counted + ranking.counted

    def _scan(self, lookups: Sequence[Lookup], excluded: Rows) -> Iterator[Hits]:
        """Look at all rows, block by block, for all lookups together."""
        rankings = [Ranking(self._exact, lookup) for lookup in lookups]
        queries = np.stack([lookup.query for lookup in lookups]) if lookups else np.empty((0, self.dimension))
        for block in self._blocks() if lookups else ():
            products = self._products(queries.astype(np.float32, copy=False), block)
            for ranking, found in zip(rankings, products, strict=True):
                _hide(found, ranking.lookup, excluded, block)
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

    def _among(self, lookup: Lookup, rows: Rows, total: int | None = None) -> Hits:
        """The best of a few rows, each of which is looked at; they are the whole ranking, if `total` is not given."""
        products = self._exact.products(lookup.query, rows)
        ranking = Ranking(self._exact, replace(lookup, allowed=None))
        ranking.offer(rows, products)
        if total is None:
            ranking.count(products, 0, rows)
            total = len(rows) if lookup.min_score is None else ranking.counted
        return ranking.hits(total)

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


def without(rows: Rows, excluded: Rows) -> Rows:
    """Rising rows without some others, which rise too."""
    if not len(rows) or not len(excluded):
        return rows
    places = np.minimum(np.searchsorted(rows, excluded), len(rows) - 1)
    left: Rows = np.delete(rows, places[rows[places] == excluded])
    return left


def _hide(products: Vectors, lookup: Lookup, excluded: Rows, block: slice) -> None:
    """Make the products of rows -inf that are excluded or not allowed. Shape (block,)."""
    products[excluded[_within(excluded, block)] - block.start] = -np.inf
    if lookup.allowed is not None:
        forbidden = np.ones(len(products), np.bool_)
        forbidden[lookup.allowed[_within(lookup.allowed, block)] - block.start] = False
        products[forbidden] = -np.inf


def _within(rows: Rows, block: slice) -> slice:
    """Which of some rising rows are in a block."""
    return slice(*np.searchsorted(rows, (block.start, block.stop)))
