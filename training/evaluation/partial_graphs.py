"""Incomplete queries: what is left of a graph when edges are removed at random.

Source: Maheshwari et al. 2021, "Image Retrieval".
The paper removes M edges and drops the objects without any. Whether the edges to `__image__` are among the M it does
not say, so there are two readings:

    all_edges      they are: any of a graph's edges may go
    relationships  they are not: only relationships go, as many as M or as a share of the graph's; the shorter, harder
                   query, which is what a person's looks like

In both at least one edge stays, and a graph without relationships stays whole in the second.
"""

from collections.abc import Iterator
from typing import Final, Literal

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from model.batch import GraphBatch, PackedGraphs

Reading = Literal["all_edges", "relationships"]

_GRAPHS_PER_BATCH: Final = 512


def partial_batches(graphs: PackedGraphs, reading: Reading, removal: float, random: Generator) -> Iterator[GraphBatch]:
    """Batches of partial graphs, in the order of the graphs.

    Args:
        graphs: the whole graphs.
        reading: which edges may go.
        removal: how many go of each graph, if at least 1; below 1 the share of them: round((1 - share) * edges) stay.
        random: chooses which.
    """
    for start in range(0, len(graphs), _GRAPHS_PER_BATCH):
        part = graphs.select(np.arange(start, min(start + _GRAPHS_PER_BATCH, len(graphs))))
        if reading == "all_edges":
            batch = part.to_batch()
            keep = _keep(batch.graph_of_edge.numpy(), batch.graphs, removal, random)
            yield batch.keep_edges(torch.from_numpy(keep))
        else:
            graph_of_edge = np.repeat(np.arange(len(part)), part.relationship_counts)
            yield part.keep_relationships(_keep(graph_of_edge, len(part), removal, random)).to_batch()


def whole_batches(graphs: PackedGraphs) -> Iterator[GraphBatch]:
    """Batches of whole graphs, in order."""
    for start in range(0, len(graphs), _GRAPHS_PER_BATCH):
        yield graphs.select(np.arange(start, min(start + _GRAPHS_PER_BATCH, len(graphs)))).to_batch()


def gallery_batches(graphs: PackedGraphs) -> Iterator[GraphBatch]:
    """Batches of the graphs that queries are compared with, in order: whole, but for objects without a relationship."""
    return partial_batches(graphs, "relationships", 0, np.random.default_rng(0))


def _keep(graph_of_edge: NDArray[np.int64], graphs: int, removal: float, random: Generator) -> NDArray[np.bool_]:
    """Which edges stay when each graph loses some, uniformly at random, but not its last. Shape (E,)."""
    counts = np.bincount(graph_of_edge, minlength=graphs)
    kept = np.round(counts * (1 - removal)) if removal < 1 else counts - removal
    lost = counts - np.maximum(kept, np.minimum(counts, 1))
    order = np.lexsort((random.random(len(graph_of_edge)), graph_of_edge))  # shuffled within each graph
    first = np.cumsum(counts) - counts
    position = np.empty(len(graph_of_edge), np.int64)
    position[order] = np.arange(len(order)) - first[graph_of_edge[order]]
    stays: NDArray[np.bool_] = position >= lost[graph_of_edge]
    return stays
