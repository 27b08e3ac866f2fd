"""What a search of vectors wants, what it gets, and how the best of some rows are told from the others, exactly."""

from dataclasses import dataclass
from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]
Scores = NDArray[np.float64]

NO_ROWS: Final[Rows] = np.empty(0, np.int64)

SCORE_DECIMALS: Final = 6
"""Scores are rounded, so that images whose graphs say the same tie instead of being ordered by rounding noise."""

_BLOCK: Final = 8192  # rows scored together


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


class ExactScores:
    """Scores of rows, each by itself.

    Args:
        vectors: unit rows. Shape (N, D).
    """

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors
        self.rounding: float = (vectors.shape[1] + 1) * 2.0**-24 * 1.01 + 10.0**-SCORE_DECIMALS
        """Bound on a single-precision product's distance from its score (Higham 2002, section 3.1)."""

    def scores(self, query: Vectors, rows: Rows | slice) -> Scores:
        """Inner products in double precision, within -1..1, rounded to SCORE_DECIMALS. Shape (rows,)."""
        # Multiply and sum, not a matrix product: a row's result must not depend on the rows around it.
        products = (self._vectors[rows].astype(np.float64) * query.astype(np.float64)).sum(axis=1)
        scores: Scores = np.clip(products, -1, 1).round(SCORE_DECIMALS) + 0.0  # no minus zero
        return scores

    def products(self, query: Vectors, rows: Rows) -> Vectors:
        """Inner products in single precision, computed where the rows are. Shape (rows,)."""
        products = np.empty(len(rows), np.float32)
        pointers = [faiss.swig_ptr(array) for array in (products, query, self._vectors, rows)]
        faiss.fvec_inner_products_by_idx(*pointers, self._vectors.shape[1], 1, len(rows))  # type: ignore[attr-defined]
        return products


class Ranking:
    """Gathers the rows that can be among the best for one lookup, in rising order, by their products.

    A row may be left out if its product is below `floor`.
    """

    def __init__(self, exact: "ExactScores", lookup: Lookup) -> None:
        self.lookup = lookup
        self.counted = 0
        """Rows that have at least the lookup's `min_score`."""
        self._exact = exact
        self.floor = -2.0 if lookup.min_score is None else lookup.min_score - exact.rounding
        self._rows: list[Rows] = []
        self._products: list[Vectors] = []
        self._held = 0
        self._most_held = 4 * lookup.wanted + 256

    def count(self, products: Vectors, start: int, rows: Rows | None = None) -> None:
        """Add to `counted` what of some rows belongs there."""
        least = self.lookup.min_score
        if least is None:
            return
        above = products - np.float32(least)  # one difference for both, so that no row falls between them
        near = np.flatnonzero(np.abs(above) <= np.float32(self._exact.rounding))
        self.counted += int((above > np.float32(self._exact.rounding)).sum())
        for part in np.split(near, range(_BLOCK, len(near), _BLOCK)):
            which = part + start if rows is None else rows[part]
            self.counted += int((self._exact.scores(self.lookup.query, which) >= least).sum())

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
        self.floor = max(self.floor, border - 2 * self._exact.rounding)
        kept = products >= self.floor
        rows, products = rows[kept], products[kept]
        if len(rows) > 2 * wanted + 128:
            # Many tie with the last one. Those that come later have higher rows, so only the first of these matter.
            rows, scores = self._best(rows, wanted)
            self.floor = max(self.floor, float(scores[-1]) - self._exact.rounding)
            order = np.argsort(rows)
            rows, products = rows[order], scores[order].astype(np.float32)
        self._rows, self._products, self._held = [rows], [products], len(rows)
        self._most_held = 4 * wanted + 256

    def hits(self, total: int) -> Hits:
        """The best rows of those taken in; `total` is how many the whole ranking has."""
        wanted = min(self.lookup.wanted, total)
        if wanted == 0:
            return Hits(NO_ROWS, np.empty(0), total)
        rows, products = np.concatenate(self._rows), np.concatenate(self._products)
        border = float(np.partition(products, len(products) - wanted)[len(products) - wanted])
        rows, scores = self._best(rows[products >= border - 2 * self._exact.rounding], wanted)
        return Hits(rows, scores, total)

    def _best(self, rows: Rows, wanted: int) -> tuple[Rows, Scores]:
        parts = np.split(rows, range(_BLOCK, len(rows), _BLOCK))
        scores = np.concatenate([self._exact.scores(self.lookup.query, part) for part in parts])
        order = np.lexsort((rows, -scores))[:wanted]
        return rows[order], scores[order]
