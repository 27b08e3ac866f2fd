"""Names: exact, then case, alias or plural, then the nearest by word vectors, else the unknown."""

import numpy as np
import pytest

from model.resolution import NameResolver, Substitution
from model.scene_graph import Relationship, SceneGraph, SceneObject
from model.vocabulary import UNKNOWN_ID, Vocabulary
from model.word_vectors import WordVectors

WORDS = WordVectors(
    ["couch", "sofa", "horse", "zebra", "riding", "atop", "traffic", "light"],
    np.array(
        [
            [1, 0, 0, 0],
            [0.9, 0.1, 0, 0],
            [0, 1, 0, 0],
            [0, 0.6, 0, 0.8],
            [0, 0, 1, 0],
            [0, 0.1, 0.9, 0],
            [0, 0, 0, 1],
            [0, 0, 0, 1],
        ],
        np.float32,
    ),
)
VOCABULARY = Vocabulary.of_names(
    ["couch", "horse", "man", "dogs", "knife", "traffic light", "box"],
    ["riding", "on top of"],
    object_aliases={"settee": "couch", "gone": "not in the vocabulary"},
)


@pytest.fixture
def resolver() -> NameResolver:
    return NameResolver(VOCABULARY, WORDS)


@pytest.mark.parametrize(
    ("name", "expected", "how"),
    [
        ("couch", "couch", "exact"),
        ("  Traffic   Light", "traffic light", "case"),
        ("settee", "couch", "alias"),
        ("Settee", "couch", "alias"),
        ("horses", "horse", "plural"),
        ("men", "man", "plural"),
        ("knives", "knife", "plural"),
        ("boxes", "box", "plural"),
        ("dog", "dogs", "plural"),
        ("traffic lights", "traffic light", "plural"),
        ("sofa", "couch", "nearest"),
        ("zebra", "traffic light", "nearest"),
        ("xyzzy", "__unknown__", "unknown"),
        ("gone", "__unknown__", "unknown"),
        ("riding", "__unknown__", "unknown"),  # nothing among the objects is near
        ("__image__", "__unknown__", "unknown"),  # the special names are not words
        ("__unknown__", "__unknown__", "unknown"),
        (None, "__unknown__", "wildcard"),
    ],
)
def test_a_name_is_found_the_first_way_that_works(
    resolver: NameResolver, name: str | None, expected: str, how: str
) -> None:
    found = resolver.objects.find(name)
    assert (VOCABULARY.objects[found.id], found.how) == (expected, how)


def test_without_word_vectors_there_is_no_nearest() -> None:
    assert NameResolver(VOCABULARY, None).objects.find("sofa").id == UNKNOWN_ID


def test_substitutions_name_the_place_the_word_and_what_it_was_taken_for(resolver: NameResolver) -> None:
    graph = SceneGraph(
        (SceneObject(id="a", name="sofa"), SceneObject(id="b", name=None), SceneObject(id="c", name="couch")),
        (
            Relationship(subject="c", predicate="atop", object="a"),
            Relationship(subject="c", predicate=None, object="b"),
            Relationship(subject="b", predicate="xyzzy", object="c"),
        ),
    )
    resolved = resolver.resolve(graph)
    assert resolved.subjects == [2, 2, 1]
    assert resolved.targets == [0, 1, 2]
    assert [VOCABULARY.objects[number] for number in resolved.objects] == ["couch", "__unknown__", "couch"]
    assert [VOCABULARY.predicates[number] for number in resolved.predicates] == ["riding", "__unknown__", "__unknown__"]
    assert resolved.substitutions == [
        Substitution(pointer="/objects/0/name", word="sofa", taken_for="couch", how="nearest"),
        Substitution(pointer="/relationships/0/predicate", word="atop", taken_for="riding", how="nearest"),
        Substitution(pointer="/relationships/2/predicate", word="xyzzy", taken_for=None, how="unknown"),
    ]


def test_one_vocabulary_is_renumbered_into_another(resolver: NameResolver) -> None:
    other = Vocabulary.of_names(["sofa", "couch", "xyzzy"], ["on top of", "riding"])
    objects, predicates = resolver.renumber(other)
    assert [VOCABULARY.objects[number] for number in objects] == [
        "__image__",
        "__unknown__",
        "couch",
        "couch",
        "__unknown__",
    ]
    assert [VOCABULARY.predicates[number] for number in predicates] == [
        "__in_image__",
        "__unknown__",
        "on top of",
        "riding",
    ]


def test_many_strange_names_do_not_fill_the_memory(resolver: NameResolver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.resolution._CACHED_NAMES", 10)
    for number in range(100):
        resolver.objects.find(f"thing {number}")
    assert len(resolver.objects._found) <= 10
