"""The demo world is what it says: official formats, boxes that agree with predicates, pictures, reproducible bytes."""

import json
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.errors import ConfigError
from training.data.demo_world import write_demo_world
from training.data.demo_world.grammar import load_grammar

IMAGES = 300
FILES = ("objects", "relationships", "attributes", "image_data", "captions")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "not" / "there yet"
    write_demo_world(out, images=IMAGES)
    return out


@pytest.fixture(scope="module")
def documents(world: Path) -> dict[str, Any]:
    return {name: json.loads((world / f"{name}.json").read_text()) for name in FILES}


def relationships_of(documents: dict[str, Any]) -> list[dict[str, Any]]:
    return [relationship for image in documents["relationships"] for relationship in image["relationships"]]


def test_every_file_speaks_of_the_same_images(documents: dict[str, Any]) -> None:
    for name in ("objects", "relationships", "attributes", "image_data"):
        assert [image["image_id"] for image in documents[name]] == list(range(1, IMAGES + 1))


def test_ids_are_unique_over_the_world(documents: dict[str, Any]) -> None:
    objects = [item["object_id"] for image in documents["objects"] for item in image["objects"]]
    relationships = [relationship["relationship_id"] for relationship in relationships_of(documents)]
    captions = [caption["id"] for caption in documents["captions"]["annotations"]]
    for ids in (objects, relationships, captions, [image["coco_id"] for image in documents["image_data"]]):
        assert len(set(ids)) == len(ids) > 0


def test_relationships_and_attributes_are_of_objects_of_their_image(documents: dict[str, Any]) -> None:
    for objects, relationships, attributes in zip(
        documents["objects"], documents["relationships"], documents["attributes"], strict=True
    ):
        known = {item["object_id"]: item for item in objects["objects"]}
        for relationship in relationships["relationships"]:
            assert relationship["subject"]["object_id"] != relationship["object"]["object_id"]
            for end in (relationship["subject"], relationship["object"]):
                item = known[end["object_id"]]
                assert [end["name"]] == item["names"]
                assert [end[side] for side in "xywh"] == [item[side] for side in "xywh"]
        for described in attributes["attributes"]:
            assert described["names"] == known[described["object_id"]]["names"]
            assert described["attributes"]


def test_scenes_have_their_size_and_no_relationship_twice(documents: dict[str, Any]) -> None:
    for objects, relationships in zip(documents["objects"], documents["relationships"], strict=True):
        assert 4 <= len(objects["objects"]) <= 14
        assert 3 <= len(relationships["relationships"]) <= 15
        triples = [
            (each["subject"]["object_id"], each["predicate"], each["object"]["object_id"])
            for each in relationships["relationships"]
        ]
        assert len(set(triples)) == len(triples)


def test_boxes_lie_inside_their_picture(documents: dict[str, Any]) -> None:
    for image, objects in zip(documents["image_data"], documents["objects"], strict=True):
        for item in objects["objects"]:
            assert all(isinstance(item[side], int) for side in "xywh")
            assert 0 <= item["x"] < item["x"] + item["w"] <= image["width"]
            assert 0 <= item["y"] < item["y"] + item["h"] <= image["height"]


def test_each_image_has_five_captions_joined_by_its_coco_id(documents: dict[str, Any]) -> None:
    counts = Counter(caption["image_id"] for caption in documents["captions"]["annotations"])
    assert counts == {image["coco_id"]: 5 for image in documents["image_data"]}
    assert {image["id"] for image in documents["captions"]["images"]} == counts.keys()


def middle(box: dict[str, int]) -> float:
    return box["x"] + box["w"] / 2


def foot(box: dict[str, int]) -> int:
    return box["y"] + box["h"]


def over(one: dict[str, int], two: dict[str, int]) -> bool:
    return two["x"] <= middle(one) <= two["x"] + two["w"] and one["y"] + one["h"] / 2 < two["y"] + two["h"] / 2


def below(one: dict[str, int], two: dict[str, int]) -> bool:
    return two["x"] <= middle(one) <= two["x"] + two["w"] and one["y"] + one["h"] / 2 > two["y"] + two["h"] / 2


def touching(one: dict[str, int], two: dict[str, int]) -> bool:
    across = min(one["x"] + one["w"], two["x"] + two["w"]) - max(one["x"], two["x"])
    return across > 0 and min(foot(one), foot(two)) > max(one["y"], two["y"])


