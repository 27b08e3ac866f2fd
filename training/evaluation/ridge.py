"""Ridge regression from bags of objects to the caption vector: the linear model that an encoder has to beat."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.batch import GraphBatch, PackedGraphs
from model.dataset import SceneGraphDataset
from training.evaluation.baselines import DenseEmbedder
from training.evaluation.correlation import PRIMARY, row_agreement
from training.evaluation.partial_graphs import gallery_batches, whole_batches
from training.evaluation.similarities import unit_rows
from training.similarity import supervised_images

STRENGTHS: Final = tuple(float(strength) for strength in 10.0 ** np.arange(-1, 3.1, 0.5))
"""Regularisation strengths tried on the validation images."""

_STRENGTH_WITHOUT_VALIDATION: Final = 10.0
_MAX_VALIDATION_IMAGES: Final = 2000


class Ridge:
    """The mean caption vector that a linear model expects of a graph, at unit length.

    prediction = x W with W = (X'X + strength I)^-1 X'Y. There is no intercept: of the forms compared by hand on
    vg-open this one agreed best with captions.

    Args:
        features: what is regressed from.
        weights: W. Shape (F, C).
        strength: how strongly W was held to zero.
    """

    def __init__(self, features: DenseEmbedder, weights: NDArray[np.float32], strength: float) -> None:
        self.features, self.weights, self.strength = features, weights, strength

    def __call__(self, batch: GraphBatch) -> NDArray[np.float32]:
        """Shapes: N graphs -> (N, C)."""
        return unit_rows(self.features(batch) @ self.weights)


def fit_ridge(features: DenseEmbedder, dataset: SceneGraphDataset) -> Ridge | None:
    """Fit on the captioned training images; the strength is the best of `STRENGTHS` by the validation images' row tau.

    Returns:
        The model; None where fewer than three training images have captions.
    """
    members, captions = supervised_images(dataset, "train", "captions")
    if len(members) < 3:
        return None
    x = np.concatenate([features(batch) for batch in whole_batches(dataset.graphs.select(members))]).astype(np.float64)
    y = captions.astype(np.float64)
    # One decomposition serves all strengths: X'X = Q diag(l) Q', so W = Q diag(1 / (l + strength)) Q'X'Y.
    eigenvalues, vectors = np.linalg.eigh(x.T @ x)
    eigenvalues = np.maximum(eigenvalues, 0)  # rounding leaves some just below zero
    projected = vectors.T @ (x.T @ y)

    def solution(strength: float) -> Ridge:
        weights = vectors @ (projected / (eigenvalues + strength)[:, None])
        return Ridge(features, weights.astype(np.float32), strength)

    val, val_captions = supervised_images(dataset, "val", "captions")
    val, val_captions = val[:_MAX_VALIDATION_IMAGES], val_captions[:_MAX_VALIDATION_IMAGES]
    if len(val) < 3:
        return solution(_STRENGTH_WITHOUT_VALIDATION)
    graphs = dataset.graphs.select(val)
    candidates = [solution(strength) for strength in STRENGTHS]
    scores = [row_agreement(_embed(ridge, graphs), val_captions)[PRIMARY] for ridge in candidates]
    return candidates[int(np.argmax(scores))]


def _embed(embedder: DenseEmbedder, graphs: PackedGraphs) -> NDArray[np.float32]:
    return np.concatenate([embedder(batch) for batch in gallery_batches(graphs)])
