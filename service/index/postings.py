"""Which images have which objects, attributes and triples: an inverted index, stored in every index version.

    filters/names.json          {"format_version": 1, "objects": [...], "predicates": [...], "attributes": [...]}
    filters/<kind>.keys.npy     (K, U) int32: the U different entries in rising order; a column is an entry, such as
                                the numbers of a subject, a predicate and an object
    filters/<kind>.offsets.npy  (U + 1,) int64: entry i is in the images rows[offsets[i]:offsets[i + 1]]
    filters/<kind>.rows.npy     (P,) int32: rising within each entry

Kinds are objects (name), attributes (object name, attribute) and triples (subject, predicate, object). Names are the
canonical ones of the version's own vocabulary; number 0, the empty name, is a thing without a name. The files are
mapped, not read: a lookup touches what it needs.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from model.resolution import NameResolver
from model.scene_graph import SceneGraph
from model.vocabulary import normalize_name

DIRECTORY: Final = "filters"
PARTS: Final = {
    "objects": ("objects",),
    "attributes": ("objects", "attributes"),
    "triples": ("objects", "predicates", "objects"),
}
"""Kinds of entries, and of what the names are that make up one."""

KINDS: Final = {kind: len(parts) for kind, parts in PARTS.items()}
"""Kinds of entries, and how many numbers make up one."""

NAMELESS: Final = ""

_FORMAT_VERSION: Final = 1
_NAMES: Final = ("objects", "predicates", "attributes")

Mask = NDArray[np.bool_]
Numbers = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Postings:
    """Entries of one kind, and the images that have each.

    Shapes:
        keys: (K, U), offsets: (U + 1,), rows: (P,); see the top of this file.
    """

    keys: Numbers
    offsets: NDArray[np.int64]
    rows: Numbers

    @classmethod
    def of(cls, entries: Numbers, rows: Numbers) -> Self:
        """From entries in any order, repeated ones among them. Shapes (K, E), (E,)."""
        order = np.lexsort((rows, *entries[::-1]))
        entries, rows = entries[:, order], rows[order]
        new_entry = _changes(entries)
        kept = new_entry | _changes(rows[np.newaxis])  # an image counts once for each entry
        entry_of_kept = np.cumsum(new_entry)[kept] - 1
        counts = np.bincount(entry_of_kept, minlength=int(new_entry.sum()))
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
        return cls(np.ascontiguousarray(entries[:, new_entry]), offsets, rows[kept])

    def mask(self, images: int, entry: Sequence[int | None]) -> Mask:
        """Which of so many images have such an entry; None stands for any number. Shape (images,)."""
        first, last = 0, self.keys.shape[1]
        # Known numbers at the front narrow the range by bisection; the rest of it is looked through.
        prefix = 0
        for number in entry:
            if number is None:
                break
            column = self.keys[prefix, first:last]
            first, last = (first + int(edge) for edge in np.searchsorted(column, (number, number + 1)))
            prefix += 1
        chosen = np.ones(last - first, np.bool_)
        for column, number in zip(self.keys[prefix:, first:last], entry[prefix:], strict=True):
            if number is not None:
                chosen &= column == number
        mask = np.zeros(images, np.bool_)
        if chosen.all():
            mask[self.rows[self.offsets[first] : self.offsets[last]]] = True
        else:
            counts = np.diff(self.offsets[first : last + 1])
            mask[self.rows[self.offsets[first] : self.offsets[last]][np.repeat(chosen, counts)]] = True
        return mask


@dataclass(frozen=True, slots=True)
class FilterIndex:
    """All postings of an index version.

    Args:
        images: how many images it has.
        names: for objects, predicates and attributes the number of each canonical name.
        postings: by kind.
    """

    images: int
    names: dict[str, dict[str, int]]
    postings: dict[str, Postings]

    def mask(self, kind: str, entry: Sequence[str | None]) -> Mask:
        """Which images have an entry of these names; None stands for any. Shape (images,)."""
        numbers: list[int | None] = []
        for part, name in zip(PARTS[kind], entry, strict=True):
            if name is not None and name not in self.names[part]:
                return np.zeros(self.images, np.bool_)
            numbers.append(None if name is None else self.names[part][name])
        return self.postings[kind].mask(self.images, numbers)


class FilterIndexBuilder:
    """Collects a filter index, image by image in the order of rows.

    Args:
        resolver: of the model.
        names: numbers that names have already, to which new ones are added.
    """

    def __init__(self, resolver: NameResolver, names: Mapping[str, Mapping[str, int]] | None = None) -> None:
        self._resolver = resolver
        self._numbers = {kind: {NAMELESS: 0} if names is None else dict(names[kind]) for kind in _NAMES}
        self._entries: dict[str, list[Numbers]] = {
            kind: [np.empty((size, 0), np.int32)] for kind, size in KINDS.items()
        }
        self._rows: dict[str, list[Numbers]] = {kind: [np.empty(0, np.int32)] for kind in KINDS}
        self._images = 0

    def add(self, graphs: Sequence[SceneGraph]) -> None:
        """The next images."""
        entries: dict[str, list[tuple[int, ...]]] = {kind: [] for kind in KINDS}
        rows: dict[str, list[int]] = {kind: [] for kind in KINDS}
        for row, graph in enumerate(graphs, self._images):
            for kind, named in entries_of(graph, self._resolver).items():
                found = {tuple(map(self._number, PARTS[kind], names)) for names in named}
                entries[kind] += found
                rows[kind] += [row] * len(found)
        for kind, size in KINDS.items():
            self._entries[kind].append(np.array(entries[kind], np.int32).reshape(-1, size).T)
            self._rows[kind].append(np.array(rows[kind], np.int32))
        self._images += len(graphs)

    def build(self, rows: Numbers | None = None) -> FilterIndex:
        """The index of the images added.

        Args:
            rows: the row that each of them gets, -1 for those to be left out; by default the order they came in.
                Shape (added,).
        """
        if rows is None:
            rows = np.arange(self._images, dtype=np.int32)
        postings = {}
        for kind in KINDS:
            # What has been joined once need not be joined again.
            self._entries[kind] = [np.concatenate(self._entries[kind], axis=1)]
            self._rows[kind] = [np.concatenate(self._rows[kind])]
            row = rows[self._rows[kind][0]]
            postings[kind] = Postings.of(self._entries[kind][0][:, row >= 0], row[row >= 0])
        names = {kind: dict(numbers) for kind, numbers in self._numbers.items()}
        return FilterIndex(int((rows >= 0).sum()), names, postings)

    def _number(self, kind: str, name: str) -> int:
        numbers = self._numbers[kind]
        return numbers.setdefault(name, len(numbers))


def entries_of(graph: SceneGraph, resolver: NameResolver) -> dict[str, list[tuple[str, ...]]]:
    """What filters can find in a graph, by kind: the names of each object, attribute and triple."""
    objects, predicates = resolver.objects, resolver.predicates
    name = {item.id: NAMELESS if item.name is None else objects.canonical(item.name) for item in graph.objects}
    return {
        "objects": [(one,) for one in name.values()],
        "attributes": [(name[item.id], normalize_name(text)) for item in graph.objects for text in item.attributes],
        "triples": [
            (
                name[edge.subject],
                NAMELESS if edge.predicate is None else predicates.canonical(edge.predicate),
                name[edge.object],
            )
            for edge in graph.relationships
        ],
    }


def save_filter_index(directory: Path, index: FilterIndex) -> None:
    """Write the files into a new directory; who seals the version checks and syncs them."""
    directory.mkdir()
    names = {kind: list(numbers) for kind, numbers in index.names.items()}
    (directory / "names.json").write_text(json.dumps({"format_version": _FORMAT_VERSION, **names}))
    for kind, postings in index.postings.items():
        for part in ("keys", "offsets", "rows"):
            np.save(directory / f"{kind}.{part}.npy", getattr(postings, part), allow_pickle=False)


def load_filter_index(directory: Path, images: int) -> FilterIndex:
    """The index that `save_filter_index` wrote, whose checksums have been verified.

    Raises:
        ValueError, OSError: a file is missing, of another format version, or not what it should be.
    """
    document: dict[str, Any] = json.loads((directory / "names.json").read_bytes())
    if document.get("format_version") != _FORMAT_VERSION:
        raise ValueError(f"{directory} has format version {document.get('format_version')}, not {_FORMAT_VERSION}")
    postings = {}
    for kind, size in KINDS.items():
        parts = [_map(directory / f"{kind}.{part}.npy") for part in ("keys", "offsets", "rows")]
        keys, offsets, rows = parts
        if keys.shape != (size, len(offsets) - 1) or offsets[-1] != len(rows) or (len(rows) and rows.max() >= images):
            raise ValueError(f"{directory}: the parts of {kind} do not belong together")
        postings[kind] = Postings(keys, offsets, rows)
    names = {kind: {name: number for number, name in enumerate(document[kind])} for kind in _NAMES}
    return FilterIndex(images, names, postings)


def _map(path: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _changes(columns: Numbers) -> Mask:
    """Whether a column differs from the one before it; the first does. Shapes (K, E) to (E,)."""
    changed = np.ones(columns.shape[1], np.bool_)
    changed[1:] = (columns[:, 1:] != columns[:, :-1]).any(axis=0)
    return changed
