"""Both evaluations of Maheshwari et al. 2021, for an encoder and for the untrained baselines beside it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.batch import PackedGraphs
from model.checkpoint import Checkpoint
from model.dataset import SceneGraphDataset, Split
from model.errors import DataError
from training.evaluation.baselines import (
    Embedder,
    EncoderEmbedder,
    NormalFeatures,
    tf_idf_bag,
    word_vector_mean,
)
from training.evaluation.correlation import agreement_with_captions
from training.evaluation.partial_graphs import Reading, partial_batches
from training.evaluation.retrieval import retrieval_scores
from training.similarity import supervised_images

FORMAT_VERSION: Final = 1
ENCODER: Final = "encoder"

REMOVALS: Final[tuple[tuple[Reading, tuple[float, ...]], ...]] = (
    ("all_edges", tuple(range(1, 21))),
    ("relationships", (*range(1, 21), 0.25, 0.5, 0.75)),
)
"""How much is removed: M = 1 .. 20 as in the paper's Figure 4 (M = 12 in its Table 3), and shares of relationships."""

METHODS: Final = 4
"""The encoder and three baselines."""

STEPS: Final = sum(len(removals) for _, removals in REMOVALS) + 1
"""Steps of progress per method."""


def evaluate(
    checkpoint: Checkpoint,
    dataset: SceneGraphDataset,
    *,
    split: Split,
    seed: int,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Agreement with captions and retrieval with incomplete queries.

    Args:
        checkpoint: the encoder; names of the data set that it does not know are resolved as in a query.
        dataset: where the images come from.
        split: which of them. Those with captions take part in the first evaluation, all in the second.
        seed: decides which edges are removed; the same ones for every method.
        progress: called with a method's name after each step.

    Returns:
        A JSON document: protocol; agreement, scores by method; retrieval, a list of reading, removal, method, scores.

    Raises:
        DataError: the split has fewer than three images.
    """
    members = dataset.members(split)
    if len(members) < 3:
        raise DataError(f"the {split} split has {len(members)} images; name another --split or prepare one with more")
    with_captions, captions = supervised_images(dataset, split, "captions")
    known = dataset.graphs.select(members)
    objects, predicates = checkpoint.resolver.renumber(dataset.vocabulary)
    graphs = {ENCODER: replace(known, objects=objects[known.objects], predicates=predicates[known.predicates])}
    methods: dict[str, Embedder] = {
        ENCODER: EncoderEmbedder(checkpoint.encoder),
        "normal features": NormalFeatures(dataset.word_vectors.dimension, np.random.default_rng(seed)),
        "mean of object names' word vectors": word_vector_mean(dataset.vocabulary, dataset.word_vectors),
        "tf-idf bag of objects": tf_idf_bag(dataset.vocabulary, dataset.graphs.select(dataset.members("train"))),
    }

    agreement: dict[str, dict[str, float]] = {}
    retrieval: list[dict[str, Any]] = []
    for name, embedder in methods.items():
        own_graphs = graphs.get(name, known)
        gallery = _embed(embedder, own_graphs, "relationships", 0, seed)
        if len(with_captions) >= 3:
            rows = np.searchsorted(members, with_captions)
            agreement[name] = agreement_with_captions(gallery[rows], captions)
        progress(name)
        for reading, removals in REMOVALS:
            for removal in removals:
                queries = _embed(embedder, own_graphs, reading, removal, seed)
                scores = retrieval_scores(queries, gallery)
                retrieval.append({"reading": reading, "removal": removal, "method": name, **scores})
                progress(name)
    return {
        "format_version": FORMAT_VERSION,
        "protocol": _protocol(checkpoint, dataset, known, split=split, seed=seed, captioned=len(with_captions)),
        "agreement": agreement,
        "retrieval": retrieval,
    }


def _embed(
    embedder: Embedder, graphs: PackedGraphs, reading: Reading, removal: float, seed: int
) -> NDArray[np.float32]:
    """Embeddings of graphs that lost edges, which depend on the arguments alone: all methods get the same queries."""
    random = np.random.default_rng([seed, round(removal * 100), reading == "all_edges"])
    return np.concatenate([embedder(batch) for batch in partial_batches(graphs, reading, removal, random)])


def _protocol(
    checkpoint: Checkpoint, dataset: SceneGraphDataset, graphs: PackedGraphs, *, split: Split, seed: int, captioned: int
) -> dict[str, Any]:
    edges = graphs.object_counts + graphs.relationship_counts
    return {
        "split": split,
        "images": len(graphs),
        "images_with_captions": captioned,
        "median_edges": float(np.median(edges)),
        "median_relationships": float(np.median(graphs.relationship_counts)),
        "seed": seed,
        "dataset": dataset.fingerprint,
        "dataset_settings": dataset.manifest.get("settings"),
        "checkpoint": checkpoint.digest,
        "training": checkpoint.metadata,
    }