ORACLES: dict[str, Callable[[dict[str, int], dict[str, int]], bool]] = {
    "riding": over,
    "under": lambda subject, other: below(subject, other) and foot(subject) <= foot(other),
    "behind": lambda subject, other: foot(subject) < foot(other),
    "in front of": lambda subject, other: foot(subject) > foot(other),
    "above": lambda subject, other: foot(subject) <= other["y"],
    "holding": touching,
    "wearing": lambda subject, other: touching(subject, other) and subject["h"] > other["h"],
    "flying in": lambda subject, other: other["y"] <= subject["y"] and foot(subject) <= foot(other),
    "floating on": lambda subject, other: other["y"] <= foot(subject) <= foot(other),
    "walking on": lambda subject, other: other["y"] <= foot(subject) <= foot(other),
    "on": lambda subject, other: other["y"] <= foot(subject) <= foot(other),
    "chasing": lambda subject, other: abs(middle(subject) - middle(other)) > min(subject["w"], other["w"]) / 4,
}


@pytest.mark.parametrize("predicate", ORACLES)
def test_boxes_agree_with_the_predicate(documents: dict[str, Any], predicate: str) -> None:
    found = [each for each in relationships_of(documents) if each["predicate"] == predicate]
    assert len(found) >= 5
    wrong = [each for each in found if not ORACLES[predicate](each["subject"], each["object"])]
    assert wrong == []


def test_role_matters(documents: dict[str, Any]) -> None:
    triples = {
        (each["subject"]["name"], each["predicate"], each["object"]["name"]) for each in relationships_of(documents)
    }
    assert {("dog", "chasing", "cat"), ("cat", "chasing", "dog")} <= triples


def test_living_rooms_have_dogs_on_couches_in_general_and_special_words(documents: dict[str, Any]) -> None:
    predicates = {
        each["predicate"]
        for each in relationships_of(documents)
        if each["subject"]["name"] in ("dog", "cat") and each["object"]["name"] == "couch"
    }
    assert {"on", "lying on"} <= predicates


def test_two_objects_of_one_name_occur(documents: dict[str, Any]) -> None:
    twice = Counter(
        name
        for image in documents["objects"]
        for name, count in Counter(item["names"][0] for item in image["objects"]).items()
        if count > 1
    )
    assert twice["man"] > 0
    assert sum(twice.values()) > IMAGES / 10


def test_the_grammar_is_used_in_full_but_for_rare_names(documents: dict[str, Any]) -> None:
    grammar = load_grammar()
    names = {item["names"][0] for image in documents["objects"] for item in image["objects"]}
    predicates = {each["predicate"] for each in relationships_of(documents)}
    assert names <= grammar.things.keys()
    assert len(names) > 0.9 * len(grammar.things)
    assert predicates == grammar.predicates.keys()


def test_pictures_are_small_svg_documents_that_load_nothing(world: Path, documents: dict[str, Any]) -> None:
    for image in documents["image_data"]:
        path = world / "pictures" / f"{image['image_id']}.svg"
        assert image["url"] == path.resolve().as_uri()
        assert path.stat().st_size < 10_000
        root = ET.fromstring(path.read_text())
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.get("viewBox") == f"0 0 {image['width']} {image['height']}"
        for element in root.iter():
            assert element.tag.partition("}")[2] in {"svg", "title", "g", "rect", "ellipse", "path"}
            assert not [key for key in element.keys() if "href" in key or key.startswith("on")]  # noqa: SIM118


def test_pictures_draw_every_object_that_is_no_region(world: Path, documents: dict[str, Any]) -> None:
    grammar = load_grammar()
    for image in documents["objects"]:
        root = ET.fromstring((world / "pictures" / f"{image['image_id']}.svg").read_text())
        drawn = [title.text for title in root.findall("{*}g/{*}title")]
        named = [item["names"][0] for item in image["objects"]]
        assert sorted(map(str, drawn)) == sorted(name for name in named if not grammar.things[name].base)


def contents(out: Path) -> dict[str, bytes]:
    """Every file of a world; picture addresses relative to it."""
    place = out.resolve().as_uri().encode()
    return {
        str(path.relative_to(out)): path.read_bytes().replace(place, b"") for path in out.rglob("*") if path.is_file()
    }


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        write_demo_world(tmp_path / name, images=20, seed=seed)
    one, two, three = (contents(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two
    assert one.keys() == three.keys()
    assert all(one[name] != three[name] for name in one if name != "image_data.json")
    assert b"tmp" not in b"".join(text for name, text in one.items() if name != "image_data.json")


def test_an_image_does_not_depend_on_how_many_there_are(tmp_path: Path, world: Path) -> None:
    write_demo_world(tmp_path, images=12)
    for name in ("objects", "relationships", "attributes"):
        few, many = (json.loads((out / f"{name}.json").read_text()) for out in (tmp_path, world))
        assert few == many[:12]


def test_progress_is_told_for_each_image(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    write_demo_world(tmp_path, images=3, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(("images", "seed", "name"), [(0, 0, "images"), (3, -1, "seed")])
def test_impossible_arguments_are_refused_by_name(tmp_path: Path, images: int, seed: int, name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        write_demo_world(tmp_path / "out", images=images, seed=seed)
    assert not (tmp_path / "out").exists()
