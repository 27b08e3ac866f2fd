"""The data set directory that preparation writes and training, evaluation and the indexer read.

    dataset.json              format version, sources, filters, the table of what was kept, checksums
    vocabulary.json           object names, predicates, aliases
    graphs.safetensors        packed graphs, boxes, attributes, split
    images.json               ids, urls and sizes of the images; names of the attributes
    texts.safetensors         mean caption vector and number of texts of each image; mean sentence vector, if asked for
    texts.jsonl               the captions and region phrases themselves, a line an image
    word_vectors.safetensors  vectors of the words that names, texts and queries use
    words.json                those words

Everything is in the order of the images.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from model.batch import PackedGraphs
from model.errors import DataError
from model.vocabulary import Vocabulary
from model.word_vectors import WordVectors

FORMAT_VERSION: Final = 1
MANIFEST: Final = "dataset.json"

Split = Literal["train", "val", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "val", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneGraphDataset:
    """N images with their scene graphs, texts and split.

    Shapes:
        image_ids: (N,) identifiers as strings.
        graphs: N packed graphs.
        boxes: (O, 4) x, y, w, h of every object, NaN where unknown. Units: pixels.
        attributes, attribute_offsets: those of each object: (A,) numbers into attribute_names, (O + 1,) offsets.
        urls, widths, heights: (N,) "" and 0 where unknown.
        split: (N,) positions in SPLITS.
        caption_vectors: (N, D) mean of the unit caption embeddings, so s_XY is an inner product of rows; zeros without
            captions.
        caption_counts: (N,) captions with at least one known word.
        phrase_vectors, phrase_counts: the same for region phrases.
        sentence_vectors: (N, C) as caption_vectors, but of a sentence encoder; None where none was asked for. Rows are
            zero without captions, and only then: an image may have one whose captions hold no known word.
        sentence_encoder: name of the encoder that made them.
    """

    image_ids: NDArray[np.str_]
    graphs: PackedGraphs
    boxes: NDArray[np.float32]
    attributes: NDArray[np.int32]
    attribute_offsets: NDArray[np.int64]
    attribute_names: Sequence[str]
    urls: Sequence[str]
    widths: NDArray[np.int32]
    heights: NDArray[np.int32]
    split: NDArray[np.int8]
    caption_vectors: NDArray[np.float32]
    caption_counts: NDArray[np.int32]
    phrase_vectors: NDArray[np.float32]
    phrase_counts: NDArray[np.int32]
    vocabulary: Vocabulary
    word_vectors: WordVectors
    manifest: dict[str, Any]
    sentence_vectors: NDArray[np.float32] | None = None
    sentence_encoder: str | None = None

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def fingerprint(self) -> str:
        """Digest of the files: two data sets of one fingerprint hold the same data."""
        return hashlib.sha256(json.dumps(self.manifest["sha256"], sort_keys=True).encode()).hexdigest()

    def members(self, split: Split) -> NDArray[np.int64]:
        """Positions of the images of a split."""
        return np.flatnonzero(self.split == SPLITS.index(split))


def save_dataset(out: Path, dataset: SceneGraphDataset, texts: Iterable[dict[str, Any]]) -> None:
    """Write a data set directory, whole or not at all; an older data set at `out` is replaced.

    Args:
        out: the directory to write.
        dataset: what to write; its manifest gets the format version and checksums.
        texts: for each image {"image_id": str, "captions": [str], "phrases": [str]}.

    Raises:
        DataError: `out` is something other than a data set or an empty directory.
    """
    check_replaceable(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        _write(staging, dataset, texts)
        staging.chmod(0o755)
        _replace(staging, out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def check_replaceable(out: Path) -> None:
    """Refuse to write a data set over anything but a data set or an empty directory.

    Raises:
        DataError: `out` is something else.
    """
    if out.exists() and not (out / MANIFEST).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and is not a data set; name another --out or remove it")


def load_dataset(directory: Path) -> SceneGraphDataset:
    """Read a data set directory.

    Raises:
        DataError: it is missing, damaged, or of another format version.
    """
    manifest = read_manifest(directory)
    for name, digest in manifest["sha256"].items():
        if not (directory / name).is_file() or _sha256(directory / name) != digest:
            raise DataError(f"{directory / name} is missing or damaged; run `scenerank prepare` again")
    images = json.loads((directory / "images.json").read_text())
    arrays = load_file(directory / "graphs.safetensors")
    texts = load_file(directory / "texts.safetensors")
    return SceneGraphDataset(
        image_ids=np.array(images["image_ids"], dtype=np.str_),
        graphs=PackedGraphs(**{name: arrays[name] for name in PackedGraphs.__dataclass_fields__}),
        boxes=arrays["boxes"],
        attributes=arrays["attributes"],
        attribute_offsets=arrays["attribute_offsets"],
        attribute_names=images["attribute_names"],
        urls=images["urls"],
        widths=arrays["widths"],
        heights=arrays["heights"],
        split=arrays["split"],
        caption_vectors=texts["caption_vectors"],
        caption_counts=texts["caption_counts"],
        phrase_vectors=texts["phrase_vectors"],
        phrase_counts=texts["phrase_counts"],
        vocabulary=Vocabulary.from_json(json.loads((directory / "vocabulary.json").read_text())),
        word_vectors=WordVectors(
            json.loads((directory / "words.json").read_text()),
            load_file(directory / "word_vectors.safetensors")["vectors"],
        ),
        manifest=manifest,
        # Data sets from before there were sentence encoders lack both.
        sentence_vectors=texts.get("sentence_vectors"),
        sentence_encoder=manifest.get("sentence_encoder"),
    )


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of a data set directory.

    Raises:
        DataError: there is none, or of another format version.
    """
    path = directory / MANIFEST
    try:
        manifest = json.loads(path.read_text())
    except FileNotFoundError:
        raise DataError(f"{directory} is not a data set (no {MANIFEST}); make one with `scenerank prepare`") from None
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}); run `scenerank prepare` again") from None
    if not isinstance(manifest, dict):
        raise DataError(f"{path} is damaged (not a JSON object); run `scenerank prepare` again")
    if manifest.get("format_version") != FORMAT_VERSION:
        version = manifest.get("format_version")
        raise DataError(f"{path} has format version {version}, not {FORMAT_VERSION}; run `scenerank prepare` again")
    return manifest


