"""One training step's loss: a batch of anchors in, the mean loss of their triples out."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from numpy.typing import NDArray
from torch import Tensor

from model.batch import PackedGraphs
from model.vocabulary import UNKNOWN_ID
from training.config import TrainingConfig
from training.losses import infonce_loss, preference, ranking_excess, ranking_loss, triplet_loss
from training.samplers import SAMPLERS
from training.similarity import CaptionSimilarity

Encode = Callable[[PackedGraphs], Tensor]
"""N graphs to their embeddings with gradient, (N, D): how a loss reaches the encoder, wherever its parts run."""


@dataclass(frozen=True, slots=True)
class StepLoss:
    """The loss of a batch, and how far it is above the lowest possible one."""

    loss: Tensor
    excess: Tensor


class TripleObjective:
    """Samples triples, encodes their three graphs in one batch, and compares the inner products.

    Args:
        config: which loss and sampler, and their constants.
        graphs: the N training graphs that have captions.
        similarity: caption similarities between them.
    """

    def __init__(self, config: TrainingConfig, graphs: PackedGraphs, similarity: CaptionSimilarity) -> None:
        self.config = config
        self.graphs = graphs
        self.similarity = similarity
        self.sample = SAMPLERS[config.sampler]

    def __call__(
        self, encode: Encode, anchors: Tensor, generator: torch.Generator, random: np.random.Generator
    ) -> StepLoss:
        """Loss of one triple per anchor.

        Args:
            encode: embeds graphs with an encoder in training mode.
            anchors: positions of graphs. Shape (B,).
            generator: draws positives and negatives, on the device of the similarities.
            random: hides names (see `hide_names`).
        """
        positives, negatives = self.sample(anchors, self.similarity, generator)
        chosen = torch.cat([anchors, positives, negatives]).cpu().numpy()
        graphs = hide_names(self.graphs.select(chosen), self.config.unknown_rate, random)
        anchor, positive, negative = encode(graphs).chunk(3)
        return self._loss(
            torch.linalg.vecdot(anchor, positive),
            torch.linalg.vecdot(anchor, negative),
            preference(self.similarity.pairs(anchors, positives), self.similarity.pairs(anchors, negatives)),
        )

    def _loss(self, positive: Tensor, negative: Tensor, target: Tensor) -> StepLoss:
        temperature = self.config.temperature
        if self.config.loss == "ranking":
            loss = ranking_loss(positive, negative, target, temperature=temperature)
            return StepLoss(loss, ranking_excess(loss.detach(), target))
        if self.config.loss == "triplet":
            loss = triplet_loss(positive, negative, margin=self.config.margin)
            return StepLoss(loss, loss.detach())
        loss = infonce_loss(positive, negative, temperature=temperature)
        # Cosines differ by at most 2.
        return StepLoss(loss, loss.detach() - F.softplus(loss.new_tensor(-2.0 / temperature)))


def hide_names(graphs: PackedGraphs, rate: float, random: np.random.Generator) -> PackedGraphs:
    """The graphs with a share of their object names and predicates replaced by the unknown, so that it is learned."""
    if rate == 0:
        return graphs

    def hide(names: NDArray[np.int32]) -> NDArray[np.int32]:
        return np.where(random.random(len(names)) < rate, np.int32(UNKNOWN_ID), names)

    return replace(graphs, objects=hide(graphs.objects), predicates=hide(graphs.predicates))
