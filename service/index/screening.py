"""A first pass over eight-bit vectors: which rows can be among the best for a search, with certainty.

For several searches by their products with all rows, for a lone one by FAISS, which reads the rows once and in order.
"""

from typing import Final

import numpy as np

from service.index.quantized import CodedQueries, QuantizedVectors
from service.index.ranking import SCORE_DECIMALS, ExactScores, Lookup, Rows, Scores, Vectors

_ROUNDED: Final = np.float32(10.0**-SCORE_DECIMALS)  # twice what a score differs from its product
_MOST_PRODUCTS: Final = 1 << 22  # of all searches with a block of rows
_CHUNK: Final = 256  # rows of which the best one may stand for all
_CHUNKS: Final = 4  # so many, for each row that is wanted
_NEAREST: Final = 256  # rows that FAISS finds beyond those that are wanted,
_SHARE: Final = 128  # and one of so many of all: the more there are, the more are as near as the last one wanted


def can_screen(count: int, wanted: int) -> bool:
    """Whether a first pass leaves few enough of so many rows to be worth it."""
    return wanted * _CHUNK * _CHUNKS <= count


def blocks(count: int, searches: int) -> list[slice]:
    """Parts of the rows that are looked at together."""
    length = max(_MOST_PRODUCTS // searches, _CHUNK)
    return [slice(start, min(start + length, count)) for start in range(0, count, length)]


def nearest(vectors: QuantizedVectors, lookup: Lookup, exact: ExactScores, excluded: Rows) -> Rows | None:
    """The rows that can be among the best for one search of all rows, rising; None where that is not certain.

    |q - v|^2 = |q|^2 + |v|^2 - 2 q.v, and rows are unit vectors, but for rounding: the best are the nearest.

    Args:
        vectors: in eight bits.
        lookup: with neither `min_score` nor `allowed`.
        exact: the scores of the rows.
        excluded: rows that are in no ranking, rising.
    """
    count = len(vectors.codes)
    rows, distances, others = vectors.nearest(lookup.query, min(lookup.wanted + _NEAREST + count // _SHARE, count))
    if len(excluded):
        kept = ~np.isin(rows, excluded)
        rows, distances = rows[kept], distances[kept]
    scores = exact.scores(lookup.query, rows[: lookup.wanted])
    if len(scores) < lookup.wanted:
        return None
    query = lookup.query.astype(np.float64)
    # No row that is further away has the score of the last one here, as scores are rounded.
    reach = np.sqrt(query @ query + vectors.longest - 2 * (scores.min() - float(_ROUNDED)))
    return np.sort(rows[distances <= reach]) if others > reach else None


class Screen:
    """Gathers the rows that can be among the best for one search, in rising order.

    Args:
        vectors: in eight bits.
        queries: of all searches that are done together.
        which: this one's place among them.
        lookup: this one.
        exact: the scores of the rows.
    """

    def __init__(
        self, vectors: QuantizedVectors, queries: CodedQueries, which: int, lookup: Lookup, exact: ExactScores
    ) -> None:
        self._vectors, self._queries, self._which = vectors, queries, which
        self._lookup, self._exact = lookup, exact
        self._most_error = np.float32(vectors.errors.max())
        self._most_slack = float(vectors.slack(queries, which, np.float32(-1), self._most_error))
        self._best: Scores = np.empty(0)  # the highest scores known for certain, at most `wanted`
        self._floor = -2.0 if lookup.min_score is None else lookup.min_score
        self._rows: list[Rows] = []
        self._upper: list[Vectors] = []
        self.counted = 0
        """Rows that have at least `min_score` for certain."""
        self.doubtful: list[Rows] = []
        """Rows that may have it or not."""

    def offer(self, products: Vectors, start: int) -> None:
        """Take in a block of rows, which come after all earlier ones.

        Args:
            products: -inf for rows that are in no ranking. Shape (block,).
            start: the first row's number.
        """
        self._raise_floor(products, start)
        near = np.flatnonzero(products >= self._floor - self._slack_at(self._floor) - _ROUNDED)
        slack = self._slack(products[near], near + start)
        upper = products[near] + slack + _ROUNDED
        kept = upper >= self._floor
        self._rows.append(near[kept] + start)
        self._upper.append(upper[kept])
        if self._lookup.min_score is not None:
            self._count(products, start)

    def rows(self) -> Rows:
        """Those of all rows that can be among the best, rising."""
        rows, upper = np.concatenate(self._rows), np.concatenate(self._upper)
        kept: Rows = rows[upper >= self._floor]
        return kept

    def _raise_floor(self, products: Vectors, start: int) -> None:
        """Score the rows that look best: whatever cannot reach the last of the `wanted` best known is not wanted."""
        whole = len(products) // _CHUNK
        if whole < self._lookup.wanted:
            return
        tops = products[: whole * _CHUNK].reshape(whole, _CHUNK).max(axis=1)
        border = max(float(np.partition(tops, whole - self._lookup.wanted)[whole - self._lookup.wanted]), self._floor)
        promising = np.flatnonzero(products >= border)
        if len(promising) > 2 * self._lookup.wanted:
            promising = promising[np.argpartition(-products[promising], self._lookup.wanted)[: self._lookup.wanted]]
        promising = promising[np.isfinite(products[promising])]
        scores = np.sort(np.concatenate([self._best, self._exact.scores(self._lookup.query, promising + start)]))
        self._best = scores[-self._lookup.wanted :]
        if len(self._best) == self._lookup.wanted:
            self._floor = max(self._floor, float(self._best[0]))

    def _slack(self, products: Vectors, rows: Rows) -> Vectors:
        return self._vectors.slack(self._queries, self._which, products, self._vectors.errors[rows])

    def _slack_at(self, score: float) -> float:
        """No row has this score whose product is below it by more, and none lacks it whose product is above by more."""
        lowest = np.float32(score - self._most_slack)
        return float(self._vectors.slack(self._queries, self._which, lowest, self._most_error))

    def _count(self, products: Vectors, start: int) -> None:
        assert self._lookup.min_score is not None
        above = products - np.float32(self._lookup.min_score)
        most = np.float32(self._slack_at(self._lookup.min_score)) + _ROUNDED
        near = np.flatnonzero(np.abs(above) <= most)
        slack = self._slack(products[near], near + start) + _ROUNDED
        self.counted += int((above > most).sum()) + int((above[near] > slack).sum())
        self.doubtful.append(near[np.abs(above[near]) <= slack] + start)