def read_texts(directory: Path) -> Iterator[dict[str, Any]]:
    """The captions and phrases of each image, in order: {"image_id", "captions", "phrases"}."""
    with (directory / "texts.jsonl").open() as lines:
        yield from map(json.loads, lines)


def _write(staging: Path, dataset: SceneGraphDataset, texts: Iterable[dict[str, Any]]) -> None:
    graphs = {name: getattr(dataset.graphs, name) for name in PackedGraphs.__dataclass_fields__}
    own = ("boxes", "attributes", "attribute_offsets", "widths", "heights", "split")
    save_file({**graphs, **{name: getattr(dataset, name) for name in own}}, staging / "graphs.safetensors")
    vectors = ("caption_vectors", "caption_counts", "phrase_vectors", "phrase_counts")
    sentences = {} if dataset.sentence_vectors is None else {"sentence_vectors": dataset.sentence_vectors}
    save_file({**{name: getattr(dataset, name) for name in vectors}, **sentences}, staging / "texts.safetensors")
    save_file({"vectors": dataset.word_vectors.vectors}, staging / "word_vectors.safetensors")
    documents = {
        "images.json": {
            "image_ids": dataset.image_ids.tolist(),
            "urls": list(dataset.urls),
            "attribute_names": list(dataset.attribute_names),
        },
        "vocabulary.json": dataset.vocabulary.to_json(),
        "words.json": list(dataset.word_vectors.words),
    }
    for name, document in documents.items():
        (staging / name).write_text(json.dumps(document))
    with (staging / "texts.jsonl").open("w") as lines:
        lines.writelines(json.dumps(text) + "\n" for text in texts)
    checksums = {path.name: _sha256(path) for path in sorted(staging.iterdir())}
    manifest = {
        **dataset.manifest,
        "sentence_encoder": dataset.sentence_encoder,
        "format_version": FORMAT_VERSION,
        "sha256": checksums,
    }
    (staging / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    for path in staging.iterdir():
        path.chmod(0o644)  # safetensors writes files that only their owner can read


def _replace(staging: Path, out: Path) -> None:
    """Put the finished directory in place; the one it replaces goes only once the new one stands."""
    old = out.with_name(f".{out.name}-replaced-{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        out.replace(old)
    staging.replace(out)
    shutil.rmtree(old, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
