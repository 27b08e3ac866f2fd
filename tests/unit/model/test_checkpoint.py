"""A checkpoint gives back the same encoder bit for bit, or a clear error."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import checkpoint_digest, load_checkpoint, save_checkpoint
from model.errors import CheckpointError
from model.inference import embed
from model.vocabulary import Vocabulary
from model.word_vectors import WordVectors
from tests.random_graphs import packed, small_encoder

VOCABULARY = Vocabulary.of_names([f"object {n}" for n in range(7)], [f"predicate {n}" for n in range(7)])
WORDS = WordVectors(["object", "man"], np.ones((2, 8), np.float32))


def save(directory: Path, seed: int = 0) -> str:
    return save_checkpoint(
        directory, encoder=small_encoder(seed), vocabulary=VOCABULARY, word_vectors=WORDS, metadata={"epoch": 3}
    )


def test_a_loaded_encoder_gives_bit_equal_embeddings(tmp_path: Path) -> None:
    digest = save(tmp_path / "run" / "best")
    checkpoint = load_checkpoint(tmp_path / "run")
    graphs = packed(20)
    np.testing.assert_array_equal(embed(checkpoint.encoder, graphs), embed(small_encoder(), graphs))
    assert checkpoint.vocabulary == VOCABULARY
    assert checkpoint.metadata == {"epoch": 3}
    assert checkpoint.digest == digest == checkpoint_digest(tmp_path / "run" / "best")
    assert checkpoint.resolver.objects.find("man").how == "nearest"


def test_saving_again_replaces_the_old_files(tmp_path: Path) -> None:
    first = save(tmp_path, seed=0)
    assert save(tmp_path, seed=0) == first
    second = save(tmp_path, seed=1)
    assert first != second
    assert load_checkpoint(tmp_path).digest == second
    assert len(list(tmp_path.iterdir())) == 3


def test_there_is_no_pickle_in_it(tmp_path: Path) -> None:
    save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}


def _change_document(**changes: object) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        path = directory / "checkpoint.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def _flip_a_byte(directory: Path) -> None:
    [weights] = directory.glob("weights-*")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)


def _remove_weights(directory: Path) -> None:
    next(directory.glob("weights-*")).unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_flip_a_byte, "does not match its digest"),
        (_remove_weights, "cannot be read"),
        (_change_document(format_version=99), "format version 99"),
        (_change_document(vocabulary={}), "does not match its digest"),
        (lambda directory: (directory / "checkpoint.json").write_text("{"), "cannot be read"),
        (lambda directory: (directory / "checkpoint.json").write_text("[]"), "cannot be read"),
        (lambda directory: (directory / "checkpoint.json").unlink(), "no checkpoint at"),
    ],
)
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    save(tmp_path)
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path)


def test_the_shipped_checkpoint_is_found_by_name_wherever_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = load_checkpoint(Path("pretrained"))
    assert shipped.encoder.config.dimension == 768
    assert sum(path.stat().st_size for path in shipped.directory.iterdir()) < 20e6
    assert shipped.resolver.objects.find("Horse").how == "case"
    assert np.isfinite(embed(shipped.encoder, packed(20))).all()
    save(tmp_path / "pretrained")  # somebody's own directory of that name
    assert load_checkpoint(Path("pretrained")).metadata == {"epoch": 3}
    with pytest.raises(CheckpointError, match=r"name a run of `scenerank train`, a checkpoint in it, or pretrained"):
        load_checkpoint(Path("pretraind"))
