import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pytest

from model.batch import PackedGraphs
from model.collection import ImageRecord, read_collection
from model.dataset import SceneGraphDataset, save_dataset
from model.errors import DataError
from model.scene_graph import Box, Relationship, SceneGraph, SceneObject
from model.vocabulary import Vocabulary
from model.word_vectors import WordVectors

MAN_ON_HORSE = SceneGraph(
    (
        SceneObject(id="0", name="man", attributes=("tall", "old"), box=Box(1, 2, 3, 4)),
        SceneObject(id="1", name="horse"),
    ),
    (Relationship(subject="0", predicate="on", object="1"),),
)
HORSE = SceneGraph((SceneObject(id="0", name="horse", attributes=("old",)),))


def dataset() -> SceneGraphDataset:
    """Three images: a man on a horse (test), nothing at all (train), a horse (train)."""
    nan = np.nan
    zeros = np.zeros((3, 2), np.float32)
    return SceneGraphDataset(
        image_ids=np.array(["7", "8", "9"]),
        graphs=PackedGraphs(
            objects=np.array([2, 3, 3], np.int32),
            object_offsets=np.array([0, 2, 2, 3]),
            subjects=np.array([0], np.int32),
            predicates=np.array([2], np.int32),
            targets=np.array([1], np.int32),
            relationship_offsets=np.array([0, 1, 1, 1]),
        ),
        boxes=np.array([[1, 2, 3, 4], [nan] * 4, [nan] * 4], np.float32),
        attributes=np.array([1, 0, 0], np.int32),
        attribute_offsets=np.array([0, 2, 2, 3]),
        attribute_names=["old", "tall"],
        urls=["http://a/7.jpg", "", ""],
        widths=np.array([800, 0, 0], np.int32),
        heights=np.array([600, 0, 0], np.int32),
        split=np.array([2, 0, 0], np.int8),
        caption_vectors=zeros,
        caption_counts=np.zeros(3, np.int32),
        phrase_vectors=zeros,
        phrase_counts=np.zeros(3, np.int32),
        vocabulary=Vocabulary.of_names(["man", "horse"], ["on"]),
        word_vectors=WordVectors(["man"], np.ones((1, 2), np.float32)),
        manifest={},
    )


def lines(path: Path, *documents: object) -> Path:
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return path


@pytest.fixture
def dataset_directory(tmp_path: Path) -> Path:
    save_dataset(tmp_path / "dataset", dataset(), [])
    return tmp_path / "dataset"


def test_a_data_set_yields_its_graphs_by_name_with_boxes_and_attributes(dataset_directory: Path) -> None:
    collection = read_collection(dataset_directory)

    assert (collection.total, collection.skipped) == (2, 1)
    assert list(collection) == [
        ImageRecord(image_id="7", graph=MAN_ON_HORSE, url="http://a/7.jpg", width=800, height=600),
        ImageRecord(image_id="9", graph=HORSE, url=None, width=None, height=None),
    ]


def test_a_split_of_a_data_set_can_be_chosen(dataset_directory: Path) -> None:
    test, train, val = (read_collection(dataset_directory, split=split) for split in ("test", "train", "val"))

    assert [record.image_id for record in test] == ["7"]
    assert [record.image_id for record in train] == ["9"]
    assert (train.total, train.skipped) == (1, 1)
    assert (list(val), val.total) == ([], 0)


