"""Checkpoints: a directory with a JSON document and the safetensors files it names. No pickle.

    checkpoint.json               format version, encoder configuration, vocabulary, digests, what it came from
    weights-<digest>.safetensors  the encoder's parameters and running statistics
    words-<digest>.safetensors    half-precision vectors of the words that unknown names are resolved with

The data files are named by their content and the JSON document is put in place last, so at every moment a directory
holds the old checkpoint or the new one.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.numpy
import safetensors.torch
from safetensors import SafetensorError

from model.atomic import write_atomically
from model.encoders import Encoder, encoder_from_json, encoder_to_json
from model.errors import CheckpointError, SceneRankError
from model.resolution import NameResolver
from model.vocabulary import Vocabulary
from model.word_vectors import WordVectors

FORMAT_VERSION: Final = 1
DOCUMENT: Final = "checkpoint.json"
PRETRAINED: Final = "pretrained"
"""The name of the checkpoint that comes with SceneRank: docs/model-card.md."""

_SHIPPED: Final = Path(__file__).parent / PRETRAINED


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """An encoder with all that is needed to use it.

    Args:
        encoder: in evaluation mode, on the CPU.
        vocabulary: the names it knows.
        resolver: finds the known name that a free text means.
        word_vectors: what the resolver finds nearest names with.
        digest: identifies weights, configuration and vocabulary together; an index names the digest it was built with.
        metadata: what it came from: recipe, epoch, validation scores.
        directory: where it was read from.
    """

    encoder: Encoder
    vocabulary: Vocabulary
    resolver: NameResolver
    word_vectors: WordVectors
    digest: str
    metadata: dict[str, Any]
    directory: Path


def save_checkpoint(
    directory: Path,
    *,
    encoder: Encoder,
    vocabulary: Vocabulary,
    word_vectors: WordVectors,
    metadata: dict[str, Any],
    half: bool = False,
) -> str:
    """Write a checkpoint, whole or not at all, over an older one if there is one.

    Args:
        directory: where to write.
        encoder: its parameters and running statistics are written.
        vocabulary: the names it knows.
        word_vectors: what unknown names are resolved with.
        metadata: what it came from.
        half: write half-precision weights, at half the size; they are read back as single precision.

    Returns:
        The digest.
    """
    directory.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    if half:
        state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    weights = safetensors.torch.save(state)
    words = safetensors.numpy.save({"vectors": word_vectors.vectors.astype(np.float16)})
    document: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "encoder": encoder_to_json(encoder),
        "vocabulary": vocabulary.to_json(),
        "words": list(word_vectors.words),
        "files": {"weights": _digest(weights), "words": _digest(words)},
    }
    document |= {"digest": _document_digest(document), "metadata": metadata}
    files = {
        _file_name(kind, digest): data
        for (kind, digest), data in zip(document["files"].items(), (weights, words), strict=True)
    }
    for name, data in files.items():
        write_atomically(directory / name, data)
    write_atomically(directory / DOCUMENT, json.dumps(document).encode())
    for stale in {*directory.glob("weights-*.safetensors"), *directory.glob("words-*.safetensors")}:
        if stale.name not in files:
            stale.unlink()
    return str(document["digest"])


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and verify a checkpoint.

    Args:
        path: a checkpoint directory, or a run of `scenerank train`, whose best checkpoint is meant.

    Raises:
        CheckpointError: it is missing, damaged, or of another format version.
    """
    directory = find_checkpoint(path)
    document = _read_document(directory / DOCUMENT)
    try:
        data = {
            kind: _read_verified(directory / _file_name(kind, digest), digest)
            for kind, digest in document["files"].items()
        }
        vocabulary = Vocabulary.from_json(document["vocabulary"])
        encoder = encoder_from_json(document["encoder"])
        encoder.load_state_dict(safetensors.torch.load(data["weights"]))
        vectors = safetensors.numpy.load(data["words"])["vectors"].astype(np.float32)
        word_vectors = WordVectors(document["words"], vectors)
    except CheckpointError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError, SafetensorError, SceneRankError) as error:
        raise CheckpointError(f"{directory} is not a usable checkpoint ({error}); train or copy it again") from error
    return Checkpoint(
        encoder=encoder.eval(),
        vocabulary=vocabulary,
        resolver=NameResolver(vocabulary, word_vectors),
        word_vectors=word_vectors,
        digest=document["digest"],
        metadata=document["metadata"],
        directory=directory,
    )


def checkpoint_digest(path: Path) -> str:
    """The digest of a checkpoint, without loading its weights.

    Raises:
        CheckpointError: there is none, or it is of another format version.
    """
    return str(_read_document(find_checkpoint(path) / DOCUMENT)["digest"])


def find_checkpoint(path: Path) -> Path:
    """The checkpoint directory that `path` means: itself, the best checkpoint of a run, or the shipped one by its name.

    A directory of that name where the command runs goes first.
    """
    places = [path, path / "best", *([_SHIPPED] if path == Path(PRETRAINED) else [])]
    for directory in places:
        if (directory / DOCUMENT).is_file():
            return directory
    raise CheckpointError(
        f"no checkpoint at {path} (no {DOCUMENT}); name a run of `scenerank train`, a checkpoint in it, or {PRETRAINED}"
    )


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text())
        version = document["format_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); train or copy the checkpoint again") from None
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {version}, not {FORMAT_VERSION}; train again with this version"
        )
    if document.get("digest") != _document_digest(document):
        raise CheckpointError(f"{path} does not match its digest; it was changed or damaged, copy it again")
    return document


def _read_verified(path: Path, digest: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}); copy the checkpoint again") from None
    if _digest(data) != digest:
        raise CheckpointError(f"{path} does not match its digest; it was changed or damaged, copy it again")
    return data


def _file_name(kind: str, digest: str) -> str:
    return f"{kind}-{digest[:16]}.safetensors"


def _document_digest(document: dict[str, Any]) -> str:
    """Digest of everything that decides an embedding, and of nothing else."""
    parts = {key: document.get(key) for key in ("format_version", "encoder", "vocabulary", "words", "files")}
    return _digest(json.dumps(parts, sort_keys=True).encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
