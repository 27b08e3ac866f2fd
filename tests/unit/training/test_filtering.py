import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.batch import PackedGraphs
from model.visual_genome import read_visual_genome
from tests.unit.training.test_prepare import image, write_images
from training.data.filtering import filter_graphs
from training.data.report import Report

EDGE = st.tuples(st.integers(0, 3), st.sampled_from(["on", "in", "by"]), st.integers(0, 3))
GRAPHS = st.lists(
    st.tuples(st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=4, max_size=4), st.lists(EDGE, max_size=4)),
    min_size=1,
    max_size=5,
)


@settings(deadline=None, max_examples=50)
@given(GRAPHS, st.integers(1, 4), st.integers(1, 4), st.integers(0, 2))
def test_filtering_columns_equals_filtering_graphs_one_by_one(
    tmp_path_factory: pytest.TempPathFactory,
    graphs: list[tuple[list[str], list[tuple[int, str, int]]]],
    min_count: int,
    min_objects: int,
    min_relationships: int,
) -> None:
    directory = tmp_path_factory.mktemp("genome")
    images = [
        image(number, " ".join(names), " ".join("-".join(map(str, edge)) for edge in edges))
        for number, (names, edges) in enumerate(graphs)
    ]
    write_images(directory, images)
    all_names = [name for names, _ in graphs for name in names]
    all_predicates = [predicate for _, edges in graphs for _, predicate, _ in edges]
    expected = []
    for number, (names, edges) in enumerate(graphs):
        kept = [position for position, name in enumerate(names) if all_names.count(name) >= min_count]
        triples = [
            (kept.index(subject), predicate, kept.index(target))
            for subject, predicate, target in edges
            if subject in kept and target in kept and all_predicates.count(predicate) >= min_count
        ]
        if min_objects <= len(kept) <= 3 and len(triples) >= min_relationships:
            expected.append((number, [names[position] for position in kept], triples))

    found = filter_graphs(
        read_visual_genome(directory),
        min_count=min_count,
        min_objects=min_objects,
        max_objects=3,
        min_relationships=min_relationships,
        only_images=None,
        report=Report(),
    )

    vocabulary = found.vocabulary
    assert [
        (number, *named(found.graphs, row, vocabulary.objects, vocabulary.predicates))
        for row, number in enumerate(found.images.tolist())
    ] == expected


def named(
    graphs: PackedGraphs, row: int, objects: tuple[str, ...], predicates: tuple[str, ...]
) -> tuple[list[str], list[tuple[int, str, int]]]:
    edges = range(*graphs.relationship_offsets[row : row + 2])
    return (
        [objects[n] for n in graphs.objects[slice(*graphs.object_offsets[row : row + 2])]],
        [(int(graphs.subjects[e]), predicates[graphs.predicates[e]], int(graphs.targets[e])) for e in edges],
    )
