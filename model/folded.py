"""The paper's encoder for inference: fewer and larger matrix products, by the faster of PyTorch's kernels.

The function is that of `SceneGraphEncoder` in evaluation mode. What is constant there is multiplied out beforehand:

- batch norm, into the linear map before it;
- the heads of source and target, into the first map of the node network: all are linear, the mean between them too;
- the head of edges, into the edge network of the next layer, unless their states are added to those before;
- all of the first layer that depends on a single name, into a table with a row a name.

No sum depends on its order: states are rounded to a grid on which single precision adds without error. So a graph has
the same embedding, to the last bit, in every batch and for every order of its nodes and edges, as long as a matrix
product gives a row the same result wherever it stands; oneDNN's does. docs/decisions/0016 has the measurements.
"""

from typing import Final, cast

import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from torch import Tensor, nn

from model.batch import GraphBatch
from model.encoder import SceneGraphEncoder
from model.layers import GraphConvolution
from model.vocabulary import IMAGE_ID

_HIDDEN_BITS: Final = 18  # after the point: sums below 2**6 are exact
_NODE_BITS: Final = 20  # of unit vectors: sums below 2**4 are exact


class FoldedEncoder(nn.Module):
    """Embeds scene graphs as an encoder does, faster; for inference alone.

    Args:
        encoder: its weights are read now; what is done to it later has no effect here.
    """

    def __init__(self, encoder: SceneGraphEncoder) -> None:
        super().__init__()
        self.config = encoder.config
        layers = [cast("GraphConvolution", layer) for layer in encoder.convolutions]
        names, predicates = encoder.object_embedding.weight.double(), encoder.predicate_embedding.weight.double()
        weight, bias = _fold_norm(layers[0].edge_network, layers[0].edge_norm)
        from_source, from_edge, from_target = weight.chunk(3, dim=1)
        table = torch.cat([names @ from_source.T, names @ from_target.T, predicates @ from_edge.T + bias])
        # Rows of names as sources, of names as targets, of predicates: (2 names + predicates, H)
        self.first_table = _constant(table)
        residual = encoder.config.residual
        if residual:
            self.object_embedding = _constant(names)
            self.predicate_embedding = _constant(predicates)
        before = [None, *(None if residual else layer.edge_head for layer in layers[:-1])]
        self.convolutions = nn.ModuleList(
            _FoldedConvolution(layer, head, has_head=residual) for layer, head in zip(layers, before, strict=True)
        )
        self.eval()

    def forward(self, batch: GraphBatch) -> Tensor:
        """One vector a graph.

        Shapes:
            returns: (N, D), unit rows if the configuration says so.
        """
        residual, names = self.config.residual, self.config.object_names
        source, target = batch.edges.unbind(dim=1)
        nodes = edges = None
        if residual:
            nodes, edges = self.object_embedding[batch.nodes], self.predicate_embedding[batch.predicates]
        # Rows 2u and 2u + 1 belong to node u, as a source and as a target.
        ends = torch.stack([2 * source, 2 * target + 1], dim=1)
        order, starts = _group(ends.T.flatten(), 2 * len(batch.nodes))
        order %= len(source)
        degree = starts.diff().view(-1, 2)
        share = degree / degree.sum(dim=1, keepdim=True).clamp(min=1)  # (V, 2) of outgoing edges, of incoming
        per_edge = (1 / degree.sum(dim=1, keepdim=True).clamp(min=1)).float()

        first = torch.stack([batch.nodes[source], names + batch.nodes[target], 2 * names + batch.predicates], dim=1)
        hidden = F.embedding_bag(first, self.first_table, mode="sum")  # (E, H)
        for number, module in enumerate(self.convolutions):
            layer = cast("_FoldedConvolution", module)
            if number:
                assert nodes is not None
                hidden = layer.edge_states(nodes, hidden if edges is None else edges, ends)
            hidden = _on_grid(hidden.relu_(), _HIDDEN_BITS)
            sums = F.embedding_bag(order, hidden, starts, mode="sum", include_last_offset=True)  # (2V, H)
            new_nodes = layer.node_states(sums.view(len(batch.nodes), -1) * per_edge, share)
            if edges is not None and number < len(self.convolutions) - 1:
                edges = edges + layer.edge_head(hidden)
            if residual and nodes is not None:
                new_nodes = F.normalize(F.normalize(nodes, dim=1) + new_nodes, dim=1)
            nodes = new_nodes

        assert nodes is not None
        graph = batch.graph_of_node
        if not self.config.pool_image_node:
            pooled = batch.nodes != IMAGE_ID
            nodes, graph = nodes[pooled], graph[pooled]
        order, starts = _group(graph, batch.graphs)
        total = F.embedding_bag(order, _on_grid(nodes, _NODE_BITS), starts, mode="sum", include_last_offset=True)
        mean = total / starts.diff().clamp(min=1).unsqueeze(1)
        return F.normalize(mean, dim=1) if self.config.normalize else mean


