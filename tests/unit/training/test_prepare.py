import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from model.dataset import SceneGraphDataset, load_dataset, read_texts
from model.errors import ConfigError, DataError
from model.vocabulary import IMAGE, IN_IMAGE, UNKNOWN
from tests.tiny_sentence_encoder import DIMENSION, tiny_sentence_encoder
from training.data.prepare import prepare
from training.data.report import Report
from training.data.sentences import load_sentence_encoder

GLOVE = "man 1 0\nhorse 0 2\non 3 3\ntall 1 1\nhat 2 1\nold 5 5\n"


def image(image_id: int, names: str, edges: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A record of objects.json and one of relationships.json; the objects of image 1 have the ids 10, 11, ..."""
    objects = [
        {"object_id": image_id * 10 + position, "names": [name], "x": position, "y": 0, "w": 1, "h": 1}
        for position, name in enumerate(names.split())
    ]
    relationships = []
    for edge in edges.split():
        subject, predicate, target = edge.split("-")
        ends = {"subject_id": image_id * 10 + int(subject), "object_id": image_id * 10 + int(target)}
        relationships.append({"predicate": predicate, **ends})
    return {"image_id": image_id, "objects": objects}, {"image_id": image_id, "relationships": relationships}


# "hat" and "under" are seen once; image 3 has no relationship, image 4 one object.
IMAGES = [
    image(1, "man horse hat", "0-on-1 2-on-0 1-under-0"),
    image(2, "horse hatter man", "2-on-0 2-on-0 0-on-0"),
    image(3, "man man", ""),
    image(4, "horse", "0-on-0"),
    image(5, "man horse", "1-on-0"),
]


def write(directory: Path, name: str, document: object) -> Path:
    path = directory / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def write_images(directory: Path, images: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    write(directory, "objects.json", [objects for objects, _ in images])
    write(directory, "relationships.json", [relationships for _, relationships in images])


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A Visual Genome directory with captions.json and glove.txt in it."""
    write_images(tmp_path, IMAGES)
    image_data = [{"image_id": n, "coco_id": 100 + n, "url": f"u{n}", "width": n, "height": 2 * n} for n in (1, 3, 5)]
    write(tmp_path, "image_data.json", image_data)
    captions = [
        (101, "A man."),
        (101, "horse horse"),
        (101, "nothing known"),
        (103, "man"),
        (105, "man"),
        (999, "horse"),
    ]
    write(tmp_path, "captions.json", {"annotations": [{"image_id": i, "caption": caption} for i, caption in captions]})
    regions = [{"id": 2, "regions": [{"phrase": "a man on a horse"}]}, {"id": 3, "regions": [{"phrase": "man"}]}]
    write(tmp_path, "region_descriptions.json", regions)
    tall_man, red_hat = {"object_id": 10, "attributes": ["tall", "old"]}, {"object_id": 12, "attributes": ["red"]}
    old_man = {"object_id": 50, "attributes": ["old"]}
    attributes = [{"image_id": 1, "attributes": [tall_man, red_hat]}, {"image_id": 5, "attributes": [old_man]}]
    write(tmp_path, "attributes.json", attributes)
    write(tmp_path, "object_alias.txt", "man,guy\nhelmet,casque\n")
    write(tmp_path, "glove.txt", GLOVE)
    return tmp_path


def run(directory: Path, **changes: object) -> tuple[SceneGraphDataset, Report]:
    arguments: dict[str, Any] = {
        "visual_genome": directory,
        "captions": [directory / "captions.json"],
        "word_vectors": directory / "glove.txt",
        "out": directory / "out",
        "min_count": 2,
        "min_objects": 2,
        **changes,
    }
    report = prepare(**arguments)
    return load_dataset(arguments["out"]), report


def test_the_filtered_graphs_are_packed_in_numbers_of_the_vocabulary(directory: Path) -> None:
    dataset, _ = run(directory)

    assert dataset.image_ids.tolist() == ["1", "2", "5"]
    assert dataset.vocabulary.objects == (IMAGE, UNKNOWN, "man", "horse")  # 5 men, 4 horses
    assert dataset.vocabulary.predicates == (IN_IMAGE, UNKNOWN, "on")
    assert dataset.vocabulary.object_aliases == {"guy": "man"}
    graphs = dataset.graphs
    assert graphs.object_offsets.tolist() == [0, 2, 4, 6]
    assert graphs.objects.tolist() == [2, 3, 3, 2, 2, 3]
    assert graphs.relationship_offsets.tolist() == [0, 1, 4, 5]
    assert graphs.subjects.tolist() == [0, 1, 1, 0, 1]
    assert graphs.predicates.tolist() == [2] * 5
    assert graphs.targets.tolist() == [1, 0, 0, 0, 0]


def test_boxes_attributes_urls_and_sizes_follow_their_objects_and_images(directory: Path) -> None:
    dataset, _ = run(directory)

    assert dataset.boxes[:, 0].tolist() == [0, 1, 0, 2, 0, 1]
    assert dataset.attribute_names == ["old", "tall"]  # "red" was the hat's
    assert dataset.attribute_offsets.tolist() == [0, 2, 2, 2, 2, 3, 3]
    assert sorted(dataset.attributes[:2].tolist()) == [0, 1]
    assert dataset.attributes[2:].tolist() == [0]
    assert dataset.urls == ["u1", "", "u5"]
    assert (dataset.widths.tolist(), dataset.heights.tolist()) == ([1, 0, 5], [2, 0, 10])


def test_captions_and_phrases_are_embedded_apart(directory: Path) -> None:
    dataset, _ = run(directory)

    np.testing.assert_allclose(dataset.caption_vectors, [[0.5, 0.5], [0.0, 0.0], [1.0, 0.0]])
    assert dataset.caption_counts.tolist() == [2, 0, 1]
    together = np.array([4, 5]) / np.linalg.norm([4, 5])  # man + on + horse
    np.testing.assert_allclose(dataset.phrase_vectors, [[0, 0], together, [0, 0]], rtol=1e-6)
    assert dataset.phrase_counts.tolist() == [0, 1, 0]
    assert list(read_texts(directory / "out")) == [
        {"image_id": "1", "captions": ["A man.", "horse horse", "nothing known"], "phrases": []},
        {"image_id": "2", "captions": [], "phrases": ["a man on a horse"]},
        {"image_id": "5", "captions": ["man"], "phrases": []},
    ]


def test_the_report_counts_what_every_step_kept_and_dropped(directory: Path) -> None:
    _, report = run(directory, captions=[directory / "captions.json"])

    assert {step.name: (step.kept, step.dropped) for step in report.steps} == {
        "images": (5, None),
        "objects": (11, None),
        "relationships": (8, None),
        "object types seen at least 2 times": (2, 2),
        "predicates seen at least 2 times": (1, 1),
        "objects of these types": (9, 2),
        "relationships of these types": (6, 2),
        "images with 2 to 40 objects": (4, 1),
        "images with relationships (1 or more)": (3, 1),
        "objects in these images": (6, 3),
        "relationships in these images": (5, 1),
        "captions of these images": (4, 2),
        "words with a vector": (5, 6),
        "captions with a known word": (3, 1),
        "caption tokens with a vector": (4, 3),
        "images with captions": (2, 1),
        "region phrases with a known word": (1, 0),
        "region phrase tokens with a vector": (3, 2),
        "images with region phrases": (1, 2),
        "train images": (2, None),
        "train images with captions": (1, None),
        "val images": (0, None),
        "val images with captions": (0, None),
        "test images": (1, None),
        "test images with captions": (1, None),
    }


def test_the_manifest_holds_settings_sources_and_report(directory: Path) -> None:
    dataset, report = run(directory, seed=3)

    manifest = dataset.manifest
    assert manifest["settings"] == {
        "min_count": 2, "min_objects": 2, "max_objects": 40, "min_relationships": 1, "split": [70, 20, 10], "seed": 3,
    }  # fmt: skip
    assert manifest["report"] == report.to_json()
    assert manifest["format_version"] == 1
    glove = hashlib.sha256(GLOVE.encode()).hexdigest()
    assert manifest["sources"]["word_vectors"] == [{"name": "glove.txt", "bytes": len(GLOVE), "sha256": glove}]
    assert [source["name"] for source in manifest["sources"]["visual_genome"]] == [
        "objects.json", "relationships.json", "image_data.json", "attributes.json", "region_descriptions.json",
        "object_alias.txt",
    ]  # fmt: skip


def test_a_sentence_encoder_embeds_the_captions_beside_the_word_vectors(directory: Path) -> None:
    path = tiny_sentence_encoder(directory / "encoders" / "tiny")
    plain, _ = run(directory)

    dataset, report = run(directory, sentence_encoder=str(path))

    expected = np.zeros((3, DIMENSION))
    encode = load_sentence_encoder(str(path)).encode
    for row, texts in zip(expected, read_texts(directory / "out"), strict=True):
        vectors = [encode([caption])[0] for caption in texts["captions"]]
        units = [vector / np.linalg.norm(vector) for vector in vectors if vector.any()]
        if units:
            row[:] = np.mean(units, axis=0)
    assert dataset.sentence_vectors is not None
    np.testing.assert_allclose(dataset.sentence_vectors, expected, atol=1e-6)
    assert dataset.sentence_vectors.any(axis=1).tolist() == [True, False, True]
    np.testing.assert_array_equal(dataset.caption_vectors, plain.caption_vectors)
    assert dataset.sentence_encoder == "tiny"
    assert [source["name"] for source in dataset.manifest["sources"]["sentence_encoder"]] == ["model.safetensors"]
    assert str(directory) not in json.dumps(dataset.manifest)
    steps = {step.name: (step.kept, step.dropped) for step in report.steps}
    assert steps["captions with a sentence vector"] == (3, 1)  # not "nothing known"


def test_without_a_sentence_encoder_there_are_no_sentence_vectors(directory: Path) -> None:
    dataset, _ = run(directory)

    assert (dataset.sentence_vectors, dataset.sentence_encoder) == (None, None)


def test_a_sentence_encoder_that_cannot_work_is_refused_before_anything_is_read(directory: Path) -> None:
    (directory / "objects.json").write_text("nonsense")

    with pytest.raises(ConfigError, match="--sentence-encoder has nothing to embed; name COCO caption files"):
        run(directory, sentence_encoder="tiny", captions=[])
    tiny_sentence_encoder(directory / "tiny")  # skips without the extra
    with pytest.raises(ConfigError, match="holds no sentence encoder"):
        run(directory, sentence_encoder=str(directory))


def test_one_seed_gives_the_same_data_set_byte_for_byte(directory: Path) -> None:
    first, _ = run(directory, out=directory / "a")
    second, _ = run(directory, out=directory / "b")

    assert first.fingerprint == second.fingerprint


@pytest.mark.parametrize(
    ("changes", "images"),
    [
        ({"min_objects": 1}, ["1", "2", "4", "5"]),
        ({"min_relationships": 0}, ["1", "2", "3", "5"]),
        ({"min_relationships": 2}, ["2"]),
        ({"max_objects": 2, "min_count": 1}, ["5"]),
        ({"min_count": 5, "min_objects": 1, "min_relationships": 0}, ["1", "2", "3", "5"]),
    ],
)
def test_every_filter_drops_what_it_says(directory: Path, changes: dict[str, int], images: list[str]) -> None:
    split_file = write(directory, "splits.json", {"test": []})

    dataset, _ = run(directory, split_file=split_file, captions=[], **changes)

    assert dataset.image_ids.tolist() == images


def test_a_split_file_fixes_the_split_and_what_it_misses_is_reported(directory: Path) -> None:
    split_file = write(directory, "splits.json", {"test": [5, 4], "val": [1, 404]})

    dataset, report = run(directory, split_file=split_file)

    assert [dataset.image_ids[dataset.members(split)].tolist() for split in ("train", "val", "test")] == [
        ["2"], ["1"], ["5"],
    ]  # fmt: skip
    steps = {step.name: (step.kept, step.dropped) for step in report.steps}
    assert steps["images of the split file's 'test'"] == (1, 1)
    assert steps["images of the split file's 'val'"] == (1, 1)
    assert dataset.manifest["sources"]["split_file"][0]["name"] == "splits.json"


def test_the_settings_of_a_fixed_split_are_its_file(directory: Path) -> None:
    split_file = write(directory, "splits.json", {"test": [5, 4], "val": [1, 404]})

    dataset, _ = run(directory, split_file=split_file, seed=3)

    assert dataset.manifest["settings"] == {
        "min_count": 2, "min_objects": 2, "max_objects": 40, "min_relationships": 1,
        "split_file": "splits.json", "split_file_sha256": hashlib.sha256(split_file.read_bytes()).hexdigest(),
    }  # fmt: skip


def test_captions_that_images_share_count_for_each_in_every_row(directory: Path) -> None:
    image_data = [{"image_id": number, "coco_id": 101} for number in (1, 5)]
    write(directory, "image_data.json", image_data)

    _, report = run(directory)

    steps = {step.name: (step.kept, step.dropped) for step in report.steps}
    assert steps["captions of these images"] == (6, 3)
    assert steps["captions with a known word"] == (4, 2)


def test_a_split_file_that_names_training_images_drops_the_others(directory: Path) -> None:
    split_file = write(directory, "splits.json", {"test": [5], "train": [2]})

    dataset, report = run(directory, split_file=split_file)

    assert dataset.image_ids.tolist() == ["2", "5"]
    assert report.kept("images named by the split file") == 2


def test_without_caption_files_images_with_region_phrases_are_split(directory: Path) -> None:
    dataset, _ = run(directory, captions=[], split=(1, 0, 1))

    assert dataset.image_ids[dataset.members("test")].tolist() == ["2"]
    assert not dataset.caption_counts.any()


def test_without_any_text_a_split_file_is_asked_for_and_is_enough(directory: Path) -> None:
    (directory / "region_descriptions.json").unlink()

    with pytest.raises(DataError, match=r"no image of .* has texts to learn from; .*--captions, or .*--split-file"):
        run(directory, captions=[])
    split_file = write(directory, "splits.json", {"test": [1]})
    dataset, _ = run(directory, captions=[], split_file=split_file)
    assert dataset.image_ids[dataset.members("test")].tolist() == ["1"]


def test_captions_of_other_images_are_an_error_not_a_silent_loss(directory: Path) -> None:
    (directory / "image_data.json").unlink()

    with pytest.raises(DataError, match=r"none of the 6 captions belongs to an image .* must give the images' coco_id"):
        run(directory)


def test_when_nothing_is_left_the_remedy_is_named(directory: Path) -> None:
    with pytest.raises(DataError, match=r"no image of .* is left; lower --min-count"):
        run(directory, min_count=1000)
    assert not (directory / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_count": 0}, "min_count is 0; it must be at least 1"),
        ({"min_objects": 0}, "min_objects 0 and max_objects 40"),
        ({"min_objects": 5, "max_objects": 4}, "min_objects 5 and max_objects 4"),
        ({"min_relationships": -1}, "min_relationships is -1"),
        ({"split": (0, 1, 1)}, "give three shares"),
    ],
)
def test_impossible_settings_are_refused(directory: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(directory, **changes)


@pytest.mark.parametrize("argument", ["visual_genome", "word_vectors", "split_file", "captions"])
def test_missing_files_are_refused_before_anything_is_read(directory: Path, argument: str) -> None:
    (directory / "objects.json").write_text("nonsense")
    missing = directory / "missing"

    with pytest.raises(DataError, match=r"missing (does not exist|is not a directory)"):
        run(directory, **{argument: [missing] if argument == "captions" else missing})


def test_an_out_that_is_no_data_set_is_refused_before_anything_is_read(directory: Path) -> None:
    (directory / "objects.json").write_text("nonsense")

    with pytest.raises(DataError, match="exists and is not a data set"):
        run(directory, out=directory)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_gets_progress_and_every_console_the_table(directory: Path, terminal: bool) -> None:
    output = io.StringIO()

    run(directory, console=Console(file=output, force_terminal=terminal, width=120))

    assert ("objects.json" in output.getvalue()) == terminal
    assert "images with captions" in output.getvalue()


def test_oddities_reach_the_report_and_the_table(directory: Path) -> None:
    objects, relationships = image(1, "man horse hat", "0-on-1 0-on-7")
    write_images(directory, [(objects, relationships), *IMAGES[1:]])
    output = io.StringIO()

    dataset, report = run(directory, console=Console(file=output, width=120))

    oddity = "relationships whose subject or object is missing or has no name"
    assert report.oddities == {oddity: 1} == dataset.manifest["report"]["oddities"]
    assert oddity in output.getvalue()
