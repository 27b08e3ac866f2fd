"""Scores on the validation split: after each epoch, to see a run's course and to keep its best checkpoint."""

from typing import Final

import numpy as np

from model.dataset import SceneGraphDataset
from model.encoder import SceneGraphEncoder
from training.config import TrainingConfig
from training.evaluation import correlation
from training.evaluation.baselines import EncoderEmbedder
from training.evaluation.partial_graphs import partial_batches
from training.evaluation.retrieval import retrieval_scores
from training.similarity import supervised_images

PRIMARY: Final = f"val_{correlation.PRIMARY}"
_MAX_IMAGES: Final = 2000  # as many images as a row-wise coefficient is steady on, and as are scored in seconds


def validate(encoder: SceneGraphEncoder, dataset: SceneGraphDataset, config: TrainingConfig) -> dict[str, float]:
    """Agreement with captions, and Recall@1 of graphs that lost half of their relationships.

    Args:
        encoder: any; it comes back in evaluation mode.
        dataset: its captioned validation images are used, the first 2,000 of them.
        config: its seed decides which relationships are lost, the same ones after each epoch.

    Returns:
        val_row_kendall_tau, val_row_spearman_rho, val_row_pearson_r, val_recall_at_1; nothing without such images.
    """
    members, captions = supervised_images(dataset, "val", config.supervision)
    members, captions = members[:_MAX_IMAGES], captions[:_MAX_IMAGES]
    if len(members) < 3:
        return {}
    encoder.eval()
    embedder = EncoderEmbedder(encoder)
    graphs = dataset.graphs.select(members)
    whole = np.concatenate([embedder(batch) for batch in partial_batches(graphs, "relationships", 0, _random(config))])
    half = np.concatenate([embedder(batch) for batch in partial_batches(graphs, "relationships", 0.5, _random(config))])
    scores = correlation.row_agreement(whole, captions)
    scores["recall_at_1"] = retrieval_scores(half, whole)["recall_at_1"]
    return {f"val_{name}": score for name, score in scores.items()}


def _random(config: TrainingConfig) -> np.random.Generator:
    return np.random.default_rng(config.seed)
