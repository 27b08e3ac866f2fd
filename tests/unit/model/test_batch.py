"""Packed graphs against the same done with lists, one graph at a time."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.batch import PackedGraphs
from model.resolution import ResolvedGraph
from model.vocabulary import IMAGE_ID, IN_IMAGE_ID
from tests.random_graphs import packed, random_graphs

Triple = tuple[int, int, int]


def unpack(graphs: PackedGraphs) -> list[tuple[list[int], list[Triple]]]:
    """Objects and triples of each graph, as lists."""
    unpacked = []
    for index in range(len(graphs)):
        objects = slice(graphs.object_offsets[index], graphs.object_offsets[index + 1])
        edges = slice(graphs.relationship_offsets[index], graphs.relationship_offsets[index + 1])
        triples = zip(
            graphs.subjects[edges].tolist(),
            graphs.predicates[edges].tolist(),
            graphs.targets[edges].tolist(),
            strict=True,
        )
        unpacked.append((graphs.objects[objects].tolist(), list(triples)))
    return unpacked


def as_lists(graph: ResolvedGraph) -> tuple[list[int], list[Triple]]:
    return list(graph.objects), list(zip(graph.subjects, graph.predicates, graph.targets, strict=True))


def test_packing_keeps_every_graph() -> None:
    graphs = random_graphs(20)
    assert unpack(PackedGraphs.pack(graphs)) == [as_lists(graph) for graph in graphs]


def test_no_graph_is_packed_as_none() -> None:
    assert len(PackedGraphs.pack([])) == 0


@given(chosen=st.lists(st.integers(0, 9), max_size=15))
def test_selecting_is_indexing(chosen: list[int]) -> None:
    graphs = random_graphs(10)
    selected = PackedGraphs.pack(graphs).select(np.array(chosen, np.int64))
    assert unpack(selected) == [as_lists(graphs[index]) for index in chosen]


@given(seed=st.integers(0, 1000), share=st.floats(0, 1))
def test_kept_relationships_keep_their_objects_and_no_others(seed: int, share: float) -> None:
    graphs = packed(8, seed)
    keep = np.random.default_rng(seed).random(len(graphs.subjects)) < share
    expected = []
    start = 0
    for objects, triples in unpack(graphs):
        kept = [triple for triple, stays in zip(triples, keep[start:], strict=False) if stays]
        start += len(triples)
        used = sorted({end for s, _, o in kept for end in (s, o)}) if kept else list(range(len(objects)))
        position = {old: new for new, old in enumerate(used)}
        expected.append(([objects[old] for old in used], [(position[s], p, position[o]) for s, p, o in kept]))
    assert unpack(graphs.keep_relationships(keep)) == expected


def test_a_batch_joins_every_object_to_its_image_node() -> None:
    graphs = packed(5)
    batch = graphs.to_batch()
    image_nodes = (batch.nodes == IMAGE_ID).nonzero().flatten().tolist()
    assert len(image_nodes) == batch.graphs == 5
    joined = set()
    for (source, target), predicate in zip(batch.edges.tolist(), batch.predicates.tolist(), strict=True):
        assert batch.graph_of_node[source] == batch.graph_of_node[target]
        if predicate == IN_IMAGE_ID:
            assert target in image_nodes
            joined.add(source)
        else:
            assert source not in image_nodes
            assert target not in image_nodes
    assert joined == set(range(len(batch.nodes))) - set(image_nodes)
    assert len(batch.edges) == len(graphs.objects) + len(graphs.subjects)


def test_kept_edges_keep_their_nodes_and_no_others() -> None:
    batch = packed(6, seed=3).to_batch()
    keep = torch.rand(len(batch.edges), generator=torch.Generator().manual_seed(0)) < 0.6
    smaller = batch.keep_edges(keep)

    def triples(nodes: torch.Tensor, edges: torch.Tensor, predicates: torch.Tensor) -> list[tuple[int, int, int]]:
        return [
            (int(nodes[source]), int(predicate), int(nodes[target]))
            for (source, target), predicate in zip(edges.tolist(), predicates.tolist(), strict=True)
        ]

    assert triples(smaller.nodes, smaller.edges, smaller.predicates) == triples(
        batch.nodes, batch.edges[keep], batch.predicates[keep]
    )
    assert set(smaller.edges.flatten().tolist()) == set(range(len(smaller.nodes)))
    assert torch.equal(smaller.graph_of_edge, batch.graph_of_edge[keep])
