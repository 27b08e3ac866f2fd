"""The four forms of a graph: what they mean, that writing and reading agree, and that only GraphError comes out."""

import contextlib
import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import GraphError
from model.formats import GraphFormat, read_graph, recognize_format, write_graph
from model.graph_reader import MAX_PROBLEMS, GraphLimits, GraphReader
from model.scene_graph import Box, Relationship, SceneGraph, SceneObject

EXAMPLES: dict[GraphFormat, dict[str, Any]] = {
    "native": {
        "objects": [{"id": "m", "name": "man", "attributes": ["tall"]}, {"id": "h", "name": "horse"}],
        "relationships": [{"subject": "m", "predicate": "riding", "object": "h"}],
    },
    "sg2im": {"objects": ["man", "horse"], "relationships": [[0, "riding", 1]]},
    "visual_genome": {
        "image_id": 7,
        "objects": [
            {"object_id": 11, "names": ["man"], "synsets": ["man.n.01"], "x": 1, "y": 2, "w": 30, "h": 40},
            {"object_id": 12, "names": ["horse"], "synsets": []},
        ],
        "relationships": [{"relationship_id": 1, "predicate": "riding", "subject_id": 11, "object_id": 12}],
    },
    "gqa": {
        "width": 640,
        "objects": {
            "11": {"name": "man", "attributes": ["tall"], "relations": [{"name": "riding", "object": "12"}]},
            "12": {"name": "horse", "attributes": [], "relations": [], "x": 1, "y": 2, "w": 3, "h": 4},
        },
    },
}


@pytest.mark.parametrize("name", get_args(GraphFormat))
def test_a_man_riding_a_horse_is_read_from_every_form(name: GraphFormat) -> None:
    graph = read_graph(EXAMPLES[name])
    assert recognize_format(EXAMPLES[name]) == name
    assert [item.name for item in graph.objects] == ["man", "horse"]
    [relationship] = graph.relationships
    assert (relationship.subject, relationship.predicate, relationship.object) == (
        graph.objects[0].id,
        "riding",
        graph.objects[1].id,
    )


def test_visual_genome_ends_may_be_nested_and_then_describe_the_objects() -> None:
    graph = read_graph(
        {
            "relationships": [
                {
                    "predicate": "ON",
                    "subject": {"object_id": 1, "name": "cup", "x": 5, "y": 6, "w": 7, "h": 8},
                    "object": {"object_id": 2, "names": ["table"]},
                }
            ]
        }
    )
    assert graph.objects[0] == SceneObject(id="1", name="cup", box=Box(5, 6, 7, 8))
    assert graph.relationships == (Relationship(subject="1", predicate="ON", object="2"),)


@pytest.mark.parametrize("anything", [None, "*"])
def test_a_wildcard_stands_for_a_name_a_predicate_or_an_end(anything: str | None) -> None:
    graph = read_graph(
        {
            "objects": [{"id": "m", "name": "man"}, {"id": "x", "name": anything}],
            "relationships": [
                {"subject": "m", "predicate": anything, "object": "x"},
                {"subject": "m", "predicate": "riding", "object": anything},
                {"subject": anything, "predicate": "on", "object": "m"},
            ],
        }
    )
    assert [item.name for item in graph.objects] == ["man", None, None, None]
    assert graph.relationships[0].predicate is None
    # Two open ends are two things, not one.
    assert graph.relationships[1].object != graph.relationships[2].subject


def test_an_object_may_have_the_id_that_elsewhere_is_a_wildcard() -> None:
    graph = read_graph(
        {
            "objects": [{"id": "*", "name": "star"}, {"id": "m", "name": "man"}],
            "relationships": [{"subject": "m", "predicate": "below", "object": "*"}],
        }
    )
    assert len(graph.objects) == 2
    assert graph.relationships[0].object == "*"


