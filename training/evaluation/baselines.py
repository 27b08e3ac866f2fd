"""What an encoder has to beat: embeddings of graphs that nothing was trained for."""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from model.batch import GraphBatch, PackedGraphs
from model.encoders import Encoder
from model.vocabulary import IMAGE_ID, Vocabulary
from model.word_vectors import WordVectors
from training.evaluation.similarities import Rows, unit_rows


class Embedder(Protocol):
    """Anything that turns a batch of (partial) graphs into one vector each, dense or sparse."""

    def __call__(self, batch: GraphBatch) -> Rows:
        """Shapes: N graphs -> (N, D)."""


class DenseEmbedder(Protocol):
    """An embedder whose vectors are dense, so that others can be computed from them."""

    def __call__(self, batch: GraphBatch) -> NDArray[np.float32]:
        """Shapes: N graphs -> (N, D)."""


class EncoderEmbedder:
    """The trained encoder itself, on the device where it is."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    @torch.inference_mode()
    def __call__(self, batch: GraphBatch) -> NDArray[np.float32]:
        """Shapes: N graphs -> (N, D)."""
        device = next(self.encoder.parameters()).device
        vectors: NDArray[np.float32] = self.encoder(batch.to(device)).cpu().numpy()
        return vectors


class NormalFeatures:
    """Vectors drawn from a normal distribution, whatever the graph ("normal features" of Maheshwari et al. 2021)."""

    def __init__(self, dimension: int, random: np.random.Generator) -> None:
        self.dimension, self.random = dimension, random

    def __call__(self, batch: GraphBatch) -> NDArray[np.float32]:
        """Shapes: N graphs -> (N, D)."""
        return unit_rows(self.random.standard_normal((batch.graphs, self.dimension), dtype=np.float32))


class NodeMean:
    """The mean over a graph's objects of one vector per object name, at unit length.

    With word vectors it is the mean of the names' vectors; with idf-weighted unit vectors it is a tf-idf bag of
    objects.

    Args:
        table: a vector for each number of an object name. Shape (object names, D).
    """

    def __init__(self, table: NDArray[np.float32]) -> None:
        self.table = table

    def __call__(self, batch: GraphBatch) -> NDArray[np.float32]:
        """Shapes: N graphs -> (N, D)."""
        nodes, graph = batch.nodes.numpy(), batch.graph_of_node.numpy()
        real = nodes != IMAGE_ID
        total = np.zeros((batch.graphs, self.table.shape[1]), np.float32)
        np.add.at(total, graph[real], self.table[nodes[real]])
        return unit_rows(total)


class SideBySide:
    """Several vectors in one: similarities of the whole are the weighted sum of those of the parts.

    Args:
        parts: embedders of unit vectors, each with its weight; a part is scaled by the weight's square root.
    """

    def __init__(self, *parts: tuple[DenseEmbedder, float]) -> None:
        self.parts = parts

    def __call__(self, batch: GraphBatch) -> NDArray[np.float32]:
        """Shapes: N graphs -> (N, sum of D)."""
        return np.concatenate([embed(batch) * np.float32(np.sqrt(weight)) for embed, weight in self.parts], axis=1)


def word_vector_mean(vocabulary: Vocabulary, word_vectors: WordVectors) -> NodeMean:
    """The mean of the object names' word vectors."""
    return NodeMean(word_vectors.means(vocabulary.objects)[0])


def tf_idf_bag(vocabulary: Vocabulary, training: PackedGraphs) -> NodeMean:
    """The tf-idf bag of objects: counts of names weighted by ln(N / (number of training graphs with that name))."""
    graph_of_object = np.repeat(np.arange(len(training)), training.object_counts)
    once = np.unique(np.stack([graph_of_object, training.objects]), axis=1)
    document_frequency = np.bincount(once[1], minlength=len(vocabulary.objects))
    idf = np.log(max(len(training), 1) / np.maximum(document_frequency, 1))
    return NodeMean(np.diag(idf).astype(np.float32))
