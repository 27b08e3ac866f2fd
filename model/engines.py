"""What moves states between nodes and edges: plain PyTorch, or DGL. Both compute the same function.

An engine holds the edges of one batch and is built once for all layers. Two names are all there are, so a function
chooses; DGL is imported when it is chosen, not before.
"""

import importlib
import os
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from model.errors import ConfigError

EngineName = Literal["torch", "dgl"]


class GraphEngine(Protocol):
    """The operations of a graph convolution that follow edges; V nodes, E edges from a source to a target.

    Shapes:
        out_degree, in_degree: (V, 1) how many edges leave and enter a node, float32.
    """

    @property
    def out_degree(self) -> Tensor:
        """Edges that leave each node. Shape (V, 1)."""

    @property
    def in_degree(self) -> Tensor:
        """Edges that enter each node. Shape (V, 1)."""

    def add_ends(self, sources: Tensor, targets: Tensor) -> Tensor:
        """For each edge (u, v), sources[u] + targets[v]. Shapes: (V, H), (V, H) -> (E, H)."""

    def sum_outgoing(self, of_edges: Tensor) -> Tensor:
        """For each node, the sum over the edges that leave it. Shapes: (E, H) -> (V, H)."""

    def sum_incoming(self, of_edges: Tensor) -> Tensor:
        """For each node, the sum over the edges that enter it. Shapes: (E, H) -> (V, H)."""


class TorchEngine:
    """Gathers by index and adds by index; on any device.

    Args:
        edges: source and target of each edge. Shape (E, 2).
        nodes: V.
    """

    def __init__(self, edges: Tensor, nodes: int) -> None:
        self.nodes = nodes
        self.source, self.target = edges.t().contiguous().unbind()
        ones = torch.ones(len(edges), 1, device=edges.device)  # bincount would wait for a GPU
        self.out_degree = self.sum_outgoing(ones)
        self.in_degree = self.sum_incoming(ones)

    def add_ends(self, sources: Tensor, targets: Tensor) -> Tensor:
        """See `GraphEngine`."""
        return sources.index_select(0, self.source) + targets.index_select(0, self.target)

    def sum_outgoing(self, of_edges: Tensor) -> Tensor:
        """See `GraphEngine`."""
        return of_edges.new_zeros(self.nodes, of_edges.shape[1]).index_add(0, self.source, of_edges)

    def sum_incoming(self, of_edges: Tensor) -> Tensor:
        """See `GraphEngine`."""
        return of_edges.new_zeros(self.nodes, of_edges.shape[1]).index_add(0, self.target, of_edges)


class DglEngine:
    """DGL's kernels: u_add_v on the edges, copy_e with sum on the graph and on its reverse.

    Args:
        edges: source and target of each edge. Shape (E, 2).
        nodes: V.

    Raises:
        ConfigError: DGL is not installed, or the edges are on a GPU, which the DGL of this version does not know.
    """

    def __init__(self, edges: Tensor, nodes: int) -> None:
        if edges.device.type != "cpu":
            raise ConfigError(
                f"engine 'dgl' computes on CPUs only, not on {edges.device.type}; use --set engine=torch, or device=cpu"
            )
        dgl = _import_dgl()
        self.ops = dgl.ops
        self.graph = dgl.graph(edges.unbind(dim=1), num_nodes=nodes)
        self.reverse = dgl.reverse(self.graph)
        self.out_degree = self.graph.out_degrees().unsqueeze(1).float()
        self.in_degree = self.graph.in_degrees().unsqueeze(1).float()

    def add_ends(self, sources: Tensor, targets: Tensor) -> Tensor:
        """See `GraphEngine`."""
        added: Tensor = self.ops.u_add_v(self.graph, sources, targets)
        return added

    def sum_outgoing(self, of_edges: Tensor) -> Tensor:
        """See `GraphEngine`."""
        total: Tensor = self.ops.copy_e_sum(self.reverse, of_edges)
        return total

    def sum_incoming(self, of_edges: Tensor) -> Tensor:
        """See `GraphEngine`."""
        total: Tensor = self.ops.copy_e_sum(self.graph, of_edges)
        return total


def graph_engine(name: EngineName, edges: Tensor, nodes: int) -> GraphEngine:
    """The engine of this name for a batch; for no edges and nodes, a test of whether it can be used.

    Args:
        name: "torch" or "dgl".
        edges: source and target of each edge. Shape (E, 2).
        nodes: V.

    Raises:
        ConfigError: the engine cannot be used here.
    """
    return DglEngine(edges, nodes) if name == "dgl" else TorchEngine(edges, nodes)


def _import_dgl() -> Any:  # noqa: ANN401 (DGL has no types)
    # Named here, DGL neither prints its choice of a backend nor writes it to the home directory.
    os.environ.setdefault("DGLBACKEND", "pytorch")
    try:
        return importlib.import_module("dgl")
    except ImportError as error:
        raise ConfigError(
            f"engine 'dgl' needs DGL ({error}): pip install 'scenerank[dgl]', or use --set engine=torch"
        ) from None
