"""The tf-idf bag of triples: which relationships two graphs share, word for word."""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from model.batch import GraphBatch, PackedGraphs
from model.vocabulary import IN_IMAGE_ID, Vocabulary


class TripleBag:
    """Counts of (subject name, predicate, object name), weighted by idf, at unit length; zeros without relationships.

    idf = ln(N / (number of training graphs with that triple)), and of a triple that no training graph has, ln(N).

    Args:
        names: how many object names there are.
        predicates: how many predicates there are.
        keys: the known triples as (subject * predicates + predicate) * names + object, ascending. Shape (T,).
        idf: their weights. Shape (T,).
    """

    def __init__(self, names: int, predicates: int, keys: NDArray[np.int64], idf: NDArray[np.float32]) -> None:
        self.names, self.predicates, self.keys, self.idf = names, predicates, keys, idf

    @classmethod
    def of_graphs(cls, vocabulary: Vocabulary, graphs: PackedGraphs, training: PackedGraphs) -> Self:
        """A bag that knows the triples of `graphs`, with idf from the training graphs alone.

        Args:
            vocabulary: of both.
            graphs: all graphs that will be compared: a triple of a test image that no training graph has must still
                match itself. A query's triple that is not in any of them matches nothing, so it may be left out.
            training: what idf is counted on.
        """
        names, predicates = len(vocabulary.objects), len(vocabulary.predicates)
        bag = cls(names, predicates, np.zeros(0, np.int64), np.zeros(0, np.float32))
        keys = np.unique(np.concatenate([bag._keys(graphs), bag._keys(training)]))
        graph_of_edge = np.repeat(np.arange(len(training)), training.relationship_counts)
        once = np.unique(np.stack([graph_of_edge, np.searchsorted(keys, bag._keys(training))]), axis=1)
        document_frequency = np.bincount(once[1], minlength=len(keys))
        idf = np.log(max(len(training), 1) / np.maximum(document_frequency, 1))
        return cls(names, predicates, keys, idf.astype(np.float32))

    def __call__(self, batch: GraphBatch) -> sparse.csr_array:
        """Shapes: N graphs -> (N, T), sparse."""
        predicates = batch.predicates.numpy()
        real = predicates != IN_IMAGE_ID
        nodes, edges = batch.nodes.numpy(), batch.edges.numpy()[real]
        keys = self._key(nodes[edges[:, 0]], predicates[real], nodes[edges[:, 1]])
        column = np.searchsorted(self.keys, keys)
        known = np.zeros(len(keys), np.bool_)
        inside = column < len(self.keys)
        known[inside] = self.keys[column[inside]] == keys[inside]
        row, column = batch.graph_of_edge.numpy()[real][known], column[known]
        # Parallel relationships of one name are counted: coordinates that repeat are added up.
        bags = sparse.coo_array((self.idf[column], (row, column)), shape=(batch.graphs, len(self.keys))).tocsr()
        lengths = np.sqrt(np.bincount(np.repeat(np.arange(batch.graphs), np.diff(bags.indptr)), bags.data**2))
        lengths = np.pad(lengths, (0, batch.graphs - len(lengths)))
        bags.data /= np.repeat(np.maximum(lengths, 1e-12), np.diff(bags.indptr)).astype(np.float32)
        return bags

    def _keys(self, graphs: PackedGraphs) -> NDArray[np.int64]:
        first = np.repeat(graphs.object_offsets[:-1], graphs.relationship_counts)
        return self._key(
            graphs.objects[first + graphs.subjects], graphs.predicates, graphs.objects[first + graphs.targets]
        )

    def _key(
        self, subjects: NDArray[np.integer], predicates: NDArray[np.integer], objects: NDArray[np.integer]
    ) -> NDArray[np.int64]:
        key: NDArray[np.int64] = (subjects.astype(np.int64) * self.predicates + predicates) * self.names + objects
        return key
