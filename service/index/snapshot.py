"""What a search sees: an index version and the changes since, as one state of the catalogue."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np

from service.catalogue import StoredImage
from service.filters import ResolvedFilter
from service.index.live import Overlay, row_of
from service.index.ranking import Hits, Lookup, Rows
from service.index.state import NameKind, Page, PageQuery, Selection
from service.index.versions import IndexVersion
from service.vocabulary_search import count_images


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

    @property
    def changed(self) -> int:
        """How many images have changed since the version was made."""
        return len(self.overlay.ids)

    @property
    def removed(self) -> int:
        """How many images of the version have changed or are gone."""
        return len(self.overlay.hidden)

    @property
    def names(self) -> Mapping[str, Container[str]]:
        """The names that images have, or had."""
        return self.overlay.filters.names  # those of the version, and more

    def name_counts(self, kind: NameKind) -> Mapping[str, int]:
        """How many images have each name."""
        changed = self.overlay.filters
        numbers = changed.names[f"{kind}s"]
        images = count_images(kind, self.version.filters, len(numbers)) + count_images(kind, changed, len(numbers))
        if len(self.overlay.hidden):
            images -= count_images(kind, self.version.filters, len(numbers), self.overlay.hidden)
        self.version.files.require_intact()
        return {name: int(images[number]) for name, number in numbers.items()}

    def get(self, image_id: str) -> StoredImage | None:
        """An image, if it can be found."""
        row = self.find(image_id)
        return None if row is None else self.image(row)

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

    def select(self, wanted: ResolvedFilter) -> Rows:
        """The rows that a filter allows, rising."""
        mask = wanted.mask(self.version.filters)
        self.version.files.require_intact()
        mask[self.overlay.hidden] = False
        changed = wanted.mask(self.overlay.filters)
        return np.concatenate([np.flatnonzero(mask), np.flatnonzero(changed) + len(mask)]).astype(np.int64)

    def pages(self, queries: Sequence[PageQuery]) -> list[Page]:
        """The pages asked for."""
        hits = self.search(
            [
                Lookup(
                    query=query.vector,
                    wanted=query.offset + query.limit,
                    min_score=query.min_score,
                    allowed=_rows(query.selection),
                )
                for query in queries
            ]
        )
        self.version.files.require_intact()
        return [
            Page(
                images=_Images(self, found.rows[query.offset :].tolist()),
                scores=found.scores[query.offset :].tolist(),
                total=found.total,
                total_is_exact=query.selection is not None or self.version.index.is_exact,
            )
            for query, found in zip(queries, hits, strict=True)
        ]

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


class _Images(Sequence[StoredImage]):
    """The images in some rows, read when they are looked at."""

    def __init__(self, snapshot: Snapshot, rows: list[int]) -> None:
        self._snapshot, self._rows = snapshot, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[StoredImage]:
        if all(row < len(self._snapshot.version.ids) for row in self._rows):
            return iter(self._snapshot.version.records.read(self._rows))
        return map(self._snapshot.image, self._rows)

    @overload
    def __getitem__(self, place: int) -> StoredImage: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[StoredImage]: ...
    def __getitem__(self, place: int | slice) -> StoredImage | Sequence[StoredImage]:
        if isinstance(place, slice):
            return _Images(self._snapshot, self._rows[place])
        return self._snapshot.image(self._rows[place])


def _rows(selection: Selection | None) -> Rows | None:
    assert not isinstance(selection, str), "a selection belongs to the state that made it"
    return selection


def _part(lookup: Lookup, start: int, stop: int) -> Lookup:
    """The lookup in rows start to stop, which are numbered from 0 there."""
    if lookup.allowed is None:
        return lookup
    first, last = np.searchsorted(lookup.allowed, (start, stop))
    return replace(lookup, allowed=lookup.allowed[first:last] - start)
