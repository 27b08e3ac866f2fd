"""The files of Visual Genome one by one, each read into flat arrays as it stands; `model.visual_genome` joins them."""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

import io
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.errors import DataError
from model.files import Opener, open_data, open_plain, stream_json_array
from model.vocabulary import IMAGE, IN_IMAGE, UNKNOWN, normalize_name

NO_ID: Final = -(2**63)
"""Stands for an id that is missing or no whole number."""
NO_NAME: Final = 0
"""Number of the empty name."""

_RESERVED: Final = {IMAGE, IN_IMAGE, UNKNOWN}
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")  # databases refuse NUL, and a lone surrogate has no UTF-8


class Names(dict[object, int]):
    """Numbers names in order of appearance, once normalized and taken from their alias; number 0 is the empty name."""

    def __init__(self, aliases: Mapping[str, str]) -> None:
        super().__init__()
        self.names = [""]
        self._aliases = aliases
        self._number = {"": NO_NAME}

    def __missing__(self, text: object) -> int:
        name = normalize_name(_UNSTORABLE.sub("", text)) if isinstance(text, str) else ""
        name = self._aliases.get(name, name)
        if name in _RESERVED:
            name = ""
        if name not in self._number:
            self._number[name] = len(self.names)
            self.names.append(name)
        self[text] = self._number[name]
        return self[text]


@dataclass(slots=True)
class Tables:
    """What the files say, before joining.

    Shapes: arrays of one group (such as object_*) are as long as each other, object_box four times as long. *_image are
    numbers of images in the order of objects.json; merged_object is a position among the objects.
    """

    oddities: Counter[str] = field(default_factory=Counter)
    image_number: dict[int, int] = field(default_factory=dict)
    object_image: array[int] = field(default_factory=lambda: array("i"))
    object_id: array[int] = field(default_factory=lambda: array("q"))
    object_name: array[int] = field(default_factory=lambda: array("i"))
    object_box: array[float] = field(default_factory=lambda: array("f"))
    merged_object: array[int] = field(default_factory=lambda: array("q"))
    merged_id: array[int] = field(default_factory=lambda: array("q"))
    relationship_image: array[int] = field(default_factory=lambda: array("i"))
    subject_id: array[int] = field(default_factory=lambda: array("q"))
    predicate: array[int] = field(default_factory=lambda: array("i"))
    target_id: array[int] = field(default_factory=lambda: array("q"))
    attribute_image: array[int] = field(default_factory=lambda: array("i"))
    attribute_object_id: array[int] = field(default_factory=lambda: array("q"))
    attribute: array[int] = field(default_factory=lambda: array("i"))

    def read_objects(self, path: Path, names: Names, opener: Opener) -> None:
        """objects.json: the images and their objects."""
        for record, items in _records(path, "objects", opener):
            image_id = _record_id(record)
            if image_id == NO_ID or image_id in self.image_number:
                self.oddities["images without an id or given twice"] += 1
                continue
            image = self.image_number[image_id] = len(self.image_number)
            for item in items:
                self.object_image.append(image)
                self.object_id.append(whole_number(item.get("object_id")))
                self.object_name.append(names[_first_name(item)])
                self.object_box.extend(_box(item))
                for merged in _list(item.get("merged_object_ids")):
                    self.merged_object.append(len(self.object_id) - 1)
                    self.merged_id.append(whole_number(merged))

    def read_relationships(self, path: Path, names: Names, opener: Opener) -> None:
        """relationships.json: the ids at both ends of each relationship and its predicate."""
        for record, items in _records(path, "relationships", opener):
            image = self.image_number.get(_record_id(record))
            if image is None:
                self.oddities["relationships of unknown images"] += len(items)
                continue
            for item in items:
                subject, target = item.get("subject"), item.get("object")
                subject_id = subject.get("object_id") if isinstance(subject, dict) else item.get("subject_id")
                target_id = target.get("object_id") if isinstance(target, dict) else item.get("object_id")
                self.relationship_image.append(image)
                self.subject_id.append(whole_number(subject_id))
                self.predicate.append(names[_hashable(item.get("predicate"))])
                self.target_id.append(whole_number(target_id))

    def read_attributes(self, path: Path, names: Names, opener: Opener) -> None:
        """attributes.json: the attributes of objects, by object id."""
        for record, items in _records(path, "attributes", opener):
            image = self.image_number.get(_record_id(record))
            if image is None:
                self.oddities["attributes of unknown images"] += len(items)
                continue
            for item in items:
                object_id = whole_number(item.get("object_id"))
                for text in _list(item.get("attributes")):
                    number = names[_hashable(text)]
                    if number != NO_NAME:
                        self.attribute_image.append(image)
                        self.attribute_object_id.append(object_id)
                        self.attribute.append(number)

    def read_phrases(self, path: Path, opener: Opener) -> list[str]:
        """region_descriptions.json: the phrases of each image, one a line."""
        phrases = [""] * len(self.image_number)
        for record, items in _records(path, "regions", opener):
            image = self.image_number.get(_record_id(record))
            if image is None:
                self.oddities["region phrases of unknown images"] += len(items)
                continue
            texts = (one_line(item.get("phrase")) for item in items)
            phrases[image] = "\n".join(text for text in (phrases[image], *texts) if text)
        return phrases