@pytest.mark.parametrize(
    ("document", "pointers"),
    [
        ([], [""]),
        ("man", [""]),
        ({}, ["/objects"]),
        ({"objects": []}, ["/objects"]),
        ({"objects": {}}, ["/objects"]),
        ({"objects": 3}, ["/objects"]),
        ({"objects": [3]}, ["/objects/0"]),
        ({"objects": [{"id": "a"}]}, ["/objects/0/name"]),
        ({"objects": [{"name": "man"}]}, ["/objects/0/id"]),
        ({"objects": [{"id": True, "name": "man"}]}, ["/objects/0/id"]),
        ({"objects": [{"id": 1.5, "name": "man"}]}, ["/objects/0/id"]),
        ({"objects": [{"id": "a", "name": 5}]}, ["/objects/0/name"]),
        ({"objects": [{"id": "a", "name": " "}]}, ["/objects/0/name"]),
        ({"objects": [{"id": "a", "name": "\ud800"}]}, ["/objects/0/name"]),
        ({"objects": [{"id": "a", "name": "m\x00n"}]}, ["/objects/0/name"]),
        ({"objects": [{"id": "a", "name": "man", "attributes": "tall"}]}, ["/objects/0/attributes"]),
        ({"objects": [{"id": "a", "name": "man", "attributes": [1]}]}, ["/objects/0/attributes/0"]),
        ({"objects": [{"id": "a", "name": "man", "x": 1}]}, ["/objects/0/y"]),
        ({"objects": [{"id": "a", "name": "man", "x": 1, "y": float("nan"), "w": 1, "h": 1}]}, ["/objects/0/y"]),
        ({"objects": [{"id": "a", "name": "man"}, {"id": "a", "name": "man"}]}, ["/objects/1/id"]),
        ({"objects": [{"id": "a", "name": "man"}], "relationships": {}}, ["/relationships"]),
        (
            {
                "objects": [{"id": "a", "name": "man"}],
                "relationships": [{"subject": "a", "predicate": "on", "object": "b"}],
            },
            ["/relationships/0/object"],
        ),
        (
            {"objects": [{"id": "a", "name": "man"}], "relationships": [{"subject": "a", "object": "a"}]},
            ["/relationships/0/predicate"],
        ),
        ({"objects": ["man"], "relationships": [[0, "on", 1]]}, ["/relationships/0/2"]),
        ({"objects": ["man"], "relationships": [[0, "on"]]}, ["/relationships/0"]),
        ({"objects": ["man", 5]}, ["/objects/1"]),
        ({"objects": [{"object_id": 1}]}, ["/objects/0/name"]),
        (
            {"objects": [{"object_id": 1, "names": ["man"]}], "relationships": [{"predicate": "on", "subject_id": 1}]},
            ["/relationships/0/object_id"],
        ),
        ({"objects": {"a/b": {"name": 1}}}, ["/objects/a~1b/name"]),
        (
            {"objects": {"a": {"name": "man", "relations": [{"name": "on", "object": "b"}]}}},
            ["/objects/a/relations/0/object"],
        ),
    ],
)
def test_what_is_wrong_is_named_by_its_pointer(document: object, pointers: list[str]) -> None:
    with pytest.raises(GraphError) as raised:
        read_graph(document)
    assert [problem.pointer for problem in raised.value.problems] == pointers


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(GraphError, match="native, sg2im, visual_genome, gqa"):
        read_graph(EXAMPLES["native"], "xml")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"objects": ["man"] * 4}, "/objects"),
        ({"objects": [{"id": i, "name": "man"} for i in range(4)]}, "/objects"),
        ({"objects": [{"object_id": i, "name": "man"} for i in range(4)]}, "/objects"),
        ({"objects": {str(i): {"name": "man"} for i in range(4)}}, "/objects"),
        ({"objects": ["man"], "relationships": [[None, "on", None]] * 2}, "/objects"),
        (
            {
                "relationships": [
                    {
                        "predicate": "on",
                        "subject": {"object_id": i, "name": "a"},
                        "object": {"object_id": -i, "name": "b"},
                    }
                    for i in (1, 2)
                ]
            },
            "/objects",
        ),
        ({"objects": ["man"], "relationships": [[0, "on", 0]] * 3}, "/relationships"),
        ({"objects": ["man"], "relationships": [1] * 3}, "/relationships"),
        ({"objects": {"a": {"name": "man", "relations": [{"name": "on", "object": "a"}] * 3}}}, "/relationships"),
        ({"objects": ["abcdef"]}, "/objects/0"),
        ({"objects": [{"id": 123456, "name": "man"}]}, "/objects/0/id"),
        ({"objects": {"abcdef": {"name": "man", "attributes": [1, 1]}}}, "/objects/abcdef"),
    ],
)
def test_a_document_over_the_limits_is_refused_whatever_its_form(document: object, pointer: str) -> None:
    with pytest.raises(GraphError) as raised:
        read_graph(document, limits=GraphLimits(objects=3, relationships=2, text_length=5))
    assert [problem.pointer for problem in raised.value.problems] == [pointer]


