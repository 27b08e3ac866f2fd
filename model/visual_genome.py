"""A directory in Visual Genome format, read into columns: numbers in arrays, no Python object per object or edge.

    objects.json, relationships.json    required
    image_data.json                     urls and sizes of the images, and their COCO ids (captions are joined over them)
    attributes.json, region_descriptions.json, object_alias.txt, relationship_alias.txt    optional

Each may be packed (.gz, .zip). What is odd in them is counted and passed over, never fatal.
"""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.errors import DataError
from model.files import Opener, find_file, open_plain
from model.visual_genome_tables import NO_ID, NO_NAME, Names, Tables, read_aliases, read_image_data

IntArray = NDArray[np.int32]
Offsets = NDArray[np.int64]

OBJECTS_FILE: Final = "objects.json"
NO_COCO_ID: Final = -1

_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True, slots=True, kw_only=True)
class VisualGenome:
    """N images with O objects and R relationships, in columns; every object has a name, every relationship its ends.

    Shapes:
        image_ids: (N,) in the order of objects.json.
        urls: N addresses, "" where unknown.
        widths, heights: (N,) 0 where unknown. Units: pixels.
        coco_ids: (N,) NO_COCO_ID where the image is not in COCO.
        objects: (O,) numbers into object_names.
        object_ids: (O,) the ids they have in the files.
        boxes: (O, 4) x, y, w, h, NaN where unknown. Units: pixels.
        object_offsets: (N + 1,) image i has objects[object_offsets[i]:object_offsets[i + 1]].
        subjects, targets: (R,) positions among the objects of the same image.
        predicates: (R,) numbers into predicate_names.
        relationship_offsets: (N + 1,).
        attributes, attribute_offsets: (A,) numbers into attribute_names and (O + 1,): the attributes of each object.
        phrases: N texts: the region phrases of an image, one a line.
        object_aliases, predicate_aliases: other name -> the name used here.
        oddities: what was passed over -> how often.
    """

    image_ids: NDArray[np.int64]
    urls: Sequence[str]
    widths: IntArray
    heights: IntArray
    coco_ids: NDArray[np.int64]
    objects: IntArray
    object_ids: NDArray[np.int64]
    boxes: NDArray[np.float32]
    object_offsets: Offsets
    subjects: IntArray
    predicates: IntArray
    targets: IntArray
    relationship_offsets: Offsets
    attributes: IntArray
    attribute_offsets: Offsets
    phrases: Sequence[str]
    object_names: Sequence[str]
    predicate_names: Sequence[str]
    attribute_names: Sequence[str]
    object_aliases: Mapping[str, str]
    predicate_aliases: Mapping[str, str]
    oddities: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.image_ids)


def is_visual_genome(directory: Path) -> bool:
    """Whether a directory holds an objects.json, plain or packed."""
    return find_file(directory, OBJECTS_FILE) is not None


def visual_genome_files(directory: Path) -> list[Path]:
    """The files of a directory that `read_visual_genome` reads."""
    names = (OBJECTS_FILE, "relationships.json", "image_data.json", "attributes.json", "region_descriptions.json")
    found = (find_file(directory, name) for name in (*names, "object_alias.txt", "relationship_alias.txt"))
    return [path for path in found if path is not None]


def read_visual_genome(directory: Path, *, phrases: bool = True, opener: Opener = open_plain) -> VisualGenome:
    """Read a directory in Visual Genome format.

    Args:
        directory: where the files are.
        phrases: whether to read the region phrases, the largest of the official files.
        opener: opens the files.

    Raises:
        DataError: a required file is missing, or a file is damaged or of another kind.
    """
    object_aliases = read_aliases(find_file(directory, "object_alias.txt"), opener)
    predicate_aliases = read_aliases(find_file(directory, "relationship_alias.txt"), opener)
    object_names, predicate_names, attribute_names = Names(object_aliases), Names(predicate_aliases), Names({})
    tables = Tables()
    tables.read_objects(_required(directory, OBJECTS_FILE), object_names, opener)
    tables.read_relationships(_required(directory, "relationships.json"), predicate_names, opener)
    image_data = read_image_data(find_file(directory, "image_data.json"), tables, opener, no_coco_id=NO_COCO_ID)
    attributes_file = find_file(directory, "attributes.json")
    if attributes_file is not None:
        tables.read_attributes(attributes_file, attribute_names, opener)
    regions_file = find_file(directory, "region_descriptions.json") if phrases else None
    texts = [""] * len(tables.image_number) if regions_file is None else tables.read_phrases(regions_file, opener)
    return VisualGenome(
        image_ids=np.fromiter(tables.image_number, np.int64, len(tables.image_number)),
        urls=image_data.urls,
        widths=image_data.widths,
        heights=image_data.heights,
        coco_ids=image_data.coco_ids,
        phrases=texts,
        object_names=object_names.names,
        predicate_names=predicate_names.names,
        attribute_names=attribute_names.names,
        object_aliases=object_aliases,
        predicate_aliases=predicate_aliases,
        **_joined(tables),
        oddities=+tables.oddities,
    )