@dataclass(slots=True)
class ImageData:
    """image_data.json, in the order of objects.json."""

    urls: list[str]
    widths: NDArray[np.int32]
    heights: NDArray[np.int32]
    coco_ids: NDArray[np.int64]


def read_image_data(path: Path | None, tables: Tables, opener: Opener, *, no_coco_id: int) -> ImageData:
    """What image_data.json says of the images; unknown throughout where there is no such file."""
    count = len(tables.image_number)
    data = ImageData(
        [""] * count, np.zeros(count, np.int32), np.zeros(count, np.int32), np.full(count, no_coco_id, np.int64)
    )
    if path is None:
        return data
    for record in stream_json_array(path, opener=opener):
        if not isinstance(record, dict) or not ("image_id" in record or "id" in record):
            raise DataError(f"{path} holds records without image_id; is it the image_data.json of Visual Genome?")
        image = tables.image_number.get(_record_id(record))
        if image is None:
            tables.oddities["image_data records of images not in objects.json"] += 1
            continue
        url, coco_id = record.get("url"), whole_number(record.get("coco_id"))
        data.urls[image] = _UNSTORABLE.sub("", url) if isinstance(url, str) else ""
        data.widths[image], data.heights[image] = _pixels(record.get("width")), _pixels(record.get("height"))
        data.coco_ids[image] = no_coco_id if coco_id == NO_ID else coco_id
    return data


def read_aliases(path: Path | None, opener: Opener = open_plain) -> dict[str, str]:
    """Other name -> name to use, from an alias file: each line holds the names of one thing, the one to use first."""
    aliases: dict[str, str] = {}
    if path is None:
        return aliases
    with open_data(path, opener=opener) as stream, io.TextIOWrapper(stream, "utf-8-sig") as lines:
        for line in lines:
            first, *others = (normalize_name(name) for name in line.split(","))
            first = aliases.get(first, first)
            if first:
                aliases.setdefault(first, first)  # a later line does not make it an alias of something else
                for name in others:
                    aliases.setdefault(name, first)
    return {alias: name for alias, name in aliases.items() if alias != name and alias}


def whole_number(value: object) -> int:
    """An id as an integer, also from a string of digits; NO_ID where it is none."""
    if not isinstance(value, int):
        try:
            value = int(value) if isinstance(value, str) else NO_ID
        except ValueError:
            return NO_ID
    return value if -(2**63) < value < 2**63 else NO_ID


def one_line(text: object) -> str:
    """A text on one line, without characters that cannot be stored; "" for anything but a text."""
    return " ".join(_UNSTORABLE.sub("", text).split()) if isinstance(text, str) else ""


def _records(path: Path, key: str, opener: Opener) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The records of a file, each with the list of JSON objects it holds."""
    for number, record in enumerate(stream_json_array(path, opener=opener)):
        items = record.get(key) if isinstance(record, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise DataError(f"{path}, record {number}: no list {key!r} of JSON objects; is it the right file?")
        yield record, items


def _record_id(record: dict[str, Any]) -> int:
    return whole_number(record.get("image_id", record.get("id")))


def _first_name(item: dict[str, Any]) -> object:
    """The first of an object's names that is not empty."""
    for name in _list(item.get("names")):
        if isinstance(name, str) and name.strip():
            return name
    return _hashable(item.get("name"))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _hashable(value: object) -> object:
    return value if isinstance(value, str) else None


def _box(item: dict[str, Any]) -> tuple[float, float, float, float]:
    """x, y, w, h; NaN where it is not given in numbers."""
    x, y = item.get("x"), item.get("y")
    w, h = item.get("w", item.get("width")), item.get("h", item.get("height"))
    if (
        isinstance(x, int | float)
        and isinstance(y, int | float)
        and isinstance(w, int | float)
        and isinstance(h, int | float)
    ):
        return (x, y, w, h) if max(abs(x), abs(y), abs(w), abs(h)) < _MAX_PIXELS else _NO_BOX
    return _NO_BOX


def _pixels(value: object) -> int:
    return int(value) if isinstance(value, int | float) and 0 < value < _MAX_PIXELS else 0


_MAX_PIXELS: Final = 1e9
_NO_BOX: Final = (float("nan"),) * 4
