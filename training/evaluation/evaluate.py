"""Both evaluations of Maheshwari et al. 2021, for an encoder and for the baselines beside it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.batch import PackedGraphs
from model.checkpoint import Checkpoint
from model.dataset import SceneGraphDataset, Split
from model.errors import DataError
from model.resolution import NameResolver
from training.config import Supervision
from training.evaluation.baselines import Embedder, EncoderEmbedder
from training.evaluation.correlation import agreement_with_captions
from training.evaluation.methods import linear_baselines, untrained_baselines
from training.evaluation.partial_graphs import Reading, gallery_batches, partial_batches
from training.evaluation.retrieval import retrieval_scores
from training.evaluation.similarities import Rows, stack
from training.similarity import supervised_images

FORMAT_VERSION: Final = 2
ENCODER: Final = "encoder"

REMOVALS: Final[tuple[tuple[Reading, tuple[float, ...]], ...]] = (
    ("all_edges", tuple(range(1, 21))),
    ("relationships", (*range(1, 21), 0.25, 0.5, 0.75)),
)
"""How much is removed: M = 1 .. 20 as in the paper's Figure 4 (M = 12 in its Table 3), and shares of relationships."""

SHARES: Final[tuple[tuple[Reading, tuple[float, ...]], ...]] = (("relationships", (0.25, 0.5, 0.75)),)
"""The part of it that is scored on data sets beside the main one."""

