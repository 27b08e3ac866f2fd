"""Scores on the validation split: after each epoch, to see a run's course and to keep its best checkpoint."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.batch import PackedGraphs
from model.dataset import SceneGraphDataset
from model.encoders import Encoder
from training.config import TrainingConfig
from training.evaluation import correlation
from training.evaluation.baselines import EncoderEmbedder
from training.evaluation.partial_graphs import partial_batches
from training.evaluation.retrieval import retrieval_scores
from training.similarity import supervised_images

BOTH_GOALS: Final = "val_both_goals"
_MAX_IMAGES: Final = 2000  # as many images as a row-wise coefficient is steady on, and as are scored in seconds


def primary(config: TrainingConfig) -> str:
    """The name of the score that the best checkpoint of a run has."""
    return BOTH_GOALS if config.best_by == "both" else f"val_{correlation.PRIMARY}"


def validate(encoder: Encoder, dataset: SceneGraphDataset, config: TrainingConfig) -> dict[str, float]:
    """Agreement with captions, and Recall@1 of graphs that lost half, or three quarters, of their relationships.

    Args:
        encoder: any; it comes back in evaluation mode.
        dataset: its captioned validation images are used, the first 2,000 of them.
        config: its seed decides which relationships are lost, the same ones after each epoch.

    Returns:
        val_row_kendall_tau, val_row_spearman_rho, val_row_pearson_r; val_recall_at_1 (half) and
        val_recall_at_1_of_a_quarter; val_both_goals, the sum of the first and the last of these; nothing without such
        images.
    """
    members, captions = supervised_images(dataset, "val", config.supervision)
    members, captions = members[:_MAX_IMAGES], captions[:_MAX_IMAGES]
    if len(members) < 3:
        return {}
    encoder.eval()
    embedder = EncoderEmbedder(encoder)
    graphs = dataset.graphs.select(members)
    whole = _embed(embedder, graphs, 0, config)
    scores = correlation.row_agreement(whole, captions)
    for name, removed in (("recall_at_1", 0.5), ("recall_at_1_of_a_quarter", 0.75)):
        scores[name] = retrieval_scores(_embed(embedder, graphs, removed, config), whole)["recall_at_1"]
    scores["both_goals"] = scores[correlation.PRIMARY] + scores["recall_at_1_of_a_quarter"]
    return {f"val_{name}": score for name, score in scores.items()}


def _embed(
    embedder: EncoderEmbedder, graphs: PackedGraphs, removed: float, config: TrainingConfig
) -> NDArray[np.float32]:
    random = np.random.default_rng(config.seed)
    return np.concatenate([embedder(batch) for batch in partial_batches(graphs, "relationships", removed, random)])
