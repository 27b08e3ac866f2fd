"""The loss of a batch of whole graphs, of parts of them, and of graphs with captions: two goals at once."""

from typing import Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from numpy.typing import NDArray
from torch import Tensor

from model.batch import PackedGraphs
from training.config import TrainingConfig
from training.objective import Encode, StepLoss, hide_names
from training.similarity import CaptionSimilarity

_MAX_REMOVED: Final = 0.9  # share of a graph's relationships that a part may lack


class ViewsObjective:
    """Parts find their wholes, and similarities go with those of captions.

        identity    = InfoNCE over the batch: a part's own whole graph against the others, at a temperature
        correlation = 1 - mean over rows of Pearson's r between f_X . f_Y and s_XY, among graphs with captions
        loss        = share * identity + (1 - share) * correlation

    Args:
        config: the share, the temperature, and the rate at which names in parts are hidden.
        graphs: all N training graphs, with or without captions.
        captioned: positions of those with captions. Shape (C,).
        similarity: caption similarities between those.
    """

    def __init__(
        self, config: TrainingConfig, graphs: PackedGraphs, captioned: NDArray[np.int64], similarity: CaptionSimilarity
    ) -> None:
        self.config = config
        self.graphs = graphs
        self.captioned = captioned
        self.similarity = similarity

    def __call__(
        self, encode: Encode, anchors: Tensor, _generator: torch.Generator, random: np.random.Generator
    ) -> StepLoss:
        """Loss of a batch; as many graphs with captions as there are anchors are drawn to go with them.

        Args:
            encode: embeds graphs with an encoder in training mode.
            anchors: positions of graphs. Shape (B,).
            random: removes relationships, hides names, draws graphs with captions.
        """
        drawn = np.sort(random.permutation(len(self.captioned))[: len(anchors)])
        chosen = anchors.cpu().numpy()
        embeddings = encode(self.graphs.select(np.concatenate([chosen, self.captioned[drawn]])))
        whole, spoken = embeddings[: len(chosen)], embeddings[len(chosen) :]
        parts = remove_relationships(self.graphs.select(chosen), random)
        part = encode(hide_names(parts, self.config.unknown_rate, random))
        own = torch.arange(len(anchors), device=part.device)
        identity = F.cross_entropy(part @ whole.T / self.config.temperature, own)

        rows = torch.from_numpy(drawn).to(part.device)
        correlation = 1 - row_correlation(spoken @ spoken.T, self.similarity.rows(rows)[:, rows]).mean()
        share = self.config.identity_share
        loss = share * identity + (1 - share) * correlation
        return StepLoss(loss, loss.detach())


def row_correlation(left: Tensor, right: Tensor) -> Tensor:
    """Pearson's r of each row, the diagonal left out. Shapes: (B, B), (B, B) -> (B,)."""
    others = ~torch.eye(len(left), dtype=torch.bool, device=left.device)

    def centred(values: Tensor) -> Tensor:
        rows = values[others].view(len(values), -1)
        return F.normalize(rows - rows.mean(dim=1, keepdim=True), dim=1)

    return (centred(left) * centred(right)).sum(dim=1)


def remove_relationships(graphs: PackedGraphs, random: np.random.Generator) -> PackedGraphs:
    """Parts of graphs: each loses a random share of its relationships, but one, and then the objects without any.

    The share is uniform from 0 to 0.9.
    """
    counts = graphs.relationship_counts
    graph_of_edge = np.repeat(np.arange(len(graphs)), counts)
    kept = np.maximum(1, np.round((1 - random.uniform(0, _MAX_REMOVED, len(graphs))) * counts))
    order = np.lexsort((random.random(len(graph_of_edge)), graph_of_edge))  # shuffled within each graph
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order)) - np.repeat(graphs.relationship_offsets[:-1], counts)
    return graphs.keep_relationships(position < kept[graph_of_edge])
