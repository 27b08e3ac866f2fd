"""A sentence encoder on the demo world, through the commands a user types; without network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from model.dataset import load_dataset
from tests.tiny_sentence_encoder import DIMENSION, tiny_sentence_encoder

SMALL = ["--set", "epochs=1", "--set", "layers=1", "--set", "hidden=8", "--set", "device=cpu"]


def scenerank(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scenerank", *map(str, arguments)]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=offline)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the demo world in world/ and a sentence encoder in tiny/."""
    directory = tmp_path_factory.mktemp("sentences")
    tiny_sentence_encoder(directory / "tiny")
    made = scenerank("demo-world", "--out", directory / "world", "--images", "60")
    assert made.returncode == 0, made.stderr
    return directory


def prepare(world: Path, out: Path, encoder: str | Path) -> subprocess.CompletedProcess[str]:
    files = world / "world"
    inputs = ("--visual-genome", files, "--captions", next(files.glob("captions*")))
    vectors = next(files.glob("*vectors*"))
    return scenerank(
        "prepare", *inputs, "--word-vectors", vectors, "--out", out, "--min-count", "2", "--sentence-encoder", encoder
    )


def test_prepare_train_and_evaluate_with_a_sentence_encoder(world: Path, tmp_path: Path) -> None:
    prepared = prepare(world, tmp_path / "dataset", world / "tiny")
    assert prepared.returncode == 0, prepared.stderr
    assert "captions with a sentence vector" in prepared.stdout
    dataset = load_dataset(tmp_path / "dataset")
    assert dataset.sentence_encoder == "tiny"
    assert dataset.sentence_vectors is not None
    assert dataset.sentence_vectors.shape == (len(dataset), DIMENSION)

    trained = scenerank(
        "train", tmp_path / "dataset", "--out", tmp_path / "run", "--set", "supervision=sentences", *SMALL
    )
    assert trained.returncode == 0, trained.stderr
    evaluated = scenerank("evaluate", tmp_path / "run", tmp_path / "dataset", "--out", tmp_path / "report")
    assert evaluated.returncode == 0, evaluated.stderr
    assert "sentence encoder `tiny`" in (tmp_path / "report" / "report.md").read_text()


def test_a_model_that_is_nowhere_is_one_line_without_a_traceback(world: Path, tmp_path: Path) -> None:
    failed = prepare(world, tmp_path / "dataset", "somebody/no-such-model")
    assert failed.returncode == 1
    assert failed.stderr.startswith("Error: sentence encoder somebody/no-such-model is no folder and cannot be fetched")
    assert len(failed.stderr.splitlines()) == 1
    assert not (tmp_path / "dataset").exists()
