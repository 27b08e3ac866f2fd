"""The offline commands as a user types them, each in a process of its own."""

import contextlib
import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scenerank import main
from service.database import open_database
from service.settings import Settings
from tests.factories import make_checkpoint, make_records, write_records
from tests.small_dataset import small_dataset

SMALL = ["--set", "epochs=2", "--set", "layers=1", "--set", "hidden=8", "--set", "device=cpu"]


def scenerank(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scenerank", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_help_lists_the_commands_and_every_command_has_an_example() -> None:
    top = scenerank("--help")
    assert top.returncode == 0
    for command in (
        "demo",
        "demo-world",
        "prepare",
        "train",
        "evaluate",
        "reproduce",
        "embed",
        "export",
        "import",
        "serve",
        "search",
    ):
        assert command in top.stdout
        shown = scenerank(command, "--help").stdout.replace("SCENERANK_ADMIN_KEYS=change-me ", "")
        assert re.search(rf"Examples?: scenerank {command} ", shown)


def test_train_evaluate_and_embed_a_data_set(tmp_path: Path) -> None:
    small_dataset(tmp_path / "dataset")
    trained = scenerank("train", tmp_path / "dataset", "--out", tmp_path / "run", *SMALL)
    assert trained.returncode == 0, trained.stderr
    assert "epoch 2/2" in trained.stdout
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    again = scenerank("train", tmp_path / "dataset", "--out", tmp_path / "run", *SMALL)
    assert again.returncode == 1
    assert again.stderr.startswith("Error: ")
    assert "--resume" in again.stderr
    resumed = scenerank(
        "train", tmp_path / "dataset", "--out", tmp_path / "run", *SMALL, "--set", "epochs=3", "--resume"
    )
    assert "epoch 3/3" in resumed.stdout

    evaluated = scenerank(
        "evaluate", tmp_path / "run", tmp_path / "dataset", "--split", "test", "--out", tmp_path / "report"
    )
    assert evaluated.returncode == 0, evaluated.stderr
    assert "| encoder |" in (tmp_path / "report" / "report.md").read_text()
    assert json.loads((tmp_path / "report" / "report.json").read_text())["protocol"]["images"] == 10

    embedded = scenerank("embed", tmp_path / "run", tmp_path / "dataset", "--out", tmp_path / "all.npz")
    assert embedded.returncode == 0, embedded.stderr
    with np.load(tmp_path / "all.npz") as file:
        assert len(file["embeddings"]) == len(file["ids"]) == 60
    part = scenerank("embed", tmp_path / "run", tmp_path / "dataset", "--split", "test", "--out", tmp_path / "test.npz")
    assert part.returncode == 0, part.stderr
    with np.load(tmp_path / "test.npz") as file, np.load(tmp_path / "all.npz") as whole:
        assert file["ids"].tolist() == whole["ids"][50:].tolist()
        np.testing.assert_allclose(file["embeddings"], whole["embeddings"][50:], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "nowhere", "--out", "run"], "not a data set"),
        (["train", "nowhere", "--out", "run", "--set", "epoch=3"], "did you mean epochs"),
        (["evaluate", "nowhere", "nowhere", "--out", "report"], "no checkpoint at nowhere"),
        (["embed", "nowhere", "graphs.jsonl", "--out", "x.npz"], "no checkpoint at nowhere"),
        (["demo", "--dir", "."], "is not empty and not an earlier demo's"),
    ],
)
def test_what_a_user_can_mend_is_one_line_without_a_traceback(arguments: list[str], message: str) -> None:
    failed = scenerank(*arguments)
    assert failed.returncode == 1
    assert failed.stderr.startswith("Error: ")
    assert message in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_file_where_the_index_belongs_is_one_line_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_checkpoint(tmp_path / "checkpoint")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "index").write_text("in the way")
    monkeypatch.setenv("SCENERANK_DATA_DIR", str(tmp_path / "data"))
    failed = scenerank("index", "build", "--checkpoint", tmp_path / "checkpoint")
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert f"Error: {tmp_path}/data/index/" in failed.stderr
    assert "Not a directory" in failed.stderr


def test_a_locked_database_is_one_line_without_what_was_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "1000")
    monkeypatch.setenv("SCENERANK_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr("service.database._BUSY_TIMEOUT", 0.1)
    records = write_records(tmp_path / "graphs.jsonl", make_records(3))
    monkeypatch.setattr("sys.argv", ["scenerank", "import", str(records)])
    database = open_database(Settings.load().database)
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "scenerank.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SystemExit) as ended:
            main()
    database.dispose()
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert "Error: the database does not do its part (database is locked)" in said
    assert "INSERT" not in said
    assert "Traceback" not in said