def test_a_visual_genome_directory_yields_its_graphs_with_their_own_ids(tmp_path: Path) -> None:
    man = {"object_id": 10, "names": ["Man"], "x": 1, "y": 2, "w": 3, "h": 4}
    documents = {
        "objects.json": [
            {"image_id": 7, "objects": [man, {"object_id": 11, "names": ["horse"]}]},
            {"image_id": 8, "objects": []},
        ],
        "relationships.json": [
            {"image_id": 7, "relationships": [{"predicate": "ON", "subject_id": 10, "object_id": 11}]}
        ],
        "image_data.json": [{"image_id": 7, "url": "u", "width": 8, "height": 6}],
        "attributes.json": [{"image_id": 7, "attributes": [{"object_id": 10, "attributes": ["tall"]}]}],
    }
    for name, document in documents.items():
        (tmp_path / name).write_text(json.dumps(document))

    collection = read_collection(tmp_path)

    assert (collection.total, collection.skipped) == (1, 1)
    graph = SceneGraph(
        (
            SceneObject(id="10", name="man", attributes=("tall",), box=Box(1, 2, 3, 4)),
            SceneObject(id="11", name="horse"),
        ),
        (Relationship(subject="10", predicate="on", object="11"),),
    )
    assert list(collection) == [ImageRecord(image_id="7", graph=graph, url="u", width=8, height=6)]


def test_lines_hold_graphs_in_any_form_and_may_be_read_again(tmp_path: Path) -> None:
    native = {
        "image_id": "a", "url": "u", "width": 8, "height": 6,
        "objects": [
            {"id": "0", "name": "man", "attributes": ["tall", "old"], "x": 1, "y": 2, "w": 3, "h": 4},
            {"id": "1", "name": "horse"},
        ],
        "relationships": [{"subject": "0", "predicate": "on", "object": "1"}],
    }  # fmt: skip
    sg2im = {"image_id": 5, "objects": ["horse"]}
    path = lines(tmp_path / "graphs.jsonl", native, {"image_id": "empty", "objects": []}, sg2im)
    collection = read_collection(path)

    assert collection.total is None
    for _ in range(2):
        first, second = collection
        assert first == ImageRecord(image_id="a", graph=MAN_ON_HORSE, url="u", width=8, height=6)
        assert (second.image_id, second.graph.objects[0].name, second.url, second.width) == ("5", "horse", None, None)
        assert collection.skipped == 1


