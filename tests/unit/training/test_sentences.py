"""Sentence encoders: means against a plain loop, and models that must not or cannot be loaded; all without network."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.errors import ConfigError
from tests.tiny_sentence_encoder import DIMENSION, tiny_sentence_encoder
from training.data import sentences as module
from training.data.sentences import load_sentence_encoder, mean_sentence_vectors

CAPTIONS = ["A man on a horse", "the dog on the beach", "a woman", "A man on a horse", "nothing known here", "dog dog"]
TEXTS = st.lists(st.lists(st.sampled_from(CAPTIONS), max_size=5).map("\n".join), min_size=1, max_size=7).filter(any)


def letters(texts: Sequence[str]) -> NDArray[np.float32]:
    """Counts of a few letters, less their mean: some vectors are alike, some opposed, that of "dog dog" is zero."""
    counts = np.array([[text.count(letter) for letter in "aehns"] for text in texts], np.float32)
    centred: NDArray[np.float32] = counts - counts.mean(axis=1, keepdims=True)
    return centred


@settings(deadline=None)
@given(TEXTS, st.integers(1, 3))
def test_mean_vectors_equal_a_plain_loop_over_images_and_captions(texts: list[str], block: int) -> None:
    expected = np.zeros((len(texts), 5))
    expected_counts = []
    for row, lines in zip(expected, texts, strict=True):
        vectors = [letters([text])[0] for text in lines.split("\n") if text]
        units = [vector / np.linalg.norm(vector) for vector in vectors if vector.any()]
        expected_counts.append(len(units))
        if units:
            row[:] = np.mean(units, axis=0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        found, counts = mean_sentence_vectors(texts, letters)

    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert counts.tolist() == expected_counts


def test_a_caption_is_encoded_once_and_progress_counts_distinct_captions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 2)
    asked: list[str] = []
    steps: list[tuple[int, int]] = []

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        asked.extend(texts)
        return letters(texts)

    mean_sentence_vectors(["has\nhen", "has", "", "hen\nsea"], encode, lambda done, total: steps.append((done, total)))

    assert asked == ["has", "hen", "sea"]
    assert steps == [(2, 3), (3, 3)]


def test_vectors_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ConfigError, match="numbers that are not finite; name a folder that holds"):
        mean_sentence_vectors(["a"], lambda texts: np.full((len(texts), 2), np.nan))


def test_a_model_in_a_folder_is_named_by_its_last_part_and_encodes_like_itself(tmp_path: Path) -> None:
    path = tiny_sentence_encoder(tmp_path / "deep" / "tiny")
    encoder = load_sentence_encoder(str(path))
    vectors = encoder.encode(CAPTIONS)

    assert encoder.name == "tiny"
    assert [file.name for file in encoder.weights] == ["model.safetensors"]
    assert vectors.shape == (len(CAPTIONS), DIMENSION)
    np.testing.assert_array_equal(vectors[0], vectors[3])
    assert not vectors[4].any()
    for text, vector in zip(CAPTIONS, vectors, strict=True):
        np.testing.assert_allclose(encoder.encode([text])[0], vector, atol=1e-6)


def test_a_model_without_a_network_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tiny_sentence_encoder(tmp_path / "tiny")  # skips without the extra
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))

    for name in ("all-MiniLM-L6-v2", "somebody/a-model", str(tmp_path / "missing")):
        with pytest.raises(
            ConfigError, match=rf"sentence encoder {name} is no folder and cannot be fetched: .+network"
        ):
            load_sentence_encoder(name)


def test_a_hub_name_is_completed_and_fetches_neither_code_nor_pickles(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tiny = tiny_sentence_encoder(tmp_path / "tiny")
    asked: list[tuple[str, list[str]]] = []

    def snapshot_download(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(tiny)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)

    assert load_sentence_encoder("all-MiniLM-L6-v2").name == "all-MiniLM-L6-v2"
    assert load_sentence_encoder("somebody/a-model").name == "somebody/a-model"
    assert [name for name, _ in asked] == ["sentence-transformers/all-MiniLM-L6-v2", "somebody/a-model"]
    assert not any(pattern.endswith((".py", ".bin", ".pt")) for pattern in asked[0][1])


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    tiny_sentence_encoder(tmp_path / "tiny")
    with pytest.raises(ConfigError, match=r"holds no sentence encoder \(no modules.json\); name a folder"):
        load_sentence_encoder(str(tmp_path))


def test_weights_in_a_pickle_file_are_refused(tmp_path: Path) -> None:
    path = tiny_sentence_encoder(tmp_path / "tiny", pickle=True)
    with pytest.raises(ConfigError, match=r"tiny has its weights in pytorch_model.bin, a pickle file"):
        load_sentence_encoder(str(path))


def test_code_of_a_model_is_never_run(tmp_path: Path) -> None:
    path = tiny_sentence_encoder(tmp_path / "tiny")
    (path / "evil.py").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()\nclass Evil: ...\n")
    modules = json.loads((path / "modules.json").read_text())
    modules[0]["type"] = "evil.Evil"
    (path / "modules.json").write_text(json.dumps(modules))

    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_sentence_encoder(str(path))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "modules.json"])
def test_a_damaged_model_is_named(tmp_path: Path, name: str) -> None:
    path = tiny_sentence_encoder(tmp_path / "tiny")
    (path / name).write_bytes(b"\0\1\2")

    with pytest.raises(ConfigError, match=rf"sentence encoder {path} cannot be loaded: .+; name a folder"):
        load_sentence_encoder(str(path))


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)

    with pytest.raises(ConfigError, match=r"pip install 'scenerank\[sentence\]'"):
        load_sentence_encoder("all-MiniLM-L6-v2")
