"""Many graphs in few arrays: no object per graph, node or edge on the way from the disk to the encoder."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.resolution import ResolvedGraph
from model.vocabulary import IMAGE_ID, IN_IMAGE_ID

IntArray = NDArray[np.int32]
Offsets = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedGraphs:
    """N graphs in numbers, laid end to end (compressed sparse rows).

    Shapes:
        objects: (O,) numbers of the object names of all graphs.
        object_offsets: (N + 1,) graph i has objects[object_offsets[i]:object_offsets[i + 1]].
        subjects, predicates, targets: (R,) the relationships; subjects and targets are positions within
            their own graph.
        relationship_offsets: (N + 1,).
    """

    objects: IntArray
    object_offsets: Offsets
    subjects: IntArray
    predicates: IntArray
    targets: IntArray
    relationship_offsets: Offsets

    def __len__(self) -> int:
        return len(self.object_offsets) - 1

    @property
    def object_counts(self) -> Offsets:
        """Objects of each graph. Shape (N,)."""
        return np.diff(self.object_offsets)

    @property
    def relationship_counts(self) -> Offsets:
        """Relationships of each graph. Shape (N,)."""
        return np.diff(self.relationship_offsets)

    @classmethod
    def pack(cls, graphs: Iterable[ResolvedGraph]) -> Self:
        """Lay resolved graphs end to end."""
        graphs = list(graphs)

        def flat(parts: Iterable[Iterable[int]]) -> IntArray:
            return np.fromiter((number for part in parts for number in part), np.int32)

        return cls(
            objects=flat(graph.objects for graph in graphs),
            object_offsets=offsets_of(np.array([len(graph.objects) for graph in graphs], np.int64)),
            subjects=flat(graph.subjects for graph in graphs),
            predicates=flat(graph.predicates for graph in graphs),
            targets=flat(graph.targets for graph in graphs),
            relationship_offsets=offsets_of(np.array([len(graph.subjects) for graph in graphs], np.int64)),
        )

    def select(self, indices: NDArray[np.integer]) -> "PackedGraphs":
        """The graphs at these positions, in this order; a position may repeat."""
        objects, object_offsets = _rows(self.object_offsets, indices)
        relationships, relationship_offsets = _rows(self.relationship_offsets, indices)
        return PackedGraphs(
            objects=self.objects[objects],
            object_offsets=object_offsets,
            subjects=self.subjects[relationships],
            predicates=self.predicates[relationships],
            targets=self.targets[relationships],
            relationship_offsets=relationship_offsets,
        )

    def keep_relationships(self, keep: NDArray[np.bool_]) -> "PackedGraphs":
        """Partial graphs: only these relationships, and only the objects that still have one.

        A graph that keeps no relationship keeps all of its objects: an empty graph is not a graph.

        Args:
            keep: which relationships stay. Shape (R,).
        """
        graph_of_object = np.repeat(np.arange(len(self)), self.object_counts)
        graph_of_edge = np.repeat(np.arange(len(self)), self.relationship_counts)
        first_object = self.object_offsets[graph_of_edge]
        used = np.zeros(len(self.objects), np.bool_)
        used[(first_object + self.subjects)[keep]] = True
        used[(first_object + self.targets)[keep]] = True
        kept_edges = np.bincount(graph_of_edge[keep], minlength=len(self))
        used |= kept_edges[graph_of_object] == 0

        # An object's new position: how many used objects of its graph come before it.
        before: NDArray[np.int64] = np.cumsum(used) - used
        position: NDArray[np.int64] = (
            before - before[np.minimum(self.object_offsets[:-1], len(used) - 1)][graph_of_object]
        )
        return PackedGraphs(
            objects=self.objects[used],
            object_offsets=offsets_of(np.bincount(graph_of_object[used], minlength=len(self))),
            subjects=position[(first_object + self.subjects)[keep]].astype(np.int32),
            predicates=self.predicates[keep],
            targets=position[(first_object + self.targets)[keep]].astype(np.int32),
            relationship_offsets=offsets_of(kept_edges),
        )

    def to_batch(self) -> "GraphBatch":
        """The graphs as the encoder reads them: each with an `__image__` node that every object is joined to.

        Source: Maheshwari et al. 2021, "Scene Graph Encoder".
        """
        count = len(self)
        graph_of_object = np.repeat(np.arange(count), self.object_counts)
        first_object = np.repeat(self.object_offsets[:-1], self.relationship_counts)
        nodes = np.concatenate([self.objects, np.full(count, IMAGE_ID, np.int32)])
        predicates = np.concatenate([self.predicates, np.full(len(self.objects), IN_IMAGE_ID, np.int32)])
        sources = np.concatenate([first_object + self.subjects, np.arange(len(self.objects))])
        targets = np.concatenate([first_object + self.targets, len(self.objects) + graph_of_object])
        return GraphBatch(
            nodes=torch.from_numpy(nodes.astype(np.int64)),
            predicates=torch.from_numpy(predicates.astype(np.int64)),
            edges=torch.from_numpy(np.stack([sources, targets], axis=1).astype(np.int64)),
            graph_of_node=torch.from_numpy(np.concatenate([graph_of_object, np.arange(count)])),
            graphs=count,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphBatch:
    """Graphs as one disconnected graph of tensors.

    Shapes:
        nodes: (V,) numbers of object names; `__image__` nodes are among them.
        predicates: (E,) numbers of predicates; `__in_image__` edges are among them.
        edges: (E, 2) source and target, positions in nodes.
        graph_of_node: (V,) which graph a node belongs to.
        graphs: how many graphs there are.
    """

    nodes: Tensor
    predicates: Tensor
    edges: Tensor
    graph_of_node: Tensor
    graphs: int

    def to(self, device: torch.device) -> "GraphBatch":
        """The same batch on another device."""
        return GraphBatch(
            nodes=self.nodes.to(device, non_blocking=True),
            predicates=self.predicates.to(device, non_blocking=True),
            edges=self.edges.to(device, non_blocking=True),
            graph_of_node=self.graph_of_node.to(device, non_blocking=True),
            graphs=self.graphs,
        )

    @property
    def graph_of_edge(self) -> Tensor:
        """Which graph an edge belongs to. Shape (E,)."""
        return self.graph_of_node[self.edges[:, 0]]

    def keep_edges(self, keep: Tensor) -> "GraphBatch":
        """Only these edges, `__in_image__` edges not spared, and only the nodes that still have one.

        Args:
            keep: which edges stay, at least one of each graph. Shape (E,), bool.
        """
        edges = self.edges[keep]
        used = torch.zeros(len(self.nodes), dtype=torch.bool, device=self.nodes.device)
        used[edges.flatten()] = True
        position = torch.cumsum(used, 0) - 1
        return GraphBatch(
            nodes=self.nodes[used],
            predicates=self.predicates[keep],
            edges=position[edges],
            graph_of_node=self.graph_of_node[used],
            graphs=self.graphs,
        )


def offsets_of(counts: NDArray[np.integer]) -> Offsets:
    """(N,) counts to (N + 1,) offsets."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])


def _rows(offsets: Offsets, indices: NDArray[np.integer]) -> tuple[Offsets, Offsets]:
    """Positions of all entries of the rows at `indices`, and the offsets of the rows among them."""
    counts = np.diff(offsets)[indices]
    chosen = offsets_of(counts)
    shift = np.repeat(offsets[:-1][indices] - chosen[:-1], counts)
    return np.arange(chosen[-1]) + shift, chosen