def test_packed_lines_and_blank_lines_are_read(tmp_path: Path) -> None:
    plain = lines(tmp_path / "graphs.jsonl", {"image_id": 1, "objects": ["horse"]})
    path = tmp_path / "graphs.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n" + plain.read_bytes() + b"\n  \n"))

    assert [record.image_id for record in read_collection(path)] == ["1"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{nonsense", r"line 2: not valid JSON"),
        ("[1]", r"line 2: not a JSON object"),
        ("[" * 100_000, r"line 2: not valid JSON"),
        ('{"objects": ["horse"]}', r"line 2: /image_id: every line needs an image_id"),
        ('{"image_id": true, "objects": ["horse"]}', r"line 2: /image_id: every line needs"),
        ('{"image_id": 2, "objects": [{"id": "a"}]}', r"line 2: /objects/0/name: "),
        ('{"image_id": 2, "objects": ["horse"], "url": 5}', r"line 2: /url: must be a string"),
        ('{"image_id": 2, "objects": ["horse"], "width": -1}', r"line 2: /width: must be a positive whole number"),
        ('{"image_id": 2, "objects": ["horse"], "height": "9"}', r"line 2: /height: must be a positive whole number"),
    ],
)
def test_a_bad_line_is_named_with_file_number_and_pointer(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "graphs.jsonl"
    path.write_text(json.dumps({"image_id": 1, "objects": ["horse"]}) + "\n" + line + "\n")

    with pytest.raises(DataError, match=message) as error:
        list(read_collection(path))
    assert "graphs.jsonl" in str(error.value)


def test_bytes_that_are_no_utf8_are_a_bad_line(tmp_path: Path) -> None:
    (tmp_path / "graphs.jsonl").write_bytes(b'{"image_id": "\xff"}\n')

    with pytest.raises(DataError, match="line 1: not valid JSON"):
        list(read_collection(tmp_path / "graphs.jsonl"))


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_only_data_sets_have_splits(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "graphs")

    with pytest.raises(DataError, match="is not a data set, so it has no split 'test'; leave --split out"):
        read_collection(tmp_path / "graphs", split="test")


def test_what_holds_no_graphs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds neither dataset.json .* nor objects.json"):
        read_collection(tmp_path)
    with pytest.raises(DataError, match="does not exist; name a data set"):
        read_collection(tmp_path / "missing")


def test_an_id_that_comes_again_is_told(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "graphs.jsonl",
        {"image_id": 1, "objects": ["horse"]},
        {"image_id": "1", "objects": ["dog"]},
        {"image_id": 2, "objects": ["dog"]},
    )
    collection = read_collection(path)
    for _ in range(2):
        assert [record.image_id for record in collection] == ["1", "1", "2"]
        assert collection.repeated == 1


GQA = {
    "2386621": {
        "width": 500, "height": 333, "location": "table",
        "objects": {
            "681267": {"name": "man", "h": 4, "w": 3, "y": 2, "x": 1, "attributes": ["tall", "old"],
                       "relations": [{"object": "681262", "name": "on"}]},
            "681262": {"name": "horse", "attributes": [], "relations": []},
        },
    },
    "n1": {"width": 10, "height": 10, "objects": {}},
    "2": {"objects": {"5": {"name": "dog"}}},
}  # fmt: skip


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("indent", [None, 2])
def test_gqas_own_file_is_read(tmp_path: Path, pack: Callable[[bytes], bytes], indent: int | None) -> None:
    path = tmp_path / "train_sceneGraphs.json"
    path.write_bytes(pack(json.dumps(GQA, indent=indent).encode()))
    collection = read_collection(path)

    for _ in range(2):
        first, second = collection
        assert (first.image_id, first.url, first.width, first.height) == ("2386621", None, 500, 333)
        man, horse = first.graph.objects
        assert (man.id, man.name, man.attributes, man.box) == ("681267", "man", ("tall", "old"), Box(1, 2, 3, 4))
        assert (horse.name, horse.box) == ("horse", None)
        assert first.graph.relationships == (Relationship(subject="681267", predicate="on", object="681262"),)
        assert (second.image_id, second.width, collection.skipped) == ("2", None, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"1": {"objects": {"5": {"name": "dog"}}}, "2": 3}', r"image '2': not a JSON object"),
        ('{"1": {"objects": {"5": {}}}}', r"image '1': /objects/5/name: name is missing"),
        ('{"1": {"objects": {"5": {"name": "dog"}}, "width": "x"}}', r"image '1': /width: must be a positive"),
        ('{"1": {"objects": {"5": {"name": "dog"}}}', r"expected a comma or the end of the object, found the end"),
        ('{"1": {"objects": {"5": {"name": "dog"}}}} {}', r"expected the end of the file"),
        ('{"1": {"objects": {"5": {"name": "dog"}}}, 5: {}}', r"a key of a JSON object must be a string"),
    ],
)
def test_what_is_wrong_with_an_image_of_gqa_is_told_with_its_id(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "graphs.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as error:
        list(read_collection(path))
    assert "graphs.json" in str(error.value)


def test_a_line_in_gqas_form_is_still_a_line(tmp_path: Path) -> None:
    documents = [
        {"objects": {"5": {"name": "dog"}}, "image_id": 1},
        {"metadata": {"objects": 3}, "image_id": 2, "objects": ["horse"]},
    ]
    for order in (documents, documents[::-1]):
        collection = read_collection(lines(tmp_path / "graphs.jsonl", *order))
        assert {record.image_id for record in collection} == {"1", "2"}


def test_a_long_file_of_gqa_is_read_as_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "graphs.json"
    graph = json.dumps({"width": 5, "height": 5, "objects": {"5": {"name": "dog", "attributes": ["x" * 1000] * 9}}})
    count = 600  # five times what is read at once
    path.write_text("{" + ", ".join(f'"{number}": {graph}' for number in range(count)) + "}")
    taken: list[int] = []

    class Counting(io.FileIO):
        def readinto(self, buffer: Any) -> int:  # noqa: ANN401
            taken.append(super().readinto(buffer))
            return taken[-1]

    records = iter(read_collection(path, opener=lambda path: cast("BinaryIO", Counting(path))))
    next(records)
    assert sum(taken) < path.stat().st_size / 2
    assert len(list(records)) == count - 1
