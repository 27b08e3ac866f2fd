"""The baselines that stand in every table, and what their statistics come from."""

from typing import Final

import numpy as np

from model.dataset import SceneGraphDataset
from training.evaluation.baselines import Embedder, NormalFeatures, SideBySide, tf_idf_bag, word_vector_mean
from training.evaluation.ridge import fit_ridge
from training.evaluation.triples import TripleBag

NORMAL: Final = "normal features"
WORDS: Final = "mean of object names' word vectors"
OBJECTS: Final = "tf-idf bag of objects"
TRIPLES: Final = "tf-idf bag of triples"
RIDGE: Final = "ridge regression to captions"
SIDE_BY_SIDE: Final = "ridge and tf-idf side by side"
FEATURES: Final = "image features"

_SIDE_BY_SIDE_WEIGHTS: Final = (0.6, 0.4)
"""Shares of the ridge similarity and of the tf-idf similarity."""


def untrained_baselines(dataset: SceneGraphDataset, seed: int) -> dict[str, Embedder]:
    """Baselines that need no captions, by name; idf comes from the training split, or from all images without one.

    Args:
        dataset: whose graphs will be embedded, in its own numbers.
        seed: draws the normal features.
    """
    members = dataset.members("train")
    training = dataset.graphs.select(members) if len(members) else dataset.graphs
    return {
        NORMAL: NormalFeatures(dataset.word_vectors.dimension, np.random.default_rng(seed)),
        WORDS: word_vector_mean(dataset.vocabulary, dataset.word_vectors),
        OBJECTS: tf_idf_bag(dataset.vocabulary, training),
        TRIPLES: TripleBag.of_graphs(dataset.vocabulary, dataset.graphs, training),
    }


def linear_baselines(dataset: SceneGraphDataset) -> dict[str, Embedder]:
    """Baselines fitted to the captions of the training images, by name; none where there are too few captions.

    Args:
        dataset: what they are fitted on, and whose numbers they read.
    """
    bag = tf_idf_bag(dataset.vocabulary, dataset.graphs.select(dataset.members("train")))
    words = word_vector_mean(dataset.vocabulary, dataset.word_vectors)
    ridge = fit_ridge(SideBySide((bag, 1.0), (words, 1.0)), dataset)
    if ridge is None:
        return {}
    of_ridge, of_bag = _SIDE_BY_SIDE_WEIGHTS
    return {RIDGE: ridge, SIDE_BY_SIDE: SideBySide((ridge, of_ridge), (bag, of_bag))}
