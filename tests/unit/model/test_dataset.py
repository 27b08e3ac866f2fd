import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.batch import PackedGraphs
from model.dataset import MANIFEST, SceneGraphDataset, check_replaceable, load_dataset, read_texts, save_dataset
from model.errors import DataError
from model.vocabulary import Vocabulary
from model.word_vectors import WordVectors

TEXTS: list[dict[str, Any]] = [
    {"image_id": "7", "captions": ["a man on a horse"], "phrases": []},
    {"image_id": "x", "captions": [], "phrases": ["café"]},
]


def dataset(**changes: object) -> SceneGraphDataset:
    rng = np.random.default_rng(0)
    values: dict[str, Any] = {
        "image_ids": np.array(["7", "x"]),
        "graphs": PackedGraphs(
            objects=np.array([2, 3, 3], np.int32),
            object_offsets=np.array([0, 2, 3]),
            subjects=np.array([0], np.int32),
            predicates=np.array([2], np.int32),
            targets=np.array([1], np.int32),
            relationship_offsets=np.array([0, 1, 1]),
        ),
        "boxes": rng.random((3, 4), np.float32),
        "attributes": np.array([0], np.int32),
        "attribute_offsets": np.array([0, 1, 1, 1]),
        "attribute_names": ["tall"],
        "urls": ["http://a/7.jpg", ""],
        "widths": np.array([800, 0], np.int32),
        "heights": np.array([600, 0], np.int32),
        "split": np.array([0, 2], np.int8),
        "caption_vectors": rng.random((2, 5), np.float32),
        "caption_counts": np.array([1, 0], np.int32),
        "phrase_vectors": rng.random((2, 5), np.float32),
        "phrase_counts": np.array([0, 1], np.int32),
        "vocabulary": Vocabulary.of_names(["man", "horse"], ["on"], object_aliases={"guy": "man"}),
        "word_vectors": WordVectors(["man", "horse"], rng.random((2, 5), np.float32)),
        "manifest": {"settings": {"min_count": 1}},
        **changes,
    }
    return SceneGraphDataset(**values)


def test_a_data_set_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    saved = dataset()
    save_dataset(tmp_path / "deep" / "out", saved, TEXTS)
    loaded = load_dataset(tmp_path / "deep" / "out")

    assert len(loaded) == 2
    for name in ("image_ids", "boxes", "attributes", "attribute_offsets", "widths", "heights", "split",
                 "caption_vectors", "caption_counts", "phrase_vectors", "phrase_counts"):  # fmt: skip
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name), strict=name != "image_ids")
    for name in PackedGraphs.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(loaded.graphs, name), getattr(saved.graphs, name), strict=True)
    np.testing.assert_array_equal(loaded.word_vectors.vectors, saved.word_vectors.vectors, strict=True)
    assert list(loaded.word_vectors.words) == ["man", "horse"]
    assert (loaded.vocabulary, loaded.urls, loaded.attribute_names) == (saved.vocabulary, saved.urls, ["tall"])
    assert loaded.manifest["settings"] == {"min_count": 1}
    assert list(read_texts(tmp_path / "deep" / "out")) == TEXTS


def test_sentence_vectors_and_the_name_of_their_encoder_come_back(tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).random((2, 3), np.float32)
    save_dataset(tmp_path, dataset(sentence_vectors=vectors, sentence_encoder="tiny"), TEXTS)

    loaded = load_dataset(tmp_path)

    assert loaded.sentence_vectors is not None
    np.testing.assert_array_equal(loaded.sentence_vectors, vectors, strict=True)
    assert loaded.sentence_encoder == "tiny"


def test_a_data_set_from_before_there_were_sentence_encoders_still_loads(tmp_path: Path) -> None:
    save_dataset(tmp_path, dataset(), TEXTS)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    del manifest["sentence_encoder"]
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))

    loaded = load_dataset(tmp_path)

    assert manifest["format_version"] == 1
    assert (loaded.sentence_vectors, loaded.sentence_encoder) == (None, None)


def test_members_are_the_positions_of_a_split() -> None:
    assert [dataset().members(split).tolist() for split in ("train", "val", "test")] == [[0], [], [1]]


def test_the_fingerprint_changes_with_the_data_alone(tmp_path: Path) -> None:
    def fingerprint(name: str, **changes: object) -> str:
        save_dataset(tmp_path / name, dataset(**changes), TEXTS)
        return load_dataset(tmp_path / name).fingerprint

    first = fingerprint("a")

    assert fingerprint("b") == first
    assert fingerprint("c", split=np.array([0, 1], np.int8)) != first


def test_saving_replaces_an_older_data_set_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    save_dataset(out, dataset(), TEXTS)
    save_dataset(out, dataset(urls=["new", ""]), TEXTS)

    assert load_dataset(out).urls == ["new", ""]
    assert list(tmp_path.iterdir()) == [out]


def test_a_failed_save_leaves_the_older_data_set(tmp_path: Path) -> None:
    out = tmp_path / "out"
    save_dataset(out, dataset(), TEXTS)

    with pytest.raises(TypeError):
        save_dataset(out, dataset(urls=["new", ""]), [{"image_id": object()}])

    assert load_dataset(out).urls == ["http://a/7.jpg", ""]
    assert list(tmp_path.iterdir()) == [out]


def test_every_file_can_be_read_by_others(tmp_path: Path) -> None:
    save_dataset(tmp_path / "out", dataset(), TEXTS)

    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o644}


def test_anything_but_a_data_set_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    (tmp_path / "empty").mkdir()

    for name in ("file", "full"):
        with pytest.raises(DataError, match="exists and is not a data set; name another --out or remove it"):
            save_dataset(tmp_path / name, dataset(), TEXTS)
    check_replaceable(tmp_path / "empty")
    check_replaceable(tmp_path / "new")


@pytest.mark.parametrize("name", ["graphs.safetensors", "images.json", "texts.jsonl", "words.json"])
def test_a_damaged_or_missing_file_is_named(tmp_path: Path, name: str) -> None:
    save_dataset(tmp_path, dataset(), TEXTS)
    path = tmp_path / name
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{name} is missing or damaged; run `scenerank prepare` again"):
        load_dataset(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=f"{name} is missing or damaged"):
        load_dataset(tmp_path)


def test_a_directory_without_a_good_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not a data set .* make one with `scenerank prepare`"):
        load_dataset(tmp_path)
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        load_dataset(tmp_path)
    (tmp_path / MANIFEST).write_text(json.dumps({"format_version": 99}))
    with pytest.raises(DataError, match="has format version 99, not 1"):
        load_dataset(tmp_path)