def find_rows(
    images: NDArray[np.integer],
    ids: NDArray[np.int64],
    wanted_images: NDArray[np.integer],
    wanted_ids: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Where the pairs (image, id) stand in a table of such pairs: the first such row, -1 where there is none.

    Shapes: images, ids (T,); wanted_images, wanted_ids and the result (W,).
    """
    # A pair becomes one number: ids are first replaced by their rank, so that the product cannot overflow.
    ranked = np.unique(ids)
    if not len(ranked):
        return np.full(len(wanted_ids), -1, np.int64)
    keys = images.astype(np.int64) * len(ranked) + np.searchsorted(ranked, ids)
    order = np.argsort(keys, kind="stable")
    rank = np.minimum(np.searchsorted(ranked, wanted_ids), len(ranked) - 1)
    wanted = wanted_images.astype(np.int64) * len(ranked) + rank
    at = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
    rows = order[at]
    return np.where((ranked[rank] == wanted_ids) & (keys[rows] == wanted), rows, -1)


def _joined(tables: Tables) -> dict[str, Any]:
    """The columns of objects, relationships and attributes, the ends of relationships as positions."""
    images = len(tables.image_number)
    object_image, object_id = _array(tables.object_image, np.int32), _array(tables.object_id, np.int64)
    object_name = _array(tables.object_name, np.int32)
    has_id, has_name = object_id != NO_ID, object_name != NO_NAME
    first = find_rows(object_image, object_id, object_image, object_id) == np.arange(len(object_id))
    keep = has_id & has_name & first
    tables.oddities["objects without an object_id"] += int(np.sum(~has_id))
    tables.oddities["objects without a name"] += int(np.sum(has_id & ~has_name))
    tables.oddities["objects given twice in an image"] += int(np.sum(has_id & has_name & ~first))

    # An object answers to its own id and to those that were merged into it; its own comes first.
    merged_object, merged_id = _array(tables.merged_object, np.int64), _array(tables.merged_id, np.int64)
    known = keep[merged_object] & (merged_id != NO_ID)
    rows = np.concatenate([np.flatnonzero(keep), merged_object[known]])
    row_ids = np.concatenate([object_id[keep], merged_id[known]])
    new_row = np.cumsum(keep) - 1
    object_offsets = _offsets(object_image[keep], images)

    def find(wanted_images: IntArray, wanted_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        found = find_rows(object_image[rows], row_ids, wanted_images, wanted_ids)
        return np.where(found >= 0, new_row[rows[found]], -1) if len(rows) else found

    edge_image, predicate = _array(tables.relationship_image, np.int32), _array(tables.predicate, np.int32)
    subjects = find(edge_image, _array(tables.subject_id, np.int64))
    targets = find(edge_image, _array(tables.target_id, np.int64))
    joined, named = (subjects >= 0) & (targets >= 0), predicate != NO_NAME
    tables.oddities["relationships whose subject or object is missing or has no name"] += int(np.sum(~joined))
    tables.oddities["relationships without a predicate"] += int(np.sum(joined & ~named))
    edges = np.flatnonzero(joined & named)
    edges = edges[np.argsort(edge_image[edges], kind="stable")]
    first_object = object_offsets[edge_image[edges]]

    owner = find(_array(tables.attribute_image, np.int32), _array(tables.attribute_object_id, np.int64))
    tables.oddities["attributes of unknown objects"] += int(np.sum(owner < 0))
    attribute = _array(tables.attribute, np.int32)
    kinds = int(attribute.max(initial=0)) + 1
    pairs = np.unique(owner[owner >= 0] * kinds + attribute[owner >= 0])  # an attribute given twice counts once
    return {
        "objects": object_name[keep],
        "object_ids": object_id[keep],
        "boxes": _array(tables.object_box, np.float32).reshape(-1, 4)[keep],
        "object_offsets": object_offsets,
        "subjects": (subjects[edges] - first_object).astype(np.int32),
        "predicates": predicate[edges],
        "targets": (targets[edges] - first_object).astype(np.int32),
        "relationship_offsets": _offsets(edge_image[edges], images),
        "attributes": (pairs % kinds).astype(np.int32),
        "attribute_offsets": _offsets(pairs // kinds, int(keep.sum())),
    }


def _required(directory: Path, name: str) -> Path:
    path = find_file(directory, name)
    if path is None:
        raise DataError(f"{directory} has no {name} (nor {name}.gz or .zip); download it from visualgenome.org")
    return path


def _array(values: array[Any], dtype: type[_Number]) -> NDArray[_Number]:
    return np.frombuffer(values, dtype) if len(values) else np.zeros(0, dtype)


def _offsets(rows: NDArray[np.integer], count: int) -> Offsets:
    """Offsets of `count` rows, given the row of every entry, in any order."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(rows, minlength=count), dtype=np.int64)])
