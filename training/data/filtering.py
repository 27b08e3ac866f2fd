"""Which images, objects and relationships stay (Maheshwari et al. 2021, "Data"): frequent types, sizable graphs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.batch import PackedGraphs, offsets_of
from model.visual_genome import VisualGenome
from model.visual_genome_tables import NO_NAME
from model.vocabulary import UNKNOWN_ID, Vocabulary
from training.data.report import Report

IntArray = NDArray[np.int32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What stays of a Visual Genome directory.

    Shapes:
        images: (N,) positions of the images that stay, in their old order.
        objects: (O,) positions of the objects that stay.
        graphs: the N packed graphs, in numbers of the vocabulary.
    """

    images: NDArray[np.int64]
    objects: NDArray[np.int64]
    graphs: PackedGraphs
    vocabulary: Vocabulary


def filter_graphs(
    columns: VisualGenome,
    *,
    min_count: int,
    min_objects: int,
    max_objects: int,
    min_relationships: int,
    only_images: Mask | None,
    report: Report,
) -> Kept:
    """Drop rare types with the relationships that used them, then images whose graph is too small or too large.

    Args:
        columns: the directory.
        min_count: object types and predicates seen less often (over all images) go.
        min_objects: images with fewer objects of the types left go.
        max_objects: images with more go.
        min_relationships: images with fewer relationships left go.
        only_images: images that are wanted at all; None is all of them. Shape (images,).
        report: gets a row for every step.
    """
    image_of_object = np.repeat(np.arange(len(columns)), np.diff(columns.object_offsets))
    image_of_edge = np.repeat(np.arange(len(columns)), np.diff(columns.relationship_offsets))
    first_object = columns.object_offsets[image_of_edge]
    subjects, targets = first_object + columns.subjects, first_object + columns.targets

    object_types, object_names = _frequent(columns.objects, columns.object_names, min_count)
    predicate_types, predicate_names = _frequent(columns.predicates, columns.predicate_names, min_count)
    report.add(f"object types seen at least {min_count} times", len(object_names), len(columns.object_names) - 1)
    report.add(f"predicates seen at least {min_count} times", len(predicate_names), len(columns.predicate_names) - 1)

    objects = object_types[columns.objects] > UNKNOWN_ID
    edges = (predicate_types[columns.predicates] > UNKNOWN_ID) & objects[subjects] & objects[targets]
    report.add("objects of these types", int(objects.sum()), len(objects))
    report.add("relationships of these types", int(edges.sum()), len(edges))

    object_counts = np.bincount(image_of_object[objects], minlength=len(columns))
    edge_counts = np.bincount(image_of_edge[edges], minlength=len(columns))
    sized = (object_counts >= min_objects) & (object_counts <= max_objects)
    connected = sized & (edge_counts >= min_relationships)
    report.add(f"images with {min_objects} to {max_objects} objects", int(sized.sum()), len(columns))
    report.add(f"images with relationships ({min_relationships} or more)", int(connected.sum()), int(sized.sum()))
    images = connected
    if only_images is not None:
        images = connected & only_images
        report.add("images named by the split file", int(images.sum()), int(connected.sum()))

    kept_objects, kept_edges = objects & images[image_of_object], edges & images[image_of_edge]
    report.add("objects in these images", int(kept_objects.sum()), int(objects.sum()))
    report.add("relationships in these images", int(kept_edges.sum()), int(edges.sum()))

    new_row = np.cumsum(kept_objects) - 1
    object_offsets = offsets_of(object_counts[images])
    new_image = np.cumsum(images) - 1
    new_first = object_offsets[new_image[image_of_edge[kept_edges]]]
    return Kept(
        images=np.flatnonzero(images),
        objects=np.flatnonzero(kept_objects),
        graphs=PackedGraphs(
            objects=object_types[columns.objects[kept_objects]],
            object_offsets=object_offsets,
            subjects=(new_row[subjects[kept_edges]] - new_first).astype(np.int32),
            predicates=predicate_types[columns.predicates[kept_edges]],
            targets=(new_row[targets[kept_edges]] - new_first).astype(np.int32),
            relationship_offsets=offsets_of(edge_counts[images]),
        ),
        vocabulary=Vocabulary.of_names(
            object_names,
            predicate_names,
            object_aliases=_known(columns.object_aliases, object_names),
            predicate_aliases=_known(columns.predicate_aliases, predicate_names),
        ),
    )


def kept_attributes(columns: VisualGenome, objects: NDArray[np.int64]) -> tuple[IntArray, NDArray[np.int64], list[str]]:
    """The attributes of some objects: numbers, offsets of each object, and the attributes' names, most frequent first.

    Shapes: objects (O,); the result (A,) and (O + 1,).
    """
    counts = np.diff(columns.attribute_offsets)[objects]
    offsets = offsets_of(counts)
    positions = np.arange(offsets[-1]) + np.repeat(columns.attribute_offsets[objects] - offsets[:-1], counts)
    attributes = columns.attributes[positions]
    number, names = _frequent(attributes, columns.attribute_names, 1)
    return number[attributes] - (UNKNOWN_ID + 1), offsets, names


def _frequent(numbers: IntArray, names: Sequence[str], min_count: int) -> tuple[IntArray, list[str]]:
    """New number of every name (UNKNOWN_ID: dropped), and the names seen often enough, by falling count, then name."""
    counts = np.bincount(numbers, minlength=len(names))
    counts[NO_NAME] = 0
    kept = sorted(
        np.flatnonzero(counts >= max(min_count, 1)).tolist(), key=lambda number: (-counts[number], names[number])
    )
    new_number = np.full(len(names), UNKNOWN_ID, np.int32)
    new_number[kept] = np.arange(len(kept)) + UNKNOWN_ID + 1
    return new_number, [names[number] for number in kept]


def _known(aliases: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    known = set(names)
    return {alias: name for alias, name in aliases.items() if name in known}
