"""Filters: against looking at every graph, and ranking what is left by sorting."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoint import load_checkpoint
from model.resolution import NameResolver
from model.scene_graph import SceneGraph, SceneObject
from service.filters import Condition, Filter, resolve
from service.index.postings import FilterIndex, FilterIndexBuilder, load_filter_index, save_filter_index
from service.index.ranking import Lookup
from service.index.vector_index import VectorIndex
from tests.factories import OBJECT_NAMES, PREDICATES, make_checkpoint, make_records
from tests.unit.service.test_vector_index import random_rows, ranking_by_sorting

GRAPHS = [
    *(record.graph for record in make_records(80)),
    SceneGraph((SceneObject(id="1", name="Men"), SceneObject(id="2", name="Quokka", attributes=("Red ",)))),
    SceneGraph((SceneObject(id="1", name=None), SceneObject(id="2", name="lady"))),
]


@pytest.fixture(scope="module")
def resolver(tmp_path_factory: pytest.TempPathFactory) -> NameResolver:
    directory = tmp_path_factory.mktemp("checkpoint") / "tiny"
    make_checkpoint(directory)
    return load_checkpoint(directory).resolver


@pytest.fixture(scope="module")
def index(resolver: NameResolver, tmp_path_factory: pytest.TempPathFactory) -> FilterIndex:
    """Built in three parts, written and read."""
    builder = FilterIndexBuilder(resolver)
    for part in (GRAPHS[:30], GRAPHS[30:31], GRAPHS[31:]):
        builder.add(part)
    directory = tmp_path_factory.mktemp("version") / "filters"
    save_filter_index(directory, builder.build())
    return load_filter_index(directory, len(GRAPHS))


def holds(graph: SceneGraph, condition: Condition) -> bool:
    """The oracle, for names that need no resolution."""

    def same(wanted: str | None, name: str | None) -> bool:
        return wanted is None or wanted == name

    names = {item.id: item.name for item in graph.objects}
    match condition.kind:
        case "object":
            return condition.names[0] in names.values()
        case "attribute":
            return any(
                same(condition.names[0], item.name) and same(condition.names[1], attribute)
                for item in graph.objects
                for attribute in item.attributes
            )
        case "triple":
            return any(
                all(map(same, condition.names, (names[edge.subject], edge.predicate, names[edge.object])))
                for edge in graph.relationships
            )


_OBJECT = st.sampled_from(OBJECT_NAMES)
_CONDITION = st.one_of(
    st.builds(lambda name: Condition("object", (name,)), _OBJECT),
    st.builds(
        lambda *names: Condition("attribute", names), st.none() | _OBJECT, st.sampled_from([None, "tall", "red"])
    ),
    st.builds(
        lambda *names: Condition("triple", names),
        st.none() | _OBJECT,
        st.none() | st.sampled_from(PREDICATES),
        st.none() | _OBJECT,
    ),
)


@settings(max_examples=200, deadline=None)
@given(
    must=st.lists(_CONDITION, max_size=3),
    must_not=st.lists(_CONDITION, max_size=3),
    page=st.tuples(st.integers(1, 30), st.integers(0, 40)),
    cut=st.none() | st.integers(0, 60),
)
def test_the_ranking_is_that_of_the_images_that_meet_the_filter(
    *,
    index: FilterIndex,
    resolver: NameResolver,
    must: list[Condition],
    must_not: list[Condition],
    page: tuple[int, int],
    cut: int | None,
) -> None:
    limit, offset = page
    graphs = GRAPHS[:80]  # the rest has names that need resolution
    allowed = {
        row
        for row, graph in enumerate(graphs)
        if all(holds(graph, one) for one in must) and not any(holds(graph, one) for one in must_not)
    }
    vectors = random_rows(1, count=len(GRAPHS), distinct=50)
    query = vectors[3]
    min_score = None if cut is None else ranking_by_sorting(vectors, query, None)[cut][1]

    wanted = resolve(Filter(must=tuple(must), must_not=tuple(must_not)), index.names, resolver)
    rows = np.flatnonzero(wanted.mask(index)[:80])
    lookup = Lookup(query=query, wanted=offset + limit, min_score=min_score, allowed=rows)
    (hits,) = VectorIndex(vectors).search([lookup])

    assert set(rows.tolist()) == allowed
    expected = [hit for hit in ranking_by_sorting(vectors, query, min_score) if hit[0] in allowed]
    assert hits.total == len(expected)
    assert list(zip(hits.rows.tolist(), hits.scores.tolist(), strict=True)) == expected[: offset + limit]


@pytest.mark.parametrize(
    ("condition", "rows", "taken"),
    [
        (Condition("object", ("MEN",)), "man", ("plural", "man")),
        (Condition("object", ("lady",)), "woman", ("alias", "woman")),
        (Condition("object", ("pony",)), "horse", ("nearest", "horse")),
        (Condition("object", ("quokka",)), {80}, None),
        (Condition("object", ("xyzzy",)), set(), ("unknown", None)),
        (Condition("attribute", ("quokka", "RED")), {80}, None),
        (Condition("attribute", (None, "blue")), set(), ("unknown", None)),
    ],
)
def test_names_are_taken_as_in_a_query(
    index: FilterIndex,
    resolver: NameResolver,
    condition: Condition,
    rows: set[int] | str,
    taken: tuple[str, str | None] | None,
) -> None:
    if isinstance(rows, str):  # images with this name, however written
        also = {"man": {80}, "woman": {81}}.get(rows, set())
        rows = {row for row, graph in enumerate(GRAPHS) if any(item.name == rows for item in graph.objects)} | also

    wanted = resolve(Filter(must_not=(condition,)), index.names, resolver)

    assert set(np.flatnonzero(~wanted.mask(index)).tolist()) == rows
    assert [(item.how, item.taken_for) for item in wanted.substitutions] == ([] if taken is None else [taken])


def test_files_that_do_not_belong_together_are_refused(index: FilterIndex, tmp_path: Path) -> None:
    save_filter_index(tmp_path / "filters", index)
    np.save(tmp_path / "filters" / "triples.rows.npy", np.zeros(3, np.int32))

    with pytest.raises(ValueError, match="triples"):
        load_filter_index(tmp_path / "filters", len(GRAPHS))


def test_an_index_without_images_finds_none(resolver: NameResolver) -> None:
    empty = FilterIndexBuilder(resolver).build()
    wanted = resolve(Filter(must=(Condition("triple", (None, "on", None)),)), empty.names, resolver)
    assert wanted.mask(empty).tolist() == []


def test_rows_can_be_ordered_anew_and_left_out(resolver: NameResolver, index: FilterIndex) -> None:
    builder = FilterIndexBuilder(resolver, index.names)
    builder.add(GRAPHS)
    rows = np.array([-1 if row % 3 == 0 else len(GRAPHS) - row for row in range(len(GRAPHS))], np.int32)
    rows[rows >= 0] = np.argsort(np.argsort(rows[rows >= 0]))
    anew = builder.build(rows)

    assert anew.images == int((rows >= 0).sum())
    for condition in (Condition("object", ("man",)), Condition("triple", (None, "on", "table"))):
        wanted = resolve(Filter(must=(condition,)), index.names, resolver)
        before, after = wanted.mask(index), wanted.mask(anew)
        assert {int(rows[row]) for row in np.flatnonzero(before) if rows[row] >= 0} == set(
            np.flatnonzero(after).tolist()
        )
