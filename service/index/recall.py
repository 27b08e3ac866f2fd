"""How much of the exact answer an approximate index finds."""

from collections.abc import Sequence
from typing import Final

from model.scene_graph import SceneGraph
from service.index.ranking import Lookup, Vectors
from service.index.vector_index import VectorIndex

RECALL_AT: Final = 10
"""Among how many of the best the recall of an index version is measured."""


def shortest_part(graph: SceneGraph) -> SceneGraph:
    """A graph's first relationship, without one its first object: what people ask for, and hardest to find by lists."""
    if not graph.relationships:
        return SceneGraph(graph.objects[:1])
    edge = graph.relationships[0]
    return SceneGraph(tuple(item for item in graph.objects if item.id in (edge.subject, edge.object)), (edge,))


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
