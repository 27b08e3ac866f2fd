"""The encoder against a naive loop over edges, and the invariances a graph encoder owes."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model.batch import GraphBatch, PackedGraphs
from model.encoder import EncoderConfig, SceneGraphEncoder
from model.errors import ConfigError
from model.inference import embed
from model.layers import GraphConvolution
from model.resolution import ResolvedGraph
from model.vocabulary import IMAGE_ID
from tests.random_graphs import packed, random_graphs, small_encoder


def naive_convolution(
    layer: GraphConvolution, nodes: Tensor, edges: Tensor, ends: list[list[int]]
) -> tuple[Tensor, Tensor | None]:
    """The layer as the paper tells it: concatenate, one network with three heads per edge, average per node."""
    hidden = [
        torch.relu(layer.edge_norm(layer.edge_network(torch.cat([nodes[u], edges[e], nodes[v]]).unsqueeze(0)))).squeeze(
            0
        )
        for e, (u, v) in enumerate(ends)
    ]
    new_nodes = []
    for node in range(len(nodes)):
        messages = [layer.source_head(h) for h, (u, _) in zip(hidden, ends, strict=True) if u == node]
        messages += [layer.target_head(h) for h, (_, v) in zip(hidden, ends, strict=True) if v == node]
        mean = torch.stack(messages).mean(dim=0)
        state = layer.node_network(mean.unsqueeze(0)).squeeze(0)
        new_nodes.append(state / state.norm())
    new_edges = None if layer.edge_head is None else torch.stack([layer.edge_head(h) for h in hidden])
    return torch.stack(new_nodes), new_edges


def naive_embedding(encoder: SceneGraphEncoder, graph: ResolvedGraph) -> Tensor:
    """One graph at a time, edge by edge."""
    image = len(graph.objects)
    ends = [[s, o] for s, o in zip(graph.subjects, graph.targets, strict=True)] + [[u, image] for u in range(image)]
    names = [*graph.objects, 0]
    predicates = [*graph.predicates, *([0] * image)]
    nodes = torch.stack([encoder.object_embedding.weight[name] for name in names])
    edges: Tensor | None = torch.stack([encoder.predicate_embedding.weight[name] for name in predicates])
    for layer in encoder.convolutions:
        assert isinstance(layer, GraphConvolution)
        assert edges is not None
        new_nodes, new_edges = naive_convolution(layer, nodes, edges, ends)
        if encoder.config.residual:
            rows = [before / before.norm() + after for before, after in zip(nodes, new_nodes, strict=True)]
            new_nodes = torch.stack([row / row.norm() for row in rows])
            new_edges = None if new_edges is None else edges + new_edges
        nodes, edges = new_nodes, new_edges
    pooled = nodes if encoder.config.pool_image_node else nodes[:image]
    mean = pooled.mean(dim=0)
    return mean / mean.norm() if encoder.config.normalize else mean


@pytest.mark.parametrize("pool_image_node", [True, False])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("residual", [True, False])
@torch.no_grad()
def test_encoder_equals_naive_loop_over_edges(pool_image_node: bool, normalize: bool, residual: bool) -> None:
    encoder = small_encoder(pool_image_node=pool_image_node, normalize=normalize, residual=residual)
    graphs = random_graphs(12)
    expected = torch.stack([naive_embedding(encoder, graph) for graph in graphs])
    torch.testing.assert_close(encoder(PackedGraphs.pack(graphs).to_batch()), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_graph_has_the_same_embedding_alone_and_in_a_batch() -> None:
    encoder = small_encoder()
    graphs = random_graphs(10)
    together = encoder(PackedGraphs.pack(graphs).to_batch())
    alone = torch.cat([encoder(PackedGraphs.pack([graph]).to_batch()) for graph in graphs])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_the_order_of_nodes_edges_and_graphs_does_not_matter() -> None:
    encoder = small_encoder()
    graphs = random_graphs(10, seed=2)
    random = np.random.default_rng(5)
    shuffled = []
    for graph in graphs:
        new_place = random.permutation(len(graph.objects))
        objects = [0] * len(graph.objects)
        for old, new in enumerate(new_place):
            objects[new] = graph.objects[old]
        order = random.permutation(len(graph.subjects))
        shuffled.append(
            ResolvedGraph(
                objects=objects,
                subjects=[int(new_place[graph.subjects[edge]]) for edge in order],
                predicates=[graph.predicates[edge] for edge in order],
                targets=[int(new_place[graph.targets[edge]]) for edge in order],
                substitutions=(),
            )
        )
    graph_order = random.permutation(len(graphs))
    expected = encoder(PackedGraphs.pack(graphs).to_batch())[torch.from_numpy(graph_order)]
    actual = encoder(PackedGraphs.pack([shuffled[index] for index in graph_order]).to_batch())
    torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_the_direction_of_a_relationship_matters() -> None:
    encoder = small_encoder()
    riding = ResolvedGraph(objects=[2, 3], subjects=[0], predicates=[2], targets=[1], substitutions=())
    ridden = ResolvedGraph(objects=[2, 3], subjects=[1], predicates=[2], targets=[0], substitutions=())
    first, second = encoder(PackedGraphs.pack([riding, ridden]).to_batch())
    assert (first - second).norm() > 1e-4  # a thousand times the rounding error


def test_gradients_reach_every_parameter() -> None:
    encoder = small_encoder().train()
    every_name = ResolvedGraph(
        objects=list(range(1, 9)),
        subjects=list(range(8)),
        predicates=list(range(1, 9)),
        targets=[3] * 8,
        substitutions=(),
    )
    graphs = PackedGraphs.pack([every_name, *random_graphs(10)])
    embeddings = encoder(graphs.to_batch())
    (embeddings @ torch.randn(8, generator=torch.Generator().manual_seed(0))).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        # Rows of the embedding tables too: the unknown and the image node are learned like any name.
        assert (
            (parameter.grad.flatten(1).abs().sum(dim=1) > 0).all()
            if "embedding" in name
            else parameter.grad.abs().sum() > 0
        ), name


@torch.no_grad()
def test_a_graph_that_lost_its_image_node_still_has_an_embedding() -> None:
    encoder = small_encoder(pool_image_node=False)
    graph = ResolvedGraph(objects=[2, 3], subjects=[0], predicates=[2], targets=[1], substitutions=())
    batch = PackedGraphs.pack([graph]).to_batch()
    smaller = batch.keep_edges(batch.predicates != 0)
    assert IMAGE_ID not in smaller.nodes.tolist()
    assert encoder(smaller).norm(dim=1).item() == pytest.approx(1)


@torch.no_grad()
def test_a_node_without_edges_does_not_divide_by_zero() -> None:
    encoder = small_encoder()
    none = torch.zeros(0, dtype=torch.int64)
    batch = GraphBatch(
        nodes=torch.tensor([2]), predicates=none, edges=none.reshape(0, 2), graph_of_node=torch.tensor([0]), graphs=1
    )
    assert torch.isfinite(encoder(batch)).all()


def test_embedding_in_parts_equals_embedding_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, graphs = small_encoder(normalize=False), packed(40)
    at_once = embed(encoder, graphs)
    monkeypatch.setattr("model.inference._NODES_PER_BATCH", 7)
    in_parts = embed(encoder, graphs)
    np.testing.assert_allclose(in_parts, at_once, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(at_once, axis=1), 1, atol=1e-6)
    assert embed(encoder, PackedGraphs.pack([])).shape == (0, 8)


@pytest.mark.parametrize("name", ["object_names", "predicates", "dimension", "hidden", "layers"])
def test_sizes_are_at_least_one(name: str) -> None:
    values: dict[str, Any] = small_encoder().config.to_json() | {name: 0}
    with pytest.raises(ConfigError, match=name):
        EncoderConfig(**values)