def test_a_graph_at_its_limits_is_read() -> None:
    limits = GraphLimits(objects=3, relationships=2, text_length=5)
    graph = read_graph({"objects": ["horse"], "relationships": [[0, "below", None]] * 2}, limits=limits)
    assert (len(graph.objects), len(graph.relationships)) == (3, 2)


@pytest.mark.parametrize(
    "document", [{"objects": [{}] * 1000}, {"objects": ["man"], "relationships": [1] * 1000}, {"objects": [1] * 1000}]
)
def test_of_very_many_problems_the_first_are_named(document: object) -> None:
    with pytest.raises(GraphError, match="there are more problems") as raised:
        read_graph(document)
    assert len(raised.value.problems) == MAX_PROBLEMS


class CountingKeys(dict[str, SceneObject]):
    """Counts how often somebody asks whether a key is there."""

    asked = 0

    def __contains__(self, key: object) -> bool:
        self.asked += 1
        return super().__contains__(key)


def test_wildcards_pass_an_id_that_looks_like_theirs_only_once() -> None:
    reader = GraphReader(GraphLimits())
    reader.objects = keys = CountingKeys({f"*{i}": SceneObject(id=f"*{i}", name=None) for i in range(500, 1000)})
    added = [reader.add_wildcard() for _ in range(500)]
    assert len(set(added)) == 500
    assert len(keys) == 1000
    assert keys.asked <= 500 + 500


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1).filter(
    lambda text: bool(text.strip()) and text != "*"
)
names = st.none() | texts


@st.composite
def graphs(draw: st.DrawFn) -> SceneGraph:
    count = draw(st.integers(1, 5))
    side = st.integers(0, 10**6)
    objects = [
        SceneObject(
            id=str(index),
            name=draw(names),
            attributes=tuple(draw(st.lists(texts, max_size=2))),
            box=draw(st.none() | st.builds(Box, side.map(float), side.map(float), side.map(float), side.map(float))),
        )
        for index in range(count)
    ]
    end = st.integers(0, count - 1).map(str)
    edges = draw(st.lists(st.tuples(end, names, end), max_size=6))
    # GQA keeps a relationship with its subject, so only this order survives all forms.
    edges.sort(key=lambda triple: int(triple[0]))
    return SceneGraph(tuple(objects), tuple(Relationship(subject=s, predicate=p, object=o) for s, p, o in edges))


@given(graph=graphs(), name=st.sampled_from(["native", "visual_genome", "gqa"]))
def test_what_is_written_is_read_back(graph: SceneGraph, name: GraphFormat) -> None:
    assert read_graph(json.loads(json.dumps(write_graph(graph, name))), name) == graph


@given(graph=graphs())
def test_sg2im_keeps_names_and_relationships(graph: SceneGraph) -> None:
    again = read_graph(write_graph(graph, "sg2im"), "sg2im")
    assert [item.name for item in again.objects] == [item.name for item in graph.objects]
    assert again.relationships == graph.relationships


def test_ids_that_are_no_numbers_become_positions_in_visual_genome_form() -> None:
    written = write_graph(read_graph(EXAMPLES["native"]), "visual_genome")
    assert [item["object_id"] for item in written["objects"]] == [0, 1]
    assert written["relationships"][0]["object_id"] == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["objects", "relationships", "id", "name", "names", "object_id", "subject", "predicate", "object"]
            )
            | st.text(max_size=2),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(document=json_values, name=st.none() | st.sampled_from(get_args(GraphFormat)))
def test_any_json_is_a_graph_or_a_graph_error(document: object, name: GraphFormat | None) -> None:
    with contextlib.suppress(GraphError):
        assert read_graph(document, name).objects
