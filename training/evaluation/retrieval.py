"""Evaluation 2, whether a partial graph finds its image: Maheshwari et al. 2021, Table 3 and Figure 4."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.evaluation.similarities import Rows, count_rows, similarities

MAX_K: Final = 50

_QUERIES_PER_BLOCK: Final = 1024
_TIE: Final = 1e-6
"""Scores this close are ties: equal graphs differ by rounding alone, and rounding must not decide who is first."""


def retrieval_scores(queries: Rows, gallery: Rows) -> dict[str, float]:
    """Mean reciprocal rank and recall_at_1 to recall_at_50 when query i is to find row i of the gallery.

    Images that score the same are in random order, so each figure is its expected value over the orders: with g better
    ones and t that tie with the right one, recall_at_k is clip((k - g) / (t + 1), 0, 1), and the reciprocal rank is the
    mean of 1/(g + 1), ..., 1/(g + t + 1).

    Shapes:
        queries: (N, D). gallery: (N, D).
    """
    better, tied = ranks(queries, gallery)
    scores = {"mean_reciprocal_rank": float(_expected_reciprocal(better, tied).mean())}
    for k in range(1, MAX_K + 1):
        scores[f"recall_at_{k}"] = float(np.clip((k - better) / (tied + 1), 0, 1).mean())
    return scores


def ranks(queries: Rows, gallery: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many gallery rows score better than the right one, and how many others tie with it. Shapes: (N,), (N,)."""
    count = count_rows(queries)
    better, tied = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for start in range(0, count, _QUERIES_PER_BLOCK):
        block = slice(start, start + _QUERIES_PER_BLOCK)
        scores = similarities(queries[block], gallery)
        own = scores[np.arange(len(scores)), start + np.arange(len(scores))][:, None]
        better[block] = (scores > own + _TIE).sum(axis=1)
        tied[block] = (np.abs(scores - own) <= _TIE).sum(axis=1) - 1
    return better, tied


def _expected_reciprocal(better: NDArray[np.int64], tied: NDArray[np.int64]) -> NDArray[np.float64]:
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, 2 + (better + tied).max(initial=0)))])
    expected: NDArray[np.float64] = (harmonic[better + tied + 1] - harmonic[better]) / (tied + 1)
    return expected
