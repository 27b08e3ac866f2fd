"""The form of an encoder for inference: the same vectors, whatever the batch and the order; the same ranking."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.batch import GraphBatch, PackedGraphs
from model.encoder import EncoderConfig, SceneGraphEncoder
from model.inference import embed, prepare_for_inference
from model.resolution import ResolvedGraph
from model.triple_encoder import TripleEncoder, TripleEncoderConfig
from model.visual_genome import read_visual_genome
from tests.random_graphs import packed, random_graphs, small_encoder

Vectors = NDArray[np.float32]


def paper_size(names: int, predicates: int, warm: PackedGraphs) -> SceneGraphEncoder:
    """Random weights of the paper's size; batch norm has seen graphs."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        encoder = SceneGraphEncoder(EncoderConfig(object_names=names, predicates=predicates))
        for _ in range(20):
            encoder(warm.to_batch())
    return encoder.eval()


def shuffled(graph: ResolvedGraph, random: np.random.Generator) -> ResolvedGraph:
    """The same graph with its objects and relationships in another order."""
    old_place = random.permutation(len(graph.objects))
    new_place = np.argsort(old_place)
    order = random.permutation(len(graph.subjects))
    return ResolvedGraph(
        objects=[graph.objects[old] for old in old_place],
        subjects=[int(new_place[graph.subjects[edge]]) for edge in order],
        predicates=[graph.predicates[edge] for edge in order],
        targets=[int(new_place[graph.targets[edge]]) for edge in order],
        substitutions=(),
    )


@pytest.mark.parametrize("pool_image_node", [True, False])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("residual", [True, False])
@torch.no_grad()
def test_the_prepared_form_is_the_same_function(pool_image_node: bool, normalize: bool, residual: bool) -> None:
    encoder = small_encoder(pool_image_node=pool_image_node, normalize=normalize, residual=residual)
    batch = packed(50).to_batch()
    torch.testing.assert_close(prepare_for_inference(encoder)(batch), encoder(batch), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_node_without_edges_is_the_same_too() -> None:
    encoder = small_encoder()
    none = torch.zeros(0, dtype=torch.int64)
    batch = GraphBatch(
        nodes=torch.tensor([2]), predicates=none, edges=none.reshape(0, 2), graph_of_node=torch.tensor([0]), graphs=1
    )
    torch.testing.assert_close(prepare_for_inference(encoder)(batch), encoder(batch), atol=1e-5, rtol=1e-4)


def test_equal_graphs_have_equal_vectors_in_any_batch_place_and_order() -> None:
    encoder = prepare_for_inference(paper_size(9, 9, packed(200)))
    random = np.random.default_rng(1)
    for graph in random_graphs(4, seed=3):
        alone = embed(encoder, PackedGraphs.pack([graph]))[0]
        others = random_graphs(300, seed=4)
        for size in (2, 16, 64, 600):
            places = random.random(size) < 0.5
            places[0] = True
            graphs = [shuffled(graph, random) if here else others[row % 300] for row, here in enumerate(places)]
            vectors = embed(encoder, PackedGraphs.pack(graphs))[places]
            np.testing.assert_array_equal(vectors, np.broadcast_to(alone, vectors.shape))


def test_preparing_leaves_the_encoder_as_it_was_and_does_not_follow_it() -> None:
    encoder, graphs = small_encoder(), packed(5)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    prepared = prepare_for_inference(encoder)
    vectors = embed(prepared, graphs)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(embed(prepared, graphs), vectors)


def test_the_triple_encoder_is_ready_as_it_is() -> None:
    encoder = TripleEncoder(TripleEncoderConfig(object_names=9, predicates=9)).eval()
    assert prepare_for_inference(encoder) is encoder


def test_real_graphs_have_the_same_vectors_and_the_same_top_ten(shared_data: Path) -> None:
    genome = read_visual_genome(shared_data / "vg-open", phrases=False)
    graphs = PackedGraphs(
        objects=genome.objects + np.int32(2),
        object_offsets=genome.object_offsets,
        subjects=genome.subjects,
        predicates=genome.predicates + np.int32(2),
        targets=genome.targets,
        relationship_offsets=genome.relationship_offsets,
    )
    usable = np.flatnonzero((graphs.object_counts >= 2) & (graphs.relationship_counts >= 1))
    images = graphs.select(np.random.default_rng(0).permutation(usable)[:2000])
    encoder = paper_size(int(graphs.objects.max()) + 1, int(graphs.predicates.max()) + 1, images.select(np.arange(256)))
    expected, actual = embed(encoder, images), embed(prepare_for_inference(encoder), images)
    assert (expected.astype(np.float64) * actual).sum(axis=1).min() >= 0.9999

    def scores(vectors: Vectors) -> NDArray[np.float64]:
        exact = vectors.astype(np.float64)
        return exact[:200] @ exact.T

    right, ours = scores(expected), scores(actual)
    for query in range(200):
        order, wanted = np.argsort(-ours[query], kind="stable")[:10], np.argsort(-right[query], kind="stable")[:10]
        # Places may be exchanged only where the unprepared encoder's own rounding cannot tell the images apart.
        np.testing.assert_allclose(right[query, order], right[query, wanted], atol=1e-6, rtol=0)
