"""An image as a row in Milvus, and a filter as an expression over such rows.

Filters look for entries: an object, an object with an attribute, a triple, in each of which names may be left open. A
row lists, as numbers, every such entry that its image has, so that a condition is one `array_contains`. A number is
the first 63 bits of an entry's BLAKE2b digest: nothing that a stranger writes comes into an expression as it stands.
"""

import json
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import product
from typing import Any, Final

from model.resolution import NameResolver
from model.scene_graph import SceneGraph
from service.catalogue import StoredImage
from service.filters import Entry, ResolvedFilter
from service.index.milvus import ENTRY_FIELDS, MOST_ENTRIES
from service.index.postings import entries_of
from service.index.ranking import Vectors

_SEPARATOR: Final = "\n"  # which neither the fields of an image nor its graph have
_PART: Final = 16_000  # characters, of four bytes at most
_MOST_PARTS: Final = 256


def row_of_image(
    image: StoredImage, vector: Vectors, graph: SceneGraph, resolver: NameResolver
) -> dict[str, Any] | None:
    """The row of an image; None if it does not fit: more than MOST_ENTRIES entries, or over 4 million characters.

    Args:
        image: the image.
        vector: its embedding. Shape (D,).
        graph: its scene graph.
        resolver: of the model, for the names that filters go by.
    """
    entries: dict[str, set[int]] = {field: set() for field in ENTRY_FIELDS}
    for kind, found in entries_of(graph, resolver).items():
        for names in found:
            for opened in _opened(names):
                entries[_field(opened)].add(number_of(kind, opened))
    record = image.fields + _SEPARATOR + image.graph
    parts = [record[start : start + _PART] for start in range(0, len(record), _PART)]
    if len(parts) > _MOST_PARTS or any(len(found) > MOST_ENTRIES for found in entries.values()):
        return None
    row: dict[str, Any] = {field: sorted(found) for field, found in entries.items()}
    return row | {"id": image.image_id, "vector": vector, "record": parts}


def image_of_row(row: dict[str, Any]) -> StoredImage:
    """The image that a row was made of; needs its `id` and `record`."""
    fields, _, graph = "".join(row["record"]).partition(_SEPARATOR)
    return StoredImage(image_id=row["id"], fields=fields, graph=graph)


def expression_of(wanted: ResolvedFilter) -> str:
    """What rows meet that a filter leaves; an empty one leaves all."""
    conditions = [*map(has, wanted.must), *(f"not ({has(entry)})" for entry in wanted.must_not)]
    return " and ".join(conditions)


def has(entry: Entry) -> str:
    """What rows meet that have an entry."""
    kind, names = entry
    if names is None:
        return 'id == ""'  # no image's
    return f"array_contains({_field(names)}, {number_of(kind, names)})"


def number_of(kind: str, names: Sequence[str | None]) -> int:
    """The number that stands for an entry. Units: none, 0..2^63 - 1."""
    return int.from_bytes(blake2b(json.dumps([kind, *names]).encode(), digest_size=8).digest()) >> 1


def _field(names: Sequence[str | None]) -> str:
    """Where entries are listed that name so many things; apart, because one array would be too short for all."""
    return ENTRY_FIELDS[max(1, len(names) - names.count(None)) - 1]


def _opened(names: Sequence[str]) -> Iterator[tuple[str | None, ...]]:
    """The names with each choice of them left open."""
    yield from product(*((name, None) for name in names))
