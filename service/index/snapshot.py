"""What a search sees: an index version and the changes since, as one state of the catalogue."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from service.catalogue import StoredImage
from service.filters import ResolvedFilter
from service.index.live import Overlay, row_of
from service.index.ranking import Hits, Lookup, Rows
from service.index.versions import IndexVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """An index version with an overlay; rows of the version come first, those of the overlay are numbered on.

    Args:
        version: the version.
        overlay: what has changed since.
        revision: of the catalogue: everything up to it is in the snapshot.
    """

    version: IndexVersion
    overlay: Overlay
    revision: int

    @property
    def name(self) -> str:
        """The same for the same state in every process: the version's name, and the revision if there are changes."""
        name = self.version.manifest.version
        return f"{name}+{self.revision}" if self.overlay.ids or len(self.overlay.hidden) else name

    @property
    def count(self) -> int:
        """How many images can be found."""
        return len(self.version.ids) - len(self.overlay.hidden) + len(self.overlay.ids)

    def id_of(self, row: int) -> str:
        """The id of the image in a row."""
        own = len(self.version.ids)
        return self.version.ids[row] if row < own else self.overlay.ids[row - own]

    def find(self, image_id: str) -> int | None:
        """The row of an image; None if it cannot be found."""
        if (row := row_of(self.overlay.ids, image_id)) is not None:
            return len(self.version.ids) + row
        row = row_of(self.version.ids, image_id)
        if row is None:
            return None
        place = int(np.searchsorted(self.overlay.hidden, row))
        hidden = place < len(self.overlay.hidden) and self.overlay.hidden[place] == row
        return None if hidden else row

    def image(self, row: int) -> StoredImage:
        """What is known of the image in a row."""
        own = len(self.version.ids)
        return self.version.records[row] if row < own else self.overlay.images[row - own]

    def rows(self, wanted: ResolvedFilter) -> Rows:
        """The rows that a filter allows, rising."""
        mask = wanted.mask(self.version.filters)
        mask[self.overlay.hidden] = False
        changed = wanted.mask(self.overlay.filters)
        return np.concatenate([np.flatnonzero(mask), np.flatnonzero(changed) + len(mask)]).astype(np.int64)

    def search(self, lookups: Sequence[Lookup]) -> list[Hits]:
        """The best rows for each lookup: by falling score, then by image id.

        Args:
            lookups: their `allowed` are rows of the snapshot.
        """
        own = len(self.version.ids)
        first = [_part(lookup, 0, own) for lookup in lookups]
        hits = self.version.index.search(first, excluded=self.overlay.hidden if len(self.overlay.hidden) else None)
        if not self.overlay.ids:
            return hits
        second = self.overlay.index.search([_part(lookup, own, own + len(self.overlay.ids)) for lookup in lookups])
        return [self._merge(a, b, lookup.wanted) for a, b, lookup in zip(hits, second, lookups, strict=True)]

    def _merge(self, own: Hits, changed: Hits, wanted: int) -> Hits:
        rows = np.concatenate([own.rows, changed.rows + len(self.version.ids)])
        scores = np.concatenate([own.scores, changed.scores])
        # Rows of either part are in the order of ids, but not all together.
        order = sorted(range(len(rows)), key=lambda place: (-scores[place], self.id_of(int(rows[place]))))[:wanted]
        return Hits(rows[order], scores[order], own.total + changed.total)


def _part(lookup: Lookup, start: int, stop: int) -> Lookup:
    """The lookup in rows start to stop, which are numbered from 0 there."""
    if lookup.allowed is None:
        return lookup
    first, last = np.searchsorted(lookup.allowed, (start, stop))
    return replace(lookup, allowed=lookup.allowed[first:last] - start)
