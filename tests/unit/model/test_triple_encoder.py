"""The triple encoder against a naive loop over objects and triples, and what its sums promise."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model.batch import PackedGraphs
from model.checkpoint import load_checkpoint, save_checkpoint
from model.encoder import SceneGraphEncoder
from model.encoders import encoder_from_json, encoder_to_json
from model.errors import ConfigError
from model.inference import embed
from model.resolution import ResolvedGraph
from model.triple_encoder import TripleEncoder, TripleEncoderConfig
from model.vocabulary import IMAGE_ID, IN_IMAGE_ID, Vocabulary
from model.word_vectors import WordVectors
from tests.random_graphs import NAMES, packed, random_graphs, small_encoder


def triple_encoder(seed: int = 0, **values: float) -> TripleEncoder:
    torch.manual_seed(seed)
    sizes = {"object_names": NAMES, "predicates": NAMES, "caption_dimension": 5, "identity_dimension": 64}
    encoder = TripleEncoder(TripleEncoderConfig(**(sizes | values)))  # type: ignore[arg-type]  # sizes are whole
    with torch.no_grad():
        encoder.caption_bias.normal_()
    return encoder.eval()


def naive_embedding(encoder: TripleEncoder, graph: ResolvedGraph) -> Tensor:
    config = encoder.config
    caption = sum((encoder.caption_embedding.weight[name] for name in graph.objects), torch.zeros(5))
    caption = encoder.caption_bias + caption / len(graph.objects) ** config.pooling_power
    identity = sum((encoder.object_embedding.weight[name] for name in graph.objects), torch.zeros(64))
    names = list(graph.objects)
    for subject, predicate, target in {
        (names[s], p, names[o]) for s, p, o in zip(graph.subjects, graph.predicates, graph.targets, strict=True)
    }:
        weight = (
            encoder.subject_weight.weight[subject]
            + encoder.predicate_weight.weight[predicate]
            + encoder.object_weight.weight[target]
        )
        identity = identity + weight * (
            encoder.subject_role.weight[subject]
            * encoder.predicate_role.weight[predicate]
            * encoder.object_role.weight[target]
        )
    joined = torch.cat([caption, config.identity_weight**0.5 * identity / identity.norm()])
    unit: Tensor = joined / joined.norm()
    return unit


def graph(objects: list[int], *triples: tuple[int, int, int]) -> ResolvedGraph:
    """Triples of (subject position, predicate number, object position)."""
    subjects, predicates, targets = zip(*triples, strict=True) if triples else ((), (), ())
    return ResolvedGraph(objects=objects, subjects=subjects, predicates=predicates, targets=targets, substitutions=())


@torch.no_grad()
def embedding(encoder: TripleEncoder, *graphs: ResolvedGraph) -> Tensor:
    vectors: Tensor = encoder(PackedGraphs.pack(graphs).to_batch())
    return vectors


@pytest.mark.parametrize("pooling_power", [0.0, 0.5, 1.0])
@torch.no_grad()
def test_encoder_equals_naive_loop_over_triples(pooling_power: float) -> None:
    encoder = triple_encoder(pooling_power=pooling_power)
    graphs = random_graphs(20)
    expected = torch.stack([naive_embedding(encoder, each) for each in graphs])
    torch.testing.assert_close(embedding(encoder, *graphs), expected, atol=1e-5, rtol=1e-4)


def test_an_embedding_depends_on_neither_batch_nor_order() -> None:
    encoder, graphs = triple_encoder(), random_graphs(10, seed=2)
    together = embedding(encoder, *graphs)
    alone = torch.cat([embedding(encoder, each) for each in graphs])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(embedding(encoder, *graphs[::-1]).flip(0), together, atol=1e-6, rtol=1e-5)
    random = np.random.default_rng(0)
    for each, vector in zip(graphs, together, strict=True):
        nodes, edges = random.permutation(len(each.objects)), random.permutation(len(each.subjects))
        position = np.argsort(nodes)
        shuffled = ResolvedGraph(
            objects=[each.objects[node] for node in nodes],
            subjects=[int(position[each.subjects[edge]]) for edge in edges],
            predicates=[each.predicates[edge] for edge in edges],
            targets=[int(position[each.targets[edge]]) for edge in edges],
            substitutions=(),
        )
        torch.testing.assert_close(embedding(encoder, shuffled)[0], vector, atol=1e-6, rtol=1e-5)


def test_subject_and_object_are_not_interchangeable() -> None:
    there, back = embedding(triple_encoder(identity_weight=100.0), graph([2, 3], (0, 4, 1)), graph([2, 3], (1, 4, 0)))
    assert there @ back < 0.9


def test_a_triple_that_occurs_twice_counts_once() -> None:
    encoder = triple_encoder()
    once, twice = embedding(encoder, graph([2, 3, 3], (0, 4, 1)), graph([2, 3, 3], (0, 4, 1), (0, 4, 2)))
    torch.testing.assert_close(once, twice)


def test_the_image_node_and_its_edges_add_nothing() -> None:
    encoder = triple_encoder()
    whole = [
        each
        for each in random_graphs(60, seed=3)
        if set(each.subjects) | set(each.targets) == set(range(len(each.objects)))
    ]
    assert len(whole) > 3  # graphs that keep all objects when only relationships stay
    batch = PackedGraphs.pack(whole).to_batch()
    bare = batch.keep_edges(batch.predicates != IN_IMAGE_ID)
    assert not (bare.nodes == IMAGE_ID).any()
    with torch.no_grad():
        torch.testing.assert_close(encoder(bare), encoder(batch))


def test_gradients_reach_every_parameter_but_not_the_special_rows() -> None:
    encoder = triple_encoder().train()
    vectors = encoder(packed(40).to_batch())
    (vectors @ torch.randn(vectors.shape[1], generator=torch.Generator().manual_seed(0))).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
        if name.endswith(("_role.weight", "_embedding.weight")):
            assert not parameter.grad[0].any(), name


@pytest.mark.parametrize(("half", "tolerance"), [(False, 0.0), (True, 2e-3)])
def test_a_checkpoint_gives_the_encoder_back(half: bool, tolerance: float, tmp_path: Path) -> None:
    encoder = triple_encoder()
    sizes = {}
    for which in (False, half):
        save_checkpoint(
            tmp_path / str(which),
            encoder=encoder,
            vocabulary=Vocabulary.of_names([f"o{n}" for n in range(7)], [f"p{n}" for n in range(7)]),
            word_vectors=WordVectors(["o0"], np.ones((1, 8), np.float32)),
            metadata={},
            half=which,
        )
        [weights] = (tmp_path / str(which)).glob("weights-*")
        sizes[which] = weights.stat().st_size
    loaded = load_checkpoint(tmp_path / str(half)).encoder
    assert isinstance(loaded, TripleEncoder)
    assert loaded.config == encoder.config
    assert all(parameter.dtype == torch.float32 for parameter in loaded.parameters())
    np.testing.assert_allclose(embed(loaded, packed(20)), embed(encoder, packed(20)), rtol=0, atol=tolerance)
    assert sizes[half] < 0.7 * sizes[False] if half else sizes[half] == sizes[False]


def test_configurations_come_back_from_json() -> None:
    document = encoder_to_json(triple_encoder())
    assert encoder_to_json(encoder_from_json(document)) == document
    convolution = encoder_to_json(small_encoder())
    assert encoder_to_json(encoder_from_json(convolution)) == convolution
    # Checkpoints of before there were two architectures name none, and no residual connections.
    old = {key: value for key, value in convolution.items() if key not in ("architecture", "residual")}
    assert isinstance(encoder_from_json(old), SceneGraphEncoder)
    with pytest.raises(ConfigError, match="architecture 'transformer' is unknown"):
        encoder_from_json({"architecture": "transformer"})


@pytest.mark.parametrize(
    ("name", "value"), [("caption_dimension", 0), ("identity_weight", 0.0), ("pooling_power", 1.5), ("predicates", 0)]
)
def test_impossible_values_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        replace(TripleEncoderConfig(object_names=3, predicates=3), **{name: value})  # type: ignore[arg-type]