class _FoldedConvolution(nn.Module):
    """The constants of one layer.

    Args:
        layer: its weights.
        head: what makes the edges' states of the layer before, if nothing but this layer reads them.
        has_head: whether it makes states of edges itself.
    """

    def __init__(self, layer: GraphConvolution, head: nn.Linear | None, *, has_head: bool) -> None:
        super().__init__()
        weight, bias = _fold_norm(layer.edge_network, layer.edge_norm)
        from_source, from_edge, from_target = weight.chunk(3, dim=1)
        self.from_ends = _Product(torch.cat([from_source, from_target]))  # D -> 2H
        if head is not None:
            from_edge, bias = from_edge @ head.weight.double(), from_edge @ head.bias.double() + bias
        self.from_edge = _Product(from_edge, bias)  # D -> H, or with the head H -> H
        if has_head and layer.edge_head is not None:
            self.edge_head = _Product(layer.edge_head.weight, layer.edge_head.bias)  # H -> D
        first, norm, _, last = layer.node_network
        weight, bias = _fold_norm(cast("nn.Linear", first), cast("nn.BatchNorm1d", norm))
        heads = layer.source_head, layer.target_head
        self.messages = _Product(torch.cat([weight @ head.weight.double() for head in heads], dim=1), bias)  # 2H -> H
        self.source_bias, self.target_bias = (_constant(weight @ head.bias.double()) for head in heads)
        self.last = _Product(cast("nn.Linear", last).weight, cast("nn.Linear", last).bias)  # H -> D

    def edge_states(self, nodes: Tensor, edges: Tensor, ends: Tensor) -> Tensor:
        """What the ReLU of the edge network reads. Shapes: (V, D), (E, D or H), (E, 2) -> (E, H)."""
        sent = self.from_ends(nodes).view(2 * len(nodes), -1)
        return F.embedding_bag(ends, sent, mode="sum").add_(self.from_edge(edges))

    def node_states(self, means: Tensor, share: Tensor) -> Tensor:
        """New states. Shapes: (V, 2H) sums over the edges of either direction by the degree, (V, 2) -> (V, D)."""
        outgoing, incoming = share[:, :1], share[:, 1:]
        states = self.messages(means).add_(outgoing * self.source_bias).add_(incoming * self.target_bias)
        return F.normalize(self.last(states.relu_()), dim=1)


class _Product(nn.Module):
    """A linear map, on a CPU by oneDNN from a weight in its own layout.

    PyTorch's default, MKL, is slower on processors it does not know, and adds up in another order for under four rows.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.weight = _constant(weight)
        self.bias = None if bias is None else _constant(bias)
        self._packed: Tensor | None = None
        if self.weight.device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            self._packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach())  # noqa: SLF001 (no public name)

    def forward(self, rows: Tensor) -> Tensor:
        if self._packed is None or rows.device.type != "cpu":
            return F.linear(rows, self.weight, self.bias)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._packed, self.bias, "none", [], "")  # noqa: SLF001
        return product


def _on_grid(values: Tensor, bits: int) -> Tensor:
    """In place, the nearest multiple of 2**-bits: beside a number so large nothing finer has a place."""
    large = 1.5 * 2.0 ** (23 - bits)
    return values.add_(large).sub_(large)


def _group(keys: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Positions of equal keys side by side, and where each group starts. Shapes: (K,) -> (K,), (groups + 1,)."""
    starts = torch.zeros(groups + 1, dtype=torch.int64, device=keys.device)
    torch.cumsum(torch.bincount(keys, minlength=groups), 0, out=starts[1:])
    return torch.argsort(keys), starts


def _fold_norm(linear: nn.Linear, norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the linear map that both are together in evaluation mode; in double precision."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.double() - norm.running_mean.double() * scale
    return linear.weight.double() * scale.unsqueeze(1), linear.bias.double() * scale + shift


def _constant(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach().float().clone(memory_format=torch.contiguous_format), requires_grad=False)