Scores = dict[str, Any]
"""What a method scored, as JSON: agreement, agreement_sentences (each {} without captions), and retrieval, a list of
reading, removal and scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """What all methods of a report are scored on.

    Args:
        members: positions of the images in their data set. Shape (N,).
        graphs: their scene graphs, in the data set's numbers.
        captions: which of the N images have captions, and their mean caption vectors. Shapes (C,) and (C, D).
        sentences: the same in the vectors of a sentence encoder, if the data set has them.
        split: which images these are.
        seed: decides which edges the queries lose, the same ones for every method.
    """

    members: NDArray[np.int64]
    graphs: PackedGraphs
    captions: tuple[NDArray[np.int64], NDArray[np.float32]]
    sentences: tuple[NDArray[np.int64], NDArray[np.float32]] | None
    split: Split
    seed: int

    @classmethod
    def of_split(cls, dataset: SceneGraphDataset, split: Split, seed: int) -> "Benchmark":
        """The images of a split.

        Raises:
            DataError: they are fewer than three.
        """
        members = dataset.members(split)
        if len(members) < 3:
            raise DataError(
                f"the {split} split has {len(members)} images; name another --split or prepare one with more"
            )
        return cls._of_members(dataset, members, split, seed)

    @classmethod
    def of_all(cls, dataset: SceneGraphDataset, split: Split, seed: int) -> "Benchmark":
        """The images of a split, or all of them where it has fewer than three: a data set made for testing alone."""
        members = dataset.members(split)
        return cls._of_members(dataset, members if len(members) >= 3 else np.arange(len(dataset)), split, seed)

    @classmethod
    def _of_members(
        cls, dataset: SceneGraphDataset, members: NDArray[np.int64], split: Split, seed: int
    ) -> "Benchmark":
        def supervision(name: Supervision) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
            images, vectors = supervised_images(dataset, split, name)
            return np.searchsorted(members, images), vectors

        return cls(
            members=members,
            graphs=dataset.graphs.select(members),
            captions=supervision("captions"),
            sentences=None if dataset.sentence_vectors is None else supervision("sentences"),
            split=split,
            seed=seed,
        )

    def numbered_for(self, resolver: NameResolver, dataset: SceneGraphDataset) -> PackedGraphs:
        """The graphs in the numbers of another vocabulary; names it does not know are found as in a query."""
        objects, predicates = resolver.renumber(dataset.vocabulary)
        return replace(self.graphs, objects=objects[self.graphs.objects], predicates=predicates[self.graphs.predicates])


def evaluate(
    checkpoint: Checkpoint,
    dataset: SceneGraphDataset,
    *,
    split: Split,
    seed: int,
    progress: Callable[[str, int], None] = lambda _name, _methods: None,
) -> dict[str, Any]:
    """Agreement with captions and retrieval with incomplete queries, for an encoder and every baseline.

    Args:
        checkpoint: the encoder; names of the data set that it does not know are resolved as in a query.
        dataset: where the images come from.
        split: which of them. Those with captions take part in the first evaluation, all in the second.
        seed: decides which edges are removed; the same ones for every method.
        progress: called with the name of a method before it is scored, and how many methods there are.

    Returns:
        A JSON document: protocol; agreement, scores by method, and agreement_sentences, the same against the vectors
        of a sentence encoder if the data set has them; retrieval, a list of reading, removal, method, scores.

    Raises:
        DataError: the split has fewer than three images.
    """
    benchmark = Benchmark.of_split(dataset, split, seed)
    methods: dict[str, tuple[Embedder, PackedGraphs]] = {
        ENCODER: (EncoderEmbedder(checkpoint.encoder), benchmark.numbered_for(checkpoint.resolver, dataset))
    }
    for name, baseline in (untrained_baselines(dataset, seed) | linear_baselines(dataset)).items():
        methods[name] = (baseline, benchmark.graphs)
    scores: dict[str, Scores] = {}
    for name, (embedder, graphs) in methods.items():
        progress(name, len(methods))
        scores[name] = score(embedder, graphs, benchmark)
    return {
        "format_version": FORMAT_VERSION,
        "protocol": protocol(dataset, benchmark) | {"checkpoint": checkpoint.digest, "training": checkpoint.metadata},
        "agreement": {name: one["agreement"] for name, one in scores.items() if one["agreement"]},
        "agreement_sentences": {
            name: one["agreement_sentences"] for name, one in scores.items() if one["agreement_sentences"]
        },
        "retrieval": [
            {"reading": row["reading"], "removal": row["removal"], "method": name, **row}
            for name, one in scores.items()
            for row in one["retrieval"]
        ],
    }


def score(embedder: Embedder, graphs: PackedGraphs, benchmark: Benchmark) -> Scores:
    """Both evaluations of one method.

    Args:
        embedder: the method.
        graphs: the benchmark's graphs in the numbers that the method reads.
        benchmark: what is compared with.
    """
    gallery = stack(embedder(batch) for batch in gallery_batches(graphs))
    return score_agreement(gallery, benchmark) | {
        "retrieval": score_retrieval(embedder, graphs, gallery, REMOVALS, benchmark.seed)
    }


def score_shares(embedder: Embedder, graphs: PackedGraphs, benchmark: Benchmark) -> list[dict[str, Any]]:
    """Retrieval alone, with shares of the relationships removed."""
    gallery = stack(embedder(batch) for batch in gallery_batches(graphs))
    return score_retrieval(embedder, graphs, gallery, SHARES, benchmark.seed)


def score_retrieval(
    embedder: Embedder,
    graphs: PackedGraphs,
    gallery: Rows,
    removals: Sequence[tuple[Reading, Sequence[float]]],
    seed: int,
) -> list[dict[str, Any]]:
    """The second evaluation: a row of reading, removal and scores for each way to remove edges.

    Args:
        embedder: the method.
        graphs: N graphs in the numbers that the method reads.
        gallery: their embeddings. Shape (N, D).
        removals: how much is removed, by reading.
        seed: decides which edges go.
    """
    return [
        {
            "reading": reading,
            "removal": removal,
            **retrieval_scores(_queries(embedder, graphs, reading, removal, seed), gallery),
        }
        for reading, shares in removals
        for removal in shares
    ]


def score_agreement(embeddings: Rows, benchmark: Benchmark) -> Scores:
    """The first evaluation alone, of vectors that may come from anywhere. Shapes: (N, D)."""

    def agreement(captions: tuple[NDArray[np.int64], NDArray[np.float32]] | None) -> dict[str, float]:
        if captions is None or len(captions[0]) < 3:
            return {}
        rows, vectors = captions
        return agreement_with_captions(embeddings[rows], vectors)

    return {
        "agreement": agreement(benchmark.captions),
        "agreement_sentences": agreement(benchmark.sentences),
        "retrieval": [],
    }


def protocol(dataset: SceneGraphDataset, benchmark: Benchmark) -> dict[str, Any]:
    """What was scored on, as JSON."""
    graphs = benchmark.graphs
    return {
        "split": benchmark.split,
        "images": len(graphs),
        "images_with_captions": len(benchmark.captions[0]),
        "median_edges": float(np.median(graphs.object_counts + graphs.relationship_counts)),
        "median_relationships": float(np.median(graphs.relationship_counts)),
        "seed": benchmark.seed,
        "dataset": dataset.fingerprint,
        "dataset_settings": dataset.manifest.get("settings"),
        "sentence_encoder": dataset.sentence_encoder,
    }


def _queries(embedder: Embedder, graphs: PackedGraphs, reading: Reading, removal: float, seed: int) -> Rows:
    """Embeddings of graphs that lost edges, which depend on the arguments alone: all methods get the same queries."""
    random = np.random.default_rng([seed, round(removal * 100), reading == "all_edges"])
    return stack(embedder(batch) for batch in partial_batches(graphs, reading, removal, random))
