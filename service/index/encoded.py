"""Vectors for a new index version: from the encoder, or from parts of a bulk encoding where they are still right."""

import heapq
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np

from model.batch import PackedGraphs
from model.checkpoint import Checkpoint
from model.errors import ConfigError
from model.inference import embed, prepare_for_inference
from model.scene_graph import SceneGraph
from service.bulk_part import read_made_of
from service.catalogue import StoredImage
from service.errors import ReindexError
from service.index.milvus_rows import image_of_row
from service.index.ranking import Vectors

_COLUMNS: Final = ("id", "vector", "record")


class ImageEncoder:
    """Embeds images that come by rising id.

    Args:
        model: the model.
        encoded: a directory of parts that `scenerank bulk-encode` made, if there is one. Images that have the same
            graph in a part as in the catalogue need not be encoded; what the parts lack or have otherwise is.

    Raises:
        ReindexError: there is no part, or one was made with another model.
        ConfigError: pyarrow is not installed.
    """

    def __init__(self, model: Checkpoint, encoded: Path | None = None) -> None:
        self._encoder, self._resolver = prepare_for_inference(model.encoder), model.resolver
        self._dimension = model.encoder.config.dimension
        self._known = iter(()) if encoded is None else _merged(_parts(encoded, model.digest))
        self._next = next(self._known, None)
        self.reused = 0
        """Images that did not have to be encoded."""

    def embed(self, images: Sequence[StoredImage], graphs: Sequence[SceneGraph]) -> Vectors:
        """Unit vectors of the next images.

        Shapes:
            returns: (images, D).

        Raises:
            ReindexError: the encoder gives something that is not a number.
        """
        found = [self._look_up(image) for image in images]
        missing = [place for place, vector in enumerate(found) if vector is None]
        vectors = np.empty((len(images), self._dimension), np.float32)
        for place, vector in enumerate(found):
            if vector is not None:
                vectors[place] = vector
        if missing:
            packed = PackedGraphs.pack(self._resolver.resolve(graphs[place]) for place in missing)
            vectors[missing] = embed(self._encoder, packed)
        if not np.isfinite(vectors).all():
            raise ReindexError("the encoder gives vectors that are not finite; use another checkpoint")
        self.reused += len(images) - len(missing)
        return vectors

    def _look_up(self, image: StoredImage) -> list[float] | None:
        """The vector of the image's graph in the parts; the image may be in several of them."""
        found = None
        while self._next is not None and self._next["id"] <= image.image_id:
            if self._next["id"] == image.image_id and image_of_row(self._next).graph == image.graph:
                found = self._next["vector"]
            self._next = next(self._known, None)
        return found


def _parts(directory: Path, digest: str) -> list[Path]:
    try:
        parts = {part: read_made_of(part) for part in sorted(directory.glob("*.parquet"))}
    except ImportError as error:
        raise ConfigError(f"encoded parts need the Python package {error.name}; install scenerank[bulk]") from None
    if not parts:
        raise ReindexError(f"{directory} holds no encoded parts; make some with `scenerank bulk-encode`")
    for part, made_of in parts.items():
        if made_of is None or made_of["model_digest"] != digest:
            raise ReindexError(
                f"{part} was made with another model, or is damaged; name the checkpoint that it was made with, or "
                "encode again"
            )
    return list(parts)


def _merged(parts: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """The rows of all parts by rising id, of which a few of each part are in memory."""
    numbers = count()  # rows of one id cannot be compared
    keyed = (((row["id"], next(numbers), row) for row in _read(part)) for part in parts)
    return (row for _, _, row in heapq.merge(*keyed))


def _read(part: Path) -> Iterator[dict[str, Any]]:
    """The rows of a part, which rise by id. It is opened for each group: there may be more parts than open files."""
    import pyarrow.parquet as pq  # noqa: PLC0415 (an extra)

    for group in range(pq.read_metadata(part).num_row_groups):
        with pq.ParquetFile(part) as file:
            rows = file.read_row_group(group, columns=list(_COLUMNS)).to_pylist()
        yield from rows
