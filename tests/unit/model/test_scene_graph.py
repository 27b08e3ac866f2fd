"""A scene graph is valid by construction, and names everything that is wrong with it otherwise."""

import pytest

from model.errors import GraphError
from model.scene_graph import Relationship, SceneGraph, SceneObject


def thing(key: str) -> SceneObject:
    return SceneObject(id=key, name="thing")


def edge(subject: str, target: str) -> Relationship:
    return Relationship(subject=subject, predicate="on", object=target)


def test_one_object_is_a_graph() -> None:
    assert SceneGraph((thing("a"),)).relationships == ()


def test_loops_cycles_and_parallel_relationships_are_legal() -> None:
    SceneGraph((thing("a"), thing("b")), (edge("a", "a"), edge("a", "b"), edge("b", "a"), edge("a", "b")))


def test_an_empty_graph_is_refused() -> None:
    with pytest.raises(GraphError) as raised:
        SceneGraph(())
    assert [problem.pointer for problem in raised.value.problems] == ["/objects"]


def test_every_problem_is_named_with_its_pointer() -> None:
    with pytest.raises(GraphError) as raised:
        SceneGraph((thing("a"), thing("b"), thing("a")), (edge("a", "x"), edge("a", "b"), edge("y", "z")))
    assert [problem.pointer for problem in raised.value.problems] == [
        "/objects/2/id",
        "/relationships/0/object",
        "/relationships/2/subject",
        "/relationships/2/object",
    ]
    assert "'x'" in str(raised.value)
