"""Figure 3: what encoders find for a few partial graphs of the test images."""

from collections.abc import Mapping
from dataclasses import replace
from html import escape
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.batch import PackedGraphs
from model.checkpoint import Checkpoint
from model.dataset import SceneGraphDataset
from training.evaluation.baselines import EncoderEmbedder
from training.evaluation.evaluate import Benchmark
from training.evaluation.partial_graphs import gallery_batches
from training.reproduction.pictures import Triple, picture, triple_list, triples_of

_QUERIES: Final = 4
_TOP: Final = 8


def sample_queries(benchmark: Benchmark) -> tuple[NDArray[np.int64], PackedGraphs]:
    """Some images of the benchmark, and half of the relationships of each as its query.

    Images with at least three relationships are preferred: half of two is no fragment.

    Returns:
        Positions among the benchmark's images, and their partial graphs. Shapes: (Q,), Q graphs.
    """
    random = np.random.default_rng([benchmark.seed, 3])
    counts = benchmark.graphs.relationship_counts
    shuffled = random.permutation(len(counts))
    chosen = shuffled[np.argsort(counts[shuffled] < 3, kind="stable")][:_QUERIES]
    graphs = benchmark.graphs.select(chosen)
    position = np.arange(len(graphs.predicates)) - np.repeat(
        graphs.relationship_offsets[:-1], graphs.relationship_counts
    )
    keep = position < np.repeat((graphs.relationship_counts + 1) // 2, graphs.relationship_counts)
    return chosen, graphs.keep_relationships(keep)


def sample_results(encoders: Mapping[str, Checkpoint], dataset: SceneGraphDataset, benchmark: Benchmark) -> str:
    """The best images for the sample queries, one row of cards an encoder, as HTML.

    Args:
        encoders: by the title they are shown with.
        dataset: where the images come from.
        benchmark: the images searched.
    """
    chosen, queries = sample_queries(benchmark)
    ranked = {title: _rank(checkpoint, dataset, benchmark, queries) for title, checkpoint in encoders.items()}
    parts = []
    for number, image in enumerate(chosen.tolist()):
        wanted = triples_of(queries, number, dataset.vocabulary)
        parts.append(f"<h3>Query {number + 1}</h3><p>{_query_text(dataset, queries, number, wanted)}</p>")
        for title, ranking in ranked.items():
            order = ranking[number]
            place = int(np.flatnonzero(order == image)[0]) + 1
            cards = [
                _card(dataset, benchmark, int(found), rank, set(wanted), right=int(found) == image)
                for rank, found in enumerate(order[:_TOP].tolist(), start=1)
            ]
            parts.append(
                f'<p class="who">{escape(title)}: the right image is at rank {place}</p>'
                f'<div class="cards">{"".join(cards)}</div>'
            )
    return "".join(parts)


def _rank(
    checkpoint: Checkpoint, dataset: SceneGraphDataset, benchmark: Benchmark, queries: PackedGraphs
) -> NDArray[np.int64]:
    """Images of the benchmark for each query, best first. Shape (Q, N)."""
    embedder = EncoderEmbedder(checkpoint.encoder)
    objects, predicates = checkpoint.resolver.renumber(dataset.vocabulary)
    own = replace(queries, objects=objects[queries.objects], predicates=predicates[queries.predicates])
    graphs = benchmark.numbered_for(checkpoint.resolver, dataset)
    gallery = np.concatenate([embedder(batch) for batch in gallery_batches(graphs)])
    order: NDArray[np.int64] = np.argsort(-(embedder(own.to_batch()) @ gallery.T), axis=1, kind="stable")
    return order


def _query_text(dataset: SceneGraphDataset, queries: PackedGraphs, number: int, triples: list[Triple]) -> str:
    if triples:
        return "; ".join(f"<mark>{escape(' '.join(triple))}</mark>" for triple in triples)
    names = queries.objects[slice(*queries.object_offsets[number : number + 2].tolist())]
    return "; ".join(f"<mark>{escape(dataset.vocabulary.objects[name])}</mark>" for name in names.tolist())


def _card(
    dataset: SceneGraphDataset, benchmark: Benchmark, found: int, rank: int, wanted: set[Triple], *, right: bool
) -> str:
    image = int(benchmark.members[found])
    label = f"{rank}. {escape(str(dataset.image_ids[image]))}{' <b>right image</b>' if right else ''}"
    return (
        f'<div class="card{" right" if right else ""}">{picture(dataset, image)}'
        f"<p>{label}</p>{triple_list(triples_of(dataset.graphs, image, dataset.vocabulary), wanted)}</div>"
    )
