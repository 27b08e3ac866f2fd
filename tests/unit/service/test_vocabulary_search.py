import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.checkpoint import load_checkpoint
from model.formats import read_graph
from model.resolution import NameResolver
from model.scene_graph import SceneGraph
from service.index.postings import FilterIndexBuilder
from service.index.state import NameKind, State
from service.vocabulary_search import Name, NameList, VocabularySearch, count_images
from tests.factories import make_checkpoint, make_graph

WORDS = st.sampled_from(["a", "ab", "b", "tr", "tree", "\u00e9", "z"])
NAMES = st.lists(
    st.tuples(st.lists(WORDS, min_size=1, max_size=3).map(" ".join), st.integers(0, 3)), unique_by=lambda one: one[0]
)


def naive(names: list[Name], prefix: str) -> list[Name]:
    """Every name looked at, letter by letter."""
    by_use = sorted(names, key=lambda one: (-one.images, one.name))
    first = [one for one in by_use if one.name.startswith(prefix)]
    words = [(one, one.name.split(" ")) for one in by_use if one not in first]
    return first + [
        one for one, parts in words if any(" ".join(parts[at:]).startswith(prefix) for at in range(len(parts)))
    ]


@given(NAMES, st.sampled_from(["", "a", "A", "tr", "tree ", "a b", "TR", "x", "\u00c9", " b"]), st.integers(1, 5))
def test_names_are_found_as_if_each_were_looked_at(items: list[tuple[str, int]], prefix: str, limit: int) -> None:
    names = [Name(name, images, known=True) for name, images in items]

    found, total = NameList(names).find(prefix, limit)

    expected = naive(names, prefix.lower().lstrip())
    assert (found, total) == (expected[:limit], len(expected))


@pytest.fixture(scope="module")
def resolver(tmp_path_factory: pytest.TempPathFactory) -> NameResolver:
    directory = tmp_path_factory.mktemp("model")
    make_checkpoint(directory / "checkpoint")
    return load_checkpoint(directory / "checkpoint").resolver


def named(kind: NameKind, graph: SceneGraph) -> set[str | None]:
    match kind:
        case "object":
            return {item.name for item in graph.objects}
        case "predicate":
            return {edge.predicate for edge in graph.relationships}
        case "attribute":
            return {text for item in graph.objects for text in item.attributes}


@pytest.mark.parametrize("kind", ["object", "predicate", "attribute"])
@pytest.mark.parametrize("some", [False, True])
def test_an_image_counts_once_for_each_of_its_names(kind: NameKind, some: bool, resolver: NameResolver) -> None:
    generator = np.random.default_rng(0)
    odd = {"objects": [{"id": 1, "name": "zebra", "attributes": ["tall", "striped"]}, {"id": 2, "name": "zebra"}]}
    graphs = [*(make_graph(generator) for _ in range(50)), read_graph(odd)]
    builder = FilterIndexBuilder(resolver)
    builder.add(graphs)
    index = builder.build()
    only = np.flatnonzero(generator.random(len(graphs)) < 0.5) if some else None

    numbers = index.names[f"{kind}s"]
    counts = count_images(kind, index, len(numbers) + 2, only)

    chosen = graphs if only is None else [graphs[row] for row in only]
    assert len(counts) == len(numbers) + 2
    assert {name: counts[number] for name, number in numbers.items()} == {
        name: sum(name in named(kind, graph) for graph in chosen) for name in numbers
    }


def test_nothing_is_counted_where_nothing_is(resolver: NameResolver, tmp_path: Path) -> None:
    index = FilterIndexBuilder(resolver).build()
    assert [count_images(kind, index, 3).tolist() for kind in ("object", "predicate", "attribute")] == [[0, 0, 0]] * 3


class CountedState:
    """A state of a catalogue that changes, as far as names go."""

    def __init__(self, resolver: NameResolver, version: int) -> None:
        self.name, self.version = f"version+{version}", SimpleNamespace(checkpoint=SimpleNamespace(resolver=resolver))
        self._counts = {"unicorn": version}

    def name_counts(self, kind: NameKind) -> dict[str, int]:
        return self._counts


def test_names_that_take_long_to_collect_come_a_moment_later(
    resolver: NameResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocabulary = VocabularySearch()

    def images(version: int) -> int:
        state = cast("State", CountedState(resolver, version))
        return vocabulary.names("object", state).find("unicorn", 1)[0][0].images

    assert [images(1), images(2)] == [1, 2], "at once where it is quick"
    monkeypatch.setattr("service.vocabulary_search._QUICK", 0.0)
    assert images(3) == 2
    deadline = time.monotonic() + 10
    while images(3) == 2:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert images(3) == 3
