"""Embedding a collection of scene graphs into one `.npz` file."""

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.atomic import write_atomically
from model.batch import PackedGraphs
from model.checkpoint import Checkpoint
from model.collection import ImageRecord
from model.errors import DataError
from model.inference import embed

_GRAPHS_AT_ONCE: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedCollection:
    """Embeddings of a collection.

    Shapes:
        ids: (N,) image ids as strings.
        embeddings: (N, D) unit rows.
        substituted: how many names were not taken as they stand.
    """

    ids: NDArray[np.str_]
    embeddings: NDArray[np.float32]
    substituted: int


def embed_collection(
    checkpoint: Checkpoint, records: Iterable[ImageRecord], progress: Callable[[int], None] = lambda _: None
) -> EmbeddedCollection:
    """Embed every graph of a collection; unknown names and wildcards are treated as in a query.

    Args:
        checkpoint: the encoder and its vocabulary.
        records: images with their graphs, read some at a time; of several with one id the last counts.
        progress: called with the number of graphs done so far.

    Raises:
        DataError: the collection is empty.
    """
    ids: list[str] = []
    parts: list[NDArray[np.float32]] = []
    substituted = 0
    for chunk in _chunks(records):
        resolved = [checkpoint.resolver.resolve(record.graph) for record in chunk]
        substituted += sum(len(graph.substitutions) for graph in resolved)
        parts.append(embed(checkpoint.encoder, PackedGraphs.pack(resolved)))
        ids += [record.image_id for record in chunk]
        progress(len(ids))
    if not ids:
        raise DataError("the collection has no scene graph to embed; name another directory, file or --split")
    rows = sorted({image_id: row for row, image_id in enumerate(ids)}.values())
    return EmbeddedCollection(
        ids=np.array(ids, np.str_)[rows], embeddings=np.concatenate(parts)[rows], substituted=substituted
    )


def save_embeddings(path: Path, embedded: EmbeddedCollection) -> None:
    """Write `ids` and `embeddings` as a NumPy `.npz` file, whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, ids=embedded.ids, embeddings=embedded.embeddings)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())


def _chunks(records: Iterable[ImageRecord]) -> Iterator[list[ImageRecord]]:
    iterator = iter(records)
    while chunk := list(islice(iterator, _GRAPHS_AT_ONCE)):
        yield chunk
