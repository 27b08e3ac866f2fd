"""The graph convolution of Maheshwari et al. 2021 (after sg2im, Johnson et al. 2018)."""

import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from torch import Tensor, nn


class GraphConvolution(nn.Module):
    """One layer of messages along edges (Maheshwari et al. 2021, "Scene Graph Encoder").

    For each edge (u, e, v) a network with one hidden layer reads the states of both ends and of the edge:

        h_uev = relu(batch_norm(W [x_u, x_e, x_v] + b))
        m^s   = A_s h_uev + a_s     message to the source
        m^t   = A_t h_uev + a_t     message to the target
        x_e'  = A_e h_uev + a_e     new state of the edge

    and each node averages what it was sent, over its outgoing and incoming edges together:

        x_u' = normalize(psi(mean({m^s of outgoing edges} + {m^t of incoming edges})))

    with psi: hidden -> hidden -> dimension, batch norm and ReLU between, and l2-normalised states.

    The paper does not say whether a ReLU follows the three heads; here none does. So the heads commute with the
    mean, and they are applied once a node instead of once an edge. Likewise W [x_u, x_e, x_v] is a sum of three
    products of which two depend on a node alone. The function is the same, with fewer operations.

    Args:
        dimension: D, length of the states of nodes and edges.
        hidden: H, hidden size.
        edge_head: whether to compute new edge states; the last layer has no use for them.
    """

    def __init__(self, *, dimension: int, hidden: int, edge_head: bool = True) -> None:
        super().__init__()
        self.edge_network = nn.Linear(3 * dimension, hidden)
        self.edge_norm = nn.BatchNorm1d(hidden)
        self.source_head = nn.Linear(hidden, hidden)
        self.target_head = nn.Linear(hidden, hidden)
        self.edge_head = nn.Linear(hidden, dimension) if edge_head else None
        self.node_network = nn.Sequential(
            nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, dimension)
        )

    def forward(self, node_states: Tensor, edge_states: Tensor, edges: Tensor) -> tuple[Tensor, Tensor | None]:
        """New states of nodes and edges.

        Shapes:
            node_states: (V, D).
            edge_states: (E, D).
            edges: (E, 2) source and target of each edge.
            returns: (V, D), and (E, D) or None without an edge head.
        """
        source, target = edges.unbind(dim=1)
        from_source, from_edge, from_target = self.edge_network.weight.chunk(3, dim=1)
        hidden = F.relu(
            self.edge_norm(
                F.linear(edge_states, from_edge, self.edge_network.bias)
                + F.linear(node_states, from_source).index_select(0, source)
                + F.linear(node_states, from_target).index_select(0, target)
            )
        )  # (E, H)

        nodes = len(node_states)
        pooled = hidden.new_zeros(2, nodes, hidden.shape[1])
        as_source = pooled[0].index_add(0, source, hidden)  # (V, H)
        as_target = pooled[1].index_add(0, target, hidden)  # (V, H)
        out_degree = torch.bincount(source, minlength=nodes).unsqueeze(1).to(hidden.dtype)  # (V, 1)
        in_degree = torch.bincount(target, minlength=nodes).unsqueeze(1).to(hidden.dtype)
        # The mean of affine images is the affine image of the mean: each head's bias counts once per edge.
        messages = (
            F.linear(as_source, self.source_head.weight)
            + out_degree * self.source_head.bias
            + F.linear(as_target, self.target_head.weight)
            + in_degree * self.target_head.bias
        )
        mean = messages / (out_degree + in_degree).clamp(min=1)  # a node without edges: no division by zero
        new_nodes = F.normalize(self.node_network(mean), dim=1)
        return new_nodes, self.edge_head(hidden) if self.edge_head is not None else None
