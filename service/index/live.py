"""What has changed in the catalogue since an index version was made, searchable beside it.

An overlay is a small index of the images added or changed since, with the rows of the version that it hides. It is made
anew, whole, when something changes, and never altered, so that a search sees one state. The next reindex takes it in.
"""

import json
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from model.formats import read_graph
from model.scene_graph import SceneGraph
from service.catalogue import Change, StoredImage
from service.index.postings import FilterIndex, FilterIndexBuilder
from service.index.ranking import Rows, Vectors
from service.index.vector_index import VectorIndex
from service.index.versions import IndexVersion

ENCODED_AT_ONCE: Final = 16  # graphs; a search waits at most for so many
_DEAD_KEPT: Final = 1024  # slots that may be dead, and as many again as are alive, before they are forgotten

Encode = Callable[[Sequence[SceneGraph]], Vectors]
"""Embeds scene graphs with the version's model. Shape (graphs, D)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """Images that have changed, and rows of the version that they, or nothing, take the place of.

    Args:
        ids: in the order of code points; row i of the index, the filters and the images is ids[i].
        index: their vectors.
        filters: over these images; names have the numbers that they have in the version, or higher ones.
        images: what results show of them.
        hidden: rising rows of the version whose images have changed or are gone.
    """

    ids: list[str]
    index: VectorIndex
    filters: FilterIndex
    images: list[StoredImage]
    hidden: Rows

    @classmethod
    def empty(cls, version: IndexVersion) -> Self:
        """Nothing has changed."""
        index = VectorIndex(np.empty((0, version.manifest.dimension), np.float32))
        filters = FilterIndexBuilder(version.checkpoint.resolver, version.filters.names).build()
        return cls(ids=[], index=index, filters=filters, images=[], hidden=np.empty(0, np.int64))


class LiveChanges:
    """Collects the changes since a version was made.

    Each image gets the next slot when it comes; an image that comes again leaves its old slot dead. When many slots
    are dead they are forgotten.

    Args:
        version: the version.
        encode: its model.
    """

    def __init__(self, version: IndexVersion, encode: Encode) -> None:
        self.version = version
        self.revision = version.manifest.catalogue_revision
        """All changes up to this revision have been applied."""
        self._encode = encode
        self._slot_of: dict[str, int] = {}
        self._images: list[StoredImage] = []
        self._vectors = np.empty((0, version.manifest.dimension), np.float32)
        self._filters = FilterIndexBuilder(version.checkpoint.resolver, version.filters.names)
        self._hidden: set[int] = set()

    def apply(self, changes: Sequence[Change]) -> None:
        """Take in changes in their order; those that were taken in before do no harm."""
        latest = {change.image_id: change.image for change in changes}
        added = [image for image in latest.values() if image is not None]
        graphs = [read_graph(json.loads(image.graph), "native") for image in added]
        for start in range(0, len(graphs), ENCODED_AT_ONCE):
            self._store(self._encode(graphs[start : start + ENCODED_AT_ONCE]), start=len(self._images) + start)
        self._filters.add(graphs)
        for image_id in latest:
            self._slot_of.pop(image_id, None)
            row = row_of(self.version.ids, image_id)
            if row is not None:
                self._hidden.add(row)
        for slot, image in enumerate(added, len(self._images)):
            self._slot_of[image.image_id] = slot
        self._images += added
        if len(self._images) > 2 * len(self._slot_of) + _DEAD_KEPT:
            self._compact()

    def overlay(self) -> Overlay:
        """The state that the changes have led to."""
        ids = sorted(self._slot_of)
        slots = np.array([self._slot_of[image_id] for image_id in ids], np.int64)
        row_of_slot = np.full(len(self._images), -1, np.int32)
        row_of_slot[slots] = np.arange(len(slots), dtype=np.int32)
        return Overlay(
            ids=ids,
            index=VectorIndex(self._vectors[slots]),
            filters=self._filters.build(row_of_slot),
            images=[self._images[slot] for slot in slots],
            hidden=np.array(sorted(self._hidden), np.int64),
        )

    def _compact(self) -> None:
        """Forget dead slots, so that images which change all the time take no more room than others."""
        slots = sorted(self._slot_of.values())
        self._images = [self._images[slot] for slot in slots]
        self._slot_of = {image.image_id: slot for slot, image in enumerate(self._images)}
        self._vectors = self._vectors[slots]
        self._filters = FilterIndexBuilder(self.version.checkpoint.resolver, self.version.filters.names)
        self._filters.add([read_graph(json.loads(image.graph), "native") for image in self._images])

    def _store(self, vectors: Vectors, start: int) -> None:
        """Put vectors into slots, in an array that doubles when it is full."""
        stop = start + len(vectors)
        if stop > len(self._vectors):
            grown = np.empty((max(stop, 2 * len(self._vectors)), self._vectors.shape[1]), np.float32)
            grown[:start] = self._vectors[:start]
            self._vectors = grown
        self._vectors[start:stop] = vectors


def row_of(ids: Sequence[str], image_id: str) -> int | None:
    """Where an id is among rising ones."""
    row = bisect_left(ids, image_id)
    return row if row < len(ids) and ids[row] == image_id else None
