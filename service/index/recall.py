"""How much of the exact answer an approximate index finds."""

from collections.abc import Sequence

from service.index.ranking import Lookup, Vectors
from service.index.vector_index import VectorIndex


def measure_recall(index: VectorIndex, exact: VectorIndex, queries: Sequence[Vectors] | Vectors, k: int) -> float:
    """The mean share of the exact first k that are among the approximate first k, between 0 and 1.

    Args:
        index: the index in question.
        exact: the same vectors without lists.
        queries: unit vectors, at least one. Shape (queries, D).
        k: how many rows from the best on.
    """
    lookups = [Lookup(query=query, wanted=k) for query in queries]
    pairs = zip(index.search(lookups), exact.search(lookups), strict=True)
    shares = [len(set(found.rows.tolist()) & set(best.rows.tolist())) / max(1, len(best.rows)) for found, best in pairs]
    return sum(shares) / len(shares)
