"""Images with their scene graphs, from a data set, a Visual Genome directory, GQA's file, or a .jsonl file."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.dataset import MANIFEST, SceneGraphDataset, Split, load_dataset
from model.errors import DataError, GraphError
from model.files import Opener, open_data, open_plain, stream_json_object
from model.formats import read_graph
from model.metadata import write_metadata
from model.scene_graph import Box, Relationship, SceneGraph, SceneObject
from model.visual_genome import VisualGenome, is_visual_genome, read_visual_genome


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """An image and its scene graph.

    Args:
        image_id: the image's identifier.
        graph: its scene graph, with at least one object.
        url: where the picture is, if known.
        width: if known. Units: pixels.
        height: if known. Units: pixels.
        metadata: what its owner keeps with it, as parsed JSON.
    """

    image_id: str
    graph: SceneGraph
    url: str | None
    width: int | None
    height: int | None
    metadata: dict[str, Any] | None = None


class Collection:
    """Images one after the other, each built as it is reached; iterate it once or again.

    Args:
        total: images it will yield; None where only reading tells.
        skipped: images left out because their graph has no object; while only reading tells, those met so far.

    `repeated` counts those met so far whose id an earlier one has; whoever needs ids that differ takes the last.
    """

    def __init__(
        self, records: Callable[["Collection"], Iterator[ImageRecord]], total: int | None, skipped: int
    ) -> None:
        self.total = total
        self.skipped = skipped
        self.repeated = 0
        self._records = records

    def __iter__(self) -> Iterator[ImageRecord]:
        return self._records(self)


def read_collection(path: Path, *, split: Split | None = None, opener: Opener = open_plain) -> Collection:
    """The images of a data set directory, a directory in Visual Genome format, or a file (plain, .gz or .zip).

    A file is GQA's own, a JSON object of image id to scene graph with `width` and `height`, or has a scene graph in any
    form of `model.formats` on each line, with `image_id` and, if known, `url`, `width`, `height` and `metadata`. Either
    is read as a stream.

    Args:
        path: the directory or file.
        split: only the images of this split; data sets alone have splits.
        opener: opens the file.

    Raises:
        DataError: there is no such thing, or it is damaged; for a file also while iterating, naming the line or image.
    """
    if (path / MANIFEST).is_file():
        return _of_dataset(load_dataset(path), split)
    if split is not None:
        raise DataError(f"{path} is not a data set, so it has no split {split!r}; leave --split out")
    if path.is_dir():
        if not is_visual_genome(path):
            raise DataError(f"{path} holds neither {MANIFEST} (a data set) nor objects.json (Visual Genome format)")
        return _of_visual_genome(read_visual_genome(path, phrases=False))
    if not path.is_file():
        raise DataError(
            f"{path} does not exist; name a data set, a directory in Visual Genome format, GQA's scene graphs, or a "
            ".jsonl file"
        )
    documents = _gqa_images if _is_gqa(path) else _lines
    return Collection(lambda collection: _records(documents(path, opener), collection), total=None, skipped=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """What a data set and a Visual Genome directory have in common."""

    image_ids: NDArray[Any]
    urls: Sequence[str]
    widths: NDArray[np.int32]
    heights: NDArray[np.int32]
    objects: NDArray[np.int32]
    object_offsets: NDArray[np.int64]
    object_ids: NDArray[np.int64] | None  # None: their positions in the image
    boxes: NDArray[np.float32]
    subjects: NDArray[np.int32]
    predicates: NDArray[np.int32]
    targets: NDArray[np.int32]
    relationship_offsets: NDArray[np.int64]
    attributes: NDArray[np.int32]
    attribute_offsets: NDArray[np.int64]
    object_names: Sequence[str]
    predicate_names: Sequence[str]
    attribute_names: Sequence[str]

    def collection(self, images: NDArray[np.int64]) -> Collection:
        filled = images[np.diff(self.object_offsets)[images] > 0]
        return Collection(
            lambda _: map(self._record, filled.tolist()), total=len(filled), skipped=len(images) - len(filled)
        )

    def _record(self, image: int) -> ImageRecord:
        first, last = self.object_offsets[image : image + 2].tolist()
        edges = slice(*self.relationship_offsets[image : image + 2].tolist())
        ids = range(last - first) if self.object_ids is None else self.object_ids[first:last].tolist()
        objects = tuple(
            SceneObject(
                id=str(object_id), name=self.object_names[name], attributes=self._attributes(row), box=_box(box)
            )
            for row, object_id, name, box in zip(
                range(first, last), ids, self.objects[first:last].tolist(), self.boxes[first:last].tolist(), strict=True
            )
        )
        relationships = tuple(
            Relationship(
                subject=objects[subject].id, predicate=self.predicate_names[predicate], object=objects[target].id
            )
            for subject, predicate, target in zip(
                self.subjects[edges].tolist(),
                self.predicates[edges].tolist(),
                self.targets[edges].tolist(),
                strict=True,
            )
        )
        return ImageRecord(
            image_id=str(self.image_ids[image]),
            graph=SceneGraph(objects, relationships),
            url=self.urls[image] or None,
            width=int(self.widths[image]) or None,
            height=int(self.heights[image]) or None,
        )

    def _attributes(self, row: int) -> tuple[str, ...]:
        numbers = self.attributes[self.attribute_offsets[row] : self.attribute_offsets[row + 1]]
        return tuple(self.attribute_names[number] for number in numbers)


def _of_dataset(dataset: SceneGraphDataset, split: Split | None) -> Collection:
    graphs = dataset.graphs
    columns = _Columns(
        image_ids=dataset.image_ids,
        urls=dataset.urls,
        widths=dataset.widths,
        heights=dataset.heights,
        objects=graphs.objects,
        object_offsets=graphs.object_offsets,
        object_ids=None,
        boxes=dataset.boxes,
        subjects=graphs.subjects,
        predicates=graphs.predicates,
        targets=graphs.targets,
        relationship_offsets=graphs.relationship_offsets,
        attributes=dataset.attributes,
        attribute_offsets=dataset.attribute_offsets,
        object_names=dataset.vocabulary.objects,
        predicate_names=dataset.vocabulary.predicates,
        attribute_names=dataset.attribute_names,
    )
    return columns.collection(np.arange(len(dataset)) if split is None else dataset.members(split))


def _of_visual_genome(genome: VisualGenome) -> Collection:
    columns = _Columns(**{name: getattr(genome, name) for name in _Columns.__dataclass_fields__})
    return columns.collection(np.arange(len(genome)))


_Located = tuple[str, Mapping[str, Any]]
"""Where a document stands, for messages, and what it says."""


def _records(documents: Iterable[_Located], collection: Collection) -> Iterator[ImageRecord]:
    collection.skipped = collection.repeated = 0
    seen: set[str] = set()
    for where, document in documents:
        record = read_record(where, document)
        if record is None:
            collection.skipped += 1
            continue
        collection.repeated += record.image_id in seen
        seen.add(record.image_id)
        yield record


def _lines(path: Path, opener: Opener) -> Iterator[_Located]:
    """The lines of a .jsonl file; empty ones are passed over."""
    with open_data(path, opener=opener) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                where = f"{path}, line {number}"
                yield where, read_line(where, line)


def _is_gqa(path: Path) -> bool:
    """Whether a file is one JSON object whose first value is a scene graph."""
    with suppress(DataError):  # not JSON from the first line on: whoever reads the lines tells
        name, value = next(stream_json_object(path), ("", None))
        return isinstance(value, dict) and "objects" in value and name != "metadata"
    return False


def _gqa_images(path: Path, opener: Opener) -> Iterator[_Located]:
    for image_id, document in stream_json_object(path, opener=opener):
        where = f"{path}, image {image_id[:50]!r}"
        if not isinstance(document, dict):
            raise DataError(f"{where}: not a JSON object; every image has a scene graph")
        yield where, {**document, "image_id": image_id}


def read_record(where: str, document: Mapping[str, Any]) -> ImageRecord | None:
    """The image that a line of a .jsonl file describes; None if its graph has no object.

    Args:
        where: the line, for messages.
        document: what it says.

    Raises:
        DataError: a field has an impossible value.
    """
    image_id = _image_id(where, document)
    if not document.get("objects") and not document.get("relationships"):
        return None
    try:
        graph = read_graph(document)
    except GraphError as error:
        raise DataError(f"{where}: {error}") from None
    return ImageRecord(
        image_id=image_id,
        graph=graph,
        url=_url(where, document),
        width=_pixels(where, document, "width"),
        height=_pixels(where, document, "height"),
        metadata=_metadata(where, document),
    )


def read_line(where: str, line: bytes) -> Mapping[str, Any]:
    """A line of a .jsonl file as JSON.

    Raises:
        DataError: it is no JSON object.
    """
    try:
        document = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # ValueError: bad JSON, bad UTF-8
        raise DataError(f"{where}: not valid JSON ({error}); every line is one scene graph with its image_id") from None
    if not isinstance(document, dict):
        raise DataError(f"{where}: not a JSON object; every line is one scene graph with its image_id")
    return document


def _image_id(where: str, document: Mapping[str, Any]) -> str:
    image_id = document.get("image_id")
    if not isinstance(image_id, str | int) or isinstance(image_id, bool) or image_id == "":
        raise DataError(f"{where}: /image_id: every line needs an image_id, a string or a whole number")
    return str(image_id)


def _url(where: str, document: Mapping[str, Any]) -> str | None:
    url = document.get("url")
    if url is None or isinstance(url, str):
        return url or None
    raise DataError(f"{where}: /url: must be a string")


def _metadata(where: str, document: Mapping[str, Any]) -> dict[str, Any] | None:
    metadata = document.get("metadata")
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        raise DataError(f"{where}: /metadata: must be a JSON object")
    try:
        write_metadata(metadata)
    except ValueError as error:
        raise DataError(f"{where}: /metadata: {error}") from None
    return metadata


def _pixels(where: str, document: Mapping[str, Any], side: str) -> int | None:
    value = document.get(side)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 10**9:
        raise DataError(f"{where}: /{side}: must be a positive whole number of pixels")
    return value


def _box(sides: Sequence[float]) -> Box | None:
    x, y, w, h = sides
    return None if math.isnan(x) else Box(x, y, w, h)
