"""The scene graph encoder of Maheshwari et al. 2021: a graph in, one vector out."""

from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from torch import Tensor, nn

from model.batch import GraphBatch
from model.engines import EngineName, graph_engine
from model.errors import ConfigError
from model.layers import GraphConvolution
from model.vocabulary import IMAGE_ID


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """Sizes and choices of an encoder; the defaults are the paper's.

    Args:
        object_names: how many object names there are, special ones included.
        predicates: how many predicates there are, special ones included.
        dimension: D, length of every state and of the embedding.
        hidden: H, hidden size of the layers.
        layers: how many graph convolutions.
        pool_image_node: whether `__image__` enters the mean over nodes (the paper: all nodes, so yes).
        normalize: whether the embedding is l2-normalised, so that inner products are cosines (the paper says so of f).
        residual: whether a layer's states are added to those before it, at unit length (not in the paper).
    """

    object_names: int
    predicates: int
    dimension: int = 300
    hidden: int = 512
    layers: int = 5
    pool_image_node: bool = True
    normalize: bool = True
    residual: bool = False

    def __post_init__(self) -> None:
        for name in ("object_names", "predicates", "dimension", "hidden", "layers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")

    def to_json(self) -> dict[str, Any]:
        """The configuration as a JSON document."""
        return asdict(self)


class SceneGraphEncoder(nn.Module):
    """Embeds scene graphs (Maheshwari et al. 2021, "Scene Graph Encoder").

    Object names and predicates are looked up in two tables of D-vectors; `layers` graph convolutions let them speak to
    each other; the embedding is the mean of the final node states, l2-normalised.

    Args:
        config: what function it is.
        engine: what moves states along edges; the function and the weights do not depend on it.
    """

    def __init__(self, config: EncoderConfig, engine: EngineName = "torch") -> None:
        super().__init__()
        self.config = config
        self.engine = engine
        self.object_embedding = nn.Embedding(config.object_names, config.dimension)
        self.predicate_embedding = nn.Embedding(config.predicates, config.dimension)
        self.convolutions = nn.ModuleList(
            GraphConvolution(dimension=config.dimension, hidden=config.hidden, edge_head=layer < config.layers - 1)
            for layer in range(config.layers)
        )

    def forward(self, batch: GraphBatch) -> Tensor:
        """One vector a graph.

        Shapes:
            returns: (N, D), unit rows if the configuration says so.
        """
        nodes = self.object_embedding(batch.nodes)
        edges: Tensor | None = self.predicate_embedding(batch.predicates)
        engine = graph_engine(self.engine, batch.edges, len(batch.nodes))
        for convolution in self.convolutions:
            assert edges is not None, "only the last layer goes without edge states"
            new_nodes, new_edges = cast("GraphConvolution", convolution)(nodes, edges, engine)
            if self.config.residual:
                new_nodes = F.normalize(F.normalize(nodes, dim=1) + new_nodes, dim=1)
                new_edges = None if new_edges is None else edges + new_edges
            nodes, edges = new_nodes, new_edges

        graph = batch.graph_of_node
        if not self.config.pool_image_node:
            pooled = batch.nodes != IMAGE_ID
            nodes, graph = nodes[pooled], graph[pooled]
        total = nodes.new_zeros(batch.graphs, nodes.shape[1]).index_add(0, graph, nodes)
        ones = torch.ones(len(graph), 1, device=graph.device)  # bincount would wait for a GPU
        count = ones.new_zeros(batch.graphs, 1).index_add(0, graph, ones).clamp(min=1)
        # In full precision whatever the layers ran in: the loss lives in the third decimal of their inner products.
        mean = total.float() / count
        return F.normalize(mean, dim=1) if self.config.normalize else mean
