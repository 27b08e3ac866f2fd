"""Exact nearest neighbours by inner product, with a total order: falling score, then rising row."""

import threading
from dataclasses import dataclass
from typing import Any, Final

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]
Scores = NDArray[np.float64]

SCORE_DECIMALS: Final = 6
"""Scores are rounded, so that images whose graphs say the same tie instead of being ordered by rounding noise."""

_BLOCK: Final = 8192  # rows looked at together: a few MB
_SPARE: Final = 32  # neighbours fetched beyond those asked for, to see whether the last one ties with the next
_GATHER: Final = 3  # copying a row out costs about as much as multiplying so many in place
_MOST_FETCHED: Final = 2048  # FAISS's limit on a GPU (its issue 2103); from here on a full look is as fast


@dataclass(frozen=True, slots=True)
class Hits:
    """A page of neighbours.

    Shapes:
        rows, scores: (page,) positions in the index and their scores, best first.
        total: how many rows there are in all, over all pages.
    """

    rows: Rows
    scores: Scores
    total: int


class VectorIndex:
    """N unit vectors, searched by FAISS: on a GPU where there is one, on the CPU otherwise.

    FAISS proposes candidates from its single-precision products; their scores are then computed in double precision,
    row by row, so that equal vectors have equal scores whatever their places. Where rows that FAISS left out could tie
    with the last one of a page, every row is looked at.

    Args:
        vectors: unit rows, in the order that breaks ties. Shape (N, D).
    """

    def __init__(self, vectors: Vectors) -> None:
        vectors = np.array(vectors, np.float32, order="C")  # in memory, not mapped from a file
        self.count, self.dimension = (int(size) for size in vectors.shape)
        # A GPU index must not be used by two threads at once; the owner has one, and this makes it sure.
        self._lock = threading.Lock()
        self._on_gpu = faiss.get_num_gpus() > 0
        flat: Any = faiss.IndexFlatIP(self.dimension)
        self._resources: Any = None
        if self._on_gpu:
            self._resources = faiss.StandardGpuResources()
            flat = faiss.index_cpu_to_gpu(self._resources, 0, flat)
        flat.add(vectors)
        self._index = flat
        # On the CPU FAISS's own copy serves both, so the vectors are in memory once.
        own = None if self._on_gpu or not self.count else faiss.rev_swig_ptr(flat.get_xb(), vectors.size)
        self._vectors: Vectors = vectors if own is None else own.reshape(vectors.shape)

    def search(
        self,
        query: Vectors,
        *,
        limit: int,
        offset: int = 0,
        min_score: float | None = None,
        allowed: Rows | None = None,
    ) -> Hits:
        """The rows `offset` to `offset + limit` of all rows by falling score, equal scores by rising row.

        Args:
            query: a unit vector. Shape (D,).
            limit: size of the page.
            offset: how many to leave out before it.
            min_score: leave out rows with a lower score.
            allowed: leave out all rows but these, which rise; None for all rows. Shape (allowed,).
        """
        if allowed is not None:
            return self._search_among(query, allowed, limit, offset, min_score)
        total = self.count if min_score is None else self._count(query, min_score)
        wanted = min(offset + limit, total)
        if wanted <= offset:
            return Hits(np.empty(0, np.int64), np.empty(0), total)
        rows, scores = self._best(query, wanted)
        return Hits(rows[offset:], scores[offset:], total)

    def scores(self, query: Vectors, rows: Rows | slice) -> Scores:
        """Inner products in double precision, within -1..1, rounded to SCORE_DECIMALS. Shape (rows,)."""
        # Multiply and sum, not a matrix product: a row's result must not depend on the rows around it.
        products = (self._vectors[rows].astype(np.float64) * query.astype(np.float64)).sum(axis=1)
        scores: Scores = np.clip(products, -1, 1).round(SCORE_DECIMALS) + 0.0  # no minus zero
        return scores

    def _best(self, query: Vectors, wanted: int) -> tuple[Rows, Scores]:
        fetch = wanted + _SPARE
        if fetch < self.count and fetch <= _MOST_FETCHED:
            with self._lock:
                proposed, found = self._index.search(query[np.newaxis], fetch)
            rows, products = found[0], proposed[0].astype(np.float64)
            scores = self.scores(query, rows)
            # What FAISS left out has at most the product of the last one it found, give or take its rounding.
            beyond = products[-1] + max(self._rounding, 2 * float(np.abs(products - scores).max()))
            order = np.lexsort((rows, -scores))[:wanted]
            if scores[order[-1]] > beyond:
                return rows[order], scores[order]
        return self._best_of_all(query, wanted)

    def _best_of_all(self, query: Vectors, wanted: int) -> tuple[Rows, Scores]:
        """The best of every row there is: for deep pages, and where many rows tie."""
        products = np.concatenate([self._products(query, block) for block in self._blocks()])
        return self._best_by(query, products, wanted)

    def _best_by(self, query: Vectors, products: Vectors, wanted: int) -> tuple[Rows, Scores]:
        """The best rows by products that are within `_rounding` of the scores; rows of no interest have minus infinity.

        Shapes:
            products: (N,); at least `wanted` of them are finite.
        """
        border = np.partition(products, len(products) - wanted)[len(products) - wanted]
        rows = np.flatnonzero(products >= border - 2 * self._rounding)
        scores = np.concatenate([self.scores(query, part) for part in np.split(rows, range(_BLOCK, len(rows), _BLOCK))])
        order = np.lexsort((rows, -scores))[:wanted]
        return rows[order], scores[order]

    def _search_among(self, query: Vectors, allowed: Rows, limit: int, offset: int, min_score: float | None) -> Hits:
        """A search in some of the rows: every one of them is looked at, so the page is exact however few they are."""
        products = np.full(self.count, -np.inf, np.float32)
        for block in self._blocks():
            rows = allowed[slice(*np.searchsorted(allowed, (block.start, block.stop)))]
            if _GATHER * len(rows) < block.stop - block.start:
                vectors = torch.from_numpy(self._vectors[rows])
                products[rows] = torch.mv(vectors, torch.from_numpy(query)).numpy()
            else:
                products[rows] = self._products(query, block)[rows - block.start]
        total = len(allowed)
        if min_score is not None:
            near = np.flatnonzero(np.abs(products - min_score) <= self._rounding)
            total = int((products > min_score + self._rounding).sum())
            total += int((self.scores(query, near) >= min_score).sum()) if len(near) else 0
        wanted = min(offset + limit, total)
        if wanted <= offset:
            return Hits(np.empty(0, np.int64), np.empty(0), total)
        rows, scores = self._best_by(query, products, wanted)
        return Hits(rows[offset:], scores[offset:], total)

    def _count(self, query: Vectors, min_score: float) -> int:
        """How many rows have at least this score."""
        total = 0
        for block in self._blocks():
            products = self._products(query, block)
            near = np.flatnonzero(np.abs(products - min_score) <= self._rounding) + block.start
            total += int((products > min_score + self._rounding).sum())
            total += int((self.scores(query, near) >= min_score).sum()) if len(near) else 0
        return total

    def _products(self, query: Vectors, block: slice) -> Vectors:
        """Inner products in single precision: fast, and within `_rounding` of the scores. Shape (rows of the block,).

        By PyTorch, whose threads the engine has set to one; NumPy's would get in each other's way.
        """
        products: Vectors = torch.mv(torch.from_numpy(self._vectors[block]), torch.from_numpy(query)).numpy()
        return products

    def _blocks(self) -> list[slice]:
        return [slice(start, min(start + _BLOCK, self.count)) for start in range(0, self.count, _BLOCK)]

    @property
    def _rounding(self) -> float:
        """Bound on a single-precision product's distance from its score (Higham 2002, section 3.1)."""
        return (self.dimension + 1) * 2.0**-24 * 1.01 + 10.0**-SCORE_DECIMALS


def use_one_thread() -> None:
    """Let the thread that calls this encode and search by itself.

    For one query the threads of PyTorch and FAISS mostly wait for each other: on a busy machine that makes a search
    several times slower.
    """
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
