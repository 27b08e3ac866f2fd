"""The graph convolution of Maheshwari et al. 2021 (after sg2im, Johnson et al. 2018)."""

import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from torch import Tensor, nn

from model.engines import GraphEngine


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

    def forward(self, node_states: Tensor, edge_states: Tensor, engine: GraphEngine) -> tuple[Tensor, Tensor | None]:
        """New states of nodes and edges.

        Args:
            node_states: states of nodes.
            edge_states: states of edges.
            engine: knows which nodes the edges join.

        Shapes:
            node_states: (V, D).
            edge_states: (E, D).
            returns: (V, D), and (E, D) or None without an edge head.
        """
        from_source, from_edge, from_target = self.edge_network.weight.chunk(3, dim=1)
        hidden = F.relu(
            self.edge_norm(
                F.linear(edge_states, from_edge, self.edge_network.bias)
                + engine.add_ends(F.linear(node_states, from_source), F.linear(node_states, from_target))
            )
        )  # (E, H)

        # The mean of affine images is the affine image of the mean: each head's bias counts once per edge.
        messages = (
            F.linear(engine.sum_outgoing(hidden), self.source_head.weight)
            + engine.out_degree.to(hidden.dtype) * self.source_head.bias
            + F.linear(engine.sum_incoming(hidden), self.target_head.weight)
            + engine.in_degree.to(hidden.dtype) * self.target_head.bias
        )
        # A node without edges: no division by zero.
        mean = messages / (engine.out_degree + engine.in_degree).clamp(min=1).to(hidden.dtype)
        new_nodes = F.normalize(self.node_network(mean), dim=1)
        return new_nodes, self.edge_head(hidden) if self.edge_head is not None else None
