"""An encoder without layers: what a caption would say of the objects, and which triples the graph holds."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from torch import Tensor, nn

from model.batch import GraphBatch
from model.errors import ConfigError
from model.vocabulary import IMAGE_ID, IN_IMAGE_ID


@dataclass(frozen=True, slots=True, kw_only=True)
class TripleEncoderConfig:
    """Sizes and choices of a triple encoder.

    Args:
        object_names: how many object names there are, special ones included.
        predicates: how many predicates there are, special ones included.
        caption_dimension: C, length of the caption part of the embedding.
        identity_dimension: I, length of the identity part.
        identity_weight: w, the squared length that the identity part has beside the caption part.
        pooling_power: q, what the number of objects is raised to when the caption part divides by it: 1 is the mean,
            0 the sum. In between, a scene that says more speaks louder.
    """

    object_names: int
    predicates: int
    caption_dimension: int = 64
    identity_dimension: int = 704
    identity_weight: float = 1.0
    pooling_power: float = 0.5

    def __post_init__(self) -> None:
        for name in ("object_names", "predicates", "caption_dimension", "identity_dimension"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 < self.identity_weight < float("inf"):
            raise ConfigError(f"identity_weight is {self.identity_weight}; it must be a positive number")
        if not 0 <= self.pooling_power <= 1:
            raise ConfigError(f"pooling_power is {self.pooling_power}; it must be from 0 to 1")

    @property
    def dimension(self) -> int:
        """D = C + I, the length of the embedding."""
        return self.caption_dimension + self.identity_dimension

    def to_json(self) -> dict[str, Any]:
        """The configuration as a JSON document."""
        return asdict(self)


class TripleEncoder(nn.Module):
    """Embeds scene graphs in two parts, side by side.

    The caption part pools one vector per object name; the identity part adds up the objects and the triples (s, p, o),
    each triple one vector that its three names are bound to by their elementwise product:

        c = b + sum_u A[u] / n^q                                            over n objects u
        i = normalize(sum_u R[u] + sum_(s, p, o) a_spo S[s] * P[p] * T[o])   over distinct triples
        f = normalize([c, sqrt(w) i])

    with a_spo = a[s] + a[p] + a[o] from a number per name and role: what is rare tells more. A triple that a graph has
    twice counts once.

    Products of independent random vectors are nearly orthogonal to each other and to their factors, so the triples of
    a graph can be told apart in their sum, and subject and object are not interchangeable: binding by products as in
    Plate's holographic reduced representations (1995) and Gayler's multiply-add-permute architecture (1998), with
    vectors from a table for each role, as in the score of DistMult (Yang et al. 2015). A part of a graph has a part of
    the sum, which is what makes partial queries find their images.

    `__image__` and the edges to it add nothing: what all graphs have tells none from another.
    """

    def __init__(self, config: TripleEncoderConfig) -> None:
        super().__init__()
        self.config = config
        names, caption, identity = config.object_names, config.caption_dimension, config.identity_dimension
        # The rows of `__image__` and `__in_image__` stay zero.
        self.caption_embedding = nn.Embedding(names, caption, padding_idx=IMAGE_ID)
        self.caption_bias = nn.Parameter(torch.zeros(caption))
        self.object_embedding = nn.Embedding(names, identity, padding_idx=IMAGE_ID)
        self.subject_role = nn.Embedding(names, identity, padding_idx=IMAGE_ID)
        self.predicate_role = nn.Embedding(config.predicates, identity, padding_idx=IN_IMAGE_ID)
        self.object_role = nn.Embedding(names, identity, padding_idx=IMAGE_ID)
        self.subject_weight = nn.Embedding(names, 1)
        self.predicate_weight = nn.Embedding(config.predicates, 1)
        self.object_weight = nn.Embedding(names, 1)

    def forward(self, batch: GraphBatch) -> Tensor:
        """One vector a graph.

        Shapes:
            returns: (N, D), unit rows.
        """
        config, nodes, graph = self.config, batch.nodes, batch.graph_of_node
        bias = self.caption_bias
        objects = bias.new_zeros(batch.graphs, 1).index_add(0, graph, (nodes != IMAGE_ID).unsqueeze(1).to(bias))
        pooled = bias.new_zeros(batch.graphs, config.caption_dimension).index_add(
            0, graph, self.caption_embedding(nodes)
        )
        caption = bias + pooled / objects.clamp(min=1) ** config.pooling_power

        owner, subject, predicate, target = self._distinct_triples(batch)
        weight = self.subject_weight(subject) + self.predicate_weight(predicate) + self.object_weight(target)  # (R, 1)
        triples = weight * self.subject_role(subject) * self.predicate_role(predicate) * self.object_role(target)
        identity = bias.new_zeros(batch.graphs, config.identity_dimension)
        identity = identity.index_add(0, graph, self.object_embedding(nodes)).index_add(0, owner, triples)
        identity = config.identity_weight**0.5 * F.normalize(identity, dim=1)
        return F.normalize(torch.cat([caption, identity], dim=1), dim=1)

    def _distinct_triples(self, batch: GraphBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Graph, subject, predicate and object of every relationship, but of equal ones in a graph only one.

        Shapes:
            returns: (R,) each, numbers of graphs and of names.
        """
        relation = batch.predicates != IN_IMAGE_ID
        source, target = batch.edges[relation].unbind(dim=1)
        names, predicates = self.config.object_names, self.config.predicates
        # One whole number a triple; with 100,000 names and as many predicates there is room for 9,000 graphs.
        key = (batch.graph_of_node[source] * names + batch.nodes[source]) * predicates + batch.predicates[relation]
        key = torch.unique(key * names + batch.nodes[target])
        key, target = key // names, key % names
        key, predicate = key // predicates, key % predicates
        return key // names, key % names, predicate, target
