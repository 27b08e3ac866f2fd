"""Pictures of scene graphs: well-formed, bounded, everything inside, nothing of a stranger's text active."""

import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from model.formats import read_graph, write_graph
from model.scene_graph import Box, Relationship, SceneGraph, SceneObject
from service.thumbnail import MAX_NODES, MAX_OBJECTS, draw
from tests.factories import make_graph

SVG = "{http://www.w3.org/2000/svg}"


def boxed(*boxes: Box, name: str = "thing") -> SceneGraph:
    return SceneGraph(tuple(SceneObject(id=str(place), name=name, box=box) for place, box in enumerate(boxes)))


def rectangles(picture: str) -> list[tuple[float, ...]]:
    """Of the boxes, in the order they are drawn."""
    found = ET.fromstring(picture).findall(f"{SVG}rect")
    return [tuple(float(item.attrib[side]) for side in ("x", "y", "width", "height")) for item in found if len(item)]


def words(picture: str) -> list[str]:
    return ["".join(item.itertext()) for item in ET.fromstring(picture).iter(f"{SVG}text")]


def test_boxes_are_scaled_by_the_size_of_the_image() -> None:
    picture = draw(boxed(Box(0, 0, 640, 480), Box(320, 240, 160, 120)), 640, 480)
    assert rectangles(picture) == [(0, 0, 320, 240), (160, 120, 80, 60)]
    assert ET.fromstring(picture).attrib["viewBox"] == "0 0 320 240"


def test_boxes_are_scaled_by_their_extent_where_no_size_is_known() -> None:
    assert rectangles(draw(boxed(Box(50, 50, 50, 50), Box(0, 0, 10, 10)))) == [(160, 160, 160, 160), (0, 0, 32, 32)]


def test_smaller_boxes_lie_on_top() -> None:
    sizes = [w * h for _, _, w, h in rectangles(draw(boxed(Box(0, 0, 5, 5), Box(0, 0, 90, 90), Box(3, 3, 40, 40))))]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("seed", range(20))
def test_everything_lies_within_the_picture_and_labels_keep_clear_of_each_other(seed: int) -> None:
    generator = np.random.default_rng(seed)
    boxes = [Box(*side) for side in (generator.normal(size=(30, 4)) * [400, 400, 300, 300]).tolist()]
    boxes = [Box(box.x, box.y, abs(box.w), abs(box.h)) for box in boxes]
    root = ET.fromstring(draw(boxed(*boxes, name="a long name of it"), 400, 300))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    areas = []
    for item in root.findall(f"{SVG}rect")[1:]:
        x, y, w, h = (float(item.attrib[side]) for side in ("x", "y", "width", "height"))
        assert -0.1 <= x <= x + w <= width + 0.1
        assert -0.1 <= y <= y + h <= height + 0.1
        if item.get("class") == "l":
            areas.append((x, y, w, h))
    assert areas
    for place, (x, y, w, h) in enumerate(areas):
        for x2, y2, w2, h2 in areas[:place]:
            assert x + w <= x2 + 0.2 or x2 + w2 <= x + 0.2 or y + h <= y2 + 0.2 or y2 + h2 <= y + 0.2


def test_without_boxes_every_relationship_is_an_arrow_with_its_predicate() -> None:
    graph = read_graph({"objects": ["man", "horse", "hat"], "relationships": [[0, "riding", 1], [0, "wearing", 2]]})
    picture = draw(graph)
    assert sorted(words(picture)) == ["hat", "horse", "man", "riding", "wearing"]
    assert len(ET.fromstring(picture).findall(f"{SVG}path")) == 2


def test_loops_pairs_that_relate_both_ways_and_wildcards_are_drawn() -> None:
    ends = [("a", "sees", "a"), ("a", "holds", "b"), ("b", "bites", "a"), ("a", "likes", "b"), ("b", None, "b")]
    graph = SceneGraph(
        (SceneObject(id="a", name="man"), SceneObject(id="b", name=None)),
        tuple(Relationship(subject=subject, predicate=name, object=target) for subject, name, target in ends),
    )
    assert sorted(words(draw(graph))) == ["*", "*", "bites", "holds, likes", "man", "sees"]


def test_text_is_only_text() -> None:
    name = "<script>a</script>&\"'\x01\ufffe]]>"
    for graph in (boxed(Box(0, 0, 9, 9), name=name), SceneGraph((SceneObject(id="a", name=name),))):
        root = ET.fromstring(draw(graph))  # which refuses what is not well-formed
        assert {item.tag.removeprefix(SVG) for item in root.iter()} <= {"svg", "style", "rect", "title", "text", "defs",
                                                                       "marker", "polygon", "path"}  # fmt: skip
        assert "<script>a</script>&" in "".join(root.itertext())


@pytest.mark.parametrize("box", [Box(0, 0, 1e9, 3), Box(0, 0, 1, 1)])
def test_a_huge_graph_is_a_small_picture(box: Box) -> None:
    name = "n" * 200
    objects = tuple(SceneObject(id=str(place), name=name, box=box) for place in range(3000))
    edges = tuple(Relationship(subject=str(a), predicate=name, object=str(a * 7 % 3000)) for a in range(3000))
    with_boxes = draw(SceneGraph(objects, edges), 3, 10**9 - 1)
    without = draw(SceneGraph(tuple(SceneObject(id=item.id, name=name) for item in objects), edges))
    assert len(with_boxes) < 30_000
    assert len(without) < 30_000
    assert f"+{3000 - MAX_OBJECTS} more" in words(with_boxes)
    assert f"+{3000 - MAX_NODES} more" in words(without)
    assert all(float(side) <= 480 for side in re.findall(r'height="([0-9.]+)"', with_boxes))


def test_one_graph_is_one_picture_and_one_name_one_colour() -> None:
    graph = make_graph(np.random.default_rng(3))
    assert draw(graph) == draw(read_graph(write_graph(graph), "native"))
    assert len(set(re.findall(r'fill="(hsl[^"]+)"', draw(boxed(Box(0, 0, 9, 9), Box(0, 0, 5, 5)))))) == 1
