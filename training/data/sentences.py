"""Captions as vectors of a sentence encoder: a second opinion on which images are alike, beside the paper's GloVe mean.

A sentence encoder reads word order and context, which a mean of word vectors cannot. Any model in the format of
sentence-transformers will do, from a folder or by its name on the Hugging Face hub. Its files are data to us: no code
out of a model is run, and no weights are read that could hide some (pickle).
"""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.errors import ConfigError

Encode = Callable[[Sequence[str]], NDArray[np.floating]]
"""Vectors of M texts, of any length. Shape (M, C)."""

_BLOCK: Final = 1024  # captions encoded between two steps of the progress bar, and vectors of captions held at once
_MIN_NORM: Final = 1e-6  # below this a vector has no direction
_FILES: Final = ["*.json", "*.txt", "*.model", "*.safetensors"]  # what is fetched of a model; tokenizers are .model
_REMEDY: Final = "name a folder that holds a sentence-transformers model, or one of the hub such as all-MiniLM-L6-v2"


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceEncoder:
    """A model that gives sentences vectors.

    Args:
        name: as it was asked for; of a path the last part alone, so that a data set tells nothing of its machine.
        weights: the files that hold its weights.
        encode: gives texts vectors.
    """

    name: str
    weights: Sequence[Path]
    encode: Encode


def load_sentence_encoder(name_or_path: str) -> SentenceEncoder:
    """Load a sentence encoder, on the GPU where there is one.

    Args:
        name_or_path: a folder, which needs no network, or a model of the Hugging Face hub, which needs it the first
            time; without an organisation that of sentence-transformers is meant.

    Raises:
        ConfigError: the extra `sentence` is not installed; there is no such model, or no network to fetch it; its
            weights are in pickle files; it would run its own code; its files are damaged.
    """
    try:
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415 (optional, and takes seconds)
    except ImportError:
        raise ConfigError("sentence encoders need an extra: pip install 'scenerank[sentence]'") from None
    given = Path(name_or_path).expanduser()
    directory = given if given.exists() else _fetch(name_or_path)
    if not (directory / "modules.json").is_file():
        raise ConfigError(f"{name_or_path} holds no sentence encoder (no modules.json); {_REMEDY}")
    _refuse_pickles(name_or_path, directory)
    try:
        # By default a folder without safetensors would be read from pickle, and one with gaps filled from the hub.
        model = SentenceTransformer(
            str(directory),
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True},
        )
    except Exception as error:  # noqa: BLE001 (the libraries below raise whatever a damaged file leads to)
        raise ConfigError(f"sentence encoder {name_or_path} cannot be loaded: {_reason(error)}; {_REMEDY}") from None
    return SentenceEncoder(
        name=given.resolve().name if given.exists() else name_or_path,
        weights=sorted(directory.rglob("*.safetensors")),
        encode=lambda texts: model.encode(list(texts), show_progress_bar=False, convert_to_numpy=True),
    )


def mean_sentence_vectors(
    texts: Sequence[str], encode: Encode, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """For every image the mean of its texts' unit vectors, so that an inner product is a mean similarity of texts.

    A text that occurs often is encoded once, and no more than a block of vectors is held beside the sums.

    Args:
        texts: N texts, one for each image, that hold a text a line; "" holds none. At least one holds some.
        encode: gives texts vectors.
        progress: called with the number of distinct texts encoded and that of all.

    Returns:
        The means, zeros without texts, and how many texts each image has; those whose vector is zero don't count.

    Shapes:
        (N, C) and (N,).

    Raises:
        ConfigError: the encoder gives vectors with numbers that are not finite.
    """
    number: dict[str, int] = {}
    of_image, of_text = array("q"), array("q")
    for image, lines in enumerate(texts):
        for text in lines.split("\n") if lines else ():
            of_image.append(image)
            of_text.append(number.setdefault(text, len(number)))
    assert number, "no image has a text"
    distinct = list(number)
    # In the order of the texts, those that a block is about lie side by side.
    order = np.argsort(np.array(of_text), kind="stable")
    images, numbers = np.array(of_image)[order], np.array(of_text)[order]
    sums = np.zeros((0, 0), np.float32)
    counts = np.zeros(len(texts), np.int32)
    for start in range(0, len(distinct), _BLOCK):
        vectors = np.asarray(encode(distinct[start : start + _BLOCK]), np.float32)
        if not np.isfinite(vectors).all():
            raise ConfigError(f"the sentence encoder gives vectors with numbers that are not finite; {_REMEDY}")
        if not start:
            sums = np.zeros((len(texts), vectors.shape[1]), np.float32)
        norms = np.linalg.norm(vectors, axis=1)
        here = slice(*np.searchsorted(numbers, [start, start + len(vectors)]))
        rows, owners = numbers[here] - start, images[here]
        real = norms[rows] > _MIN_NORM
        rows, owners = rows[real], owners[real]
        np.add.at(sums, owners, vectors[rows] / norms[rows, None])
        np.add.at(counts, owners, 1)
        progress(start + len(vectors), len(distinct))
    sums /= np.maximum(counts, 1)[:, None]
    return sums, counts


def _fetch(name: str) -> Path:
    """The folder of a hub's model: that of the cache, or freshly filled; of its files those that are plain data."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415 (comes with the extra)

    try:
        return Path(snapshot_download(name if "/" in name else f"sentence-transformers/{name}", allow_patterns=_FILES))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"sentence encoder {name} is no folder and cannot be fetched: {_reason(error)}; {_REMEDY}, "
            "and see that the network is there"
        ) from None


def _refuse_pickles(name: str, directory: Path) -> None:
    for path in directory.rglob("pytorch_model*.bin"):
        if not any(path.parent.glob("*.safetensors")):
            raise ConfigError(
                f"sentence encoder {name} has its weights in {path.name}, a pickle file that may run any code; "
                "name a model with model.safetensors, or convert it where you trust it"
            )


def _reason(error: Exception) -> str:
    """What went wrong, in one line: these libraries like to add paragraphs of advice."""
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
