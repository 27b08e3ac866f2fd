"""The four written forms of a scene graph: native, sg2im, Visual Genome, GQA; read by their shape, written by name.

    native         {"objects": [{"id": "m", "name": "man", "attributes": ["tall"], "x": 1, "y": 2, "w": 3, "h": 4},
                                {"id": "h", "name": "horse"}],
                    "relationships": [{"subject": "m", "predicate": "riding", "object": "h"}]}
    sg2im          {"objects": ["man", "horse"], "relationships": [[0, "riding", 1]]}
    visual_genome  {"objects": [{"object_id": 1, "names": ["man"], "x": ...}],
                    "relationships": [{"predicate": "riding", "subject_id": 1, "object_id": 2}]},
                   or with the ends nested as {"subject": {"object_id": 1, "name": "man"}, ...}
    gqa            {"objects": {"1": {"name": "man", "relations": [{"name": "riding", "object": "2"}]},
                                "2": {"name": "horse"}}}

In all of them null or "*" in the place of a name, a predicate or an end of a relationship is a wildcard. Boxes (x, y,
w, h in pixels) and attributes are optional. Keys that are not listed here (synsets, image_id, ...) are ignored.
"""

import re
from collections.abc import Callable
from typing import Any, Final, Literal, get_args

from model.errors import GraphError, Problem
from model.graph_reader import WILDCARD, GraphLimits, GraphReader, kind_of
from model.scene_graph import SceneGraph, SceneObject

GraphFormat = Literal["native", "sg2im", "visual_genome", "gqa"]

_NUMBER = re.compile("0|[1-9][0-9]{0,17}")  # an id that survives the way through an integer


def read_graph(
    document: object,
    format: GraphFormat | None = None,  # noqa: A002 (its name in the HTTP interface)
    limits: GraphLimits | None = None,
) -> SceneGraph:
    """The scene graph that a JSON document describes.

    Args:
        document: parsed JSON.
        format: which form it is in; recognised by its shape where not given.
        limits: how large it may be; where a document is a stranger's.

    Raises:
        GraphError: with every problem found, the first hundred where there are very many, each with a JSON pointer
            into the document.
    """
    if not isinstance(document, dict):
        raise GraphError(
            [Problem("", f"a graph is a JSON object with objects and relationships, not {kind_of(document)}")]
        )
    if format is not None and format not in get_args(GraphFormat):
        raise GraphError([Problem("", f"format {format!r} is unknown; use one of {', '.join(get_args(GraphFormat))}")])
    reader = GraphReader(limits or GraphLimits())
    for key, check in (("objects", reader.check_objects), ("relationships", reader.check_relationships)):
        if isinstance(items := document.get(key), list | dict):
            check(items)
    _READERS[format or recognize_format(document)](reader, document)
    return reader.graph()


def recognize_format(document: dict[str, Any]) -> GraphFormat:
    """The form whose shape the document has; native where nothing speaks for another."""
    objects, relationships = document.get("objects"), document.get("relationships")
    if isinstance(objects, dict):
        return "gqa"
    first = objects[0] if isinstance(objects, list) and objects else {}
    first_edge = relationships[0] if isinstance(relationships, list) and relationships else None
    if first is None or isinstance(first, str) or isinstance(first_edge, list):
        return "sg2im"
    if isinstance(first, dict) and ("object_id" in first or "names" in first):
        return "visual_genome"
    if isinstance(first_edge, dict) and ("subject_id" in first_edge or isinstance(first_edge.get("subject"), dict)):
        return "visual_genome"
    return "native"


def write_graph(graph: SceneGraph, format: GraphFormat = "native") -> dict[str, Any]:  # noqa: A002
    """The graph as a JSON document; `read_graph` reads it back.

    sg2im has no room for ids, attributes and boxes, Visual Genome none for ids that are not numbers (positions stand in
    for them), and GQA groups relationships by their subject: what a form cannot say is lost.
    """
    return _WRITERS[format](graph)


def _read_native(reader: GraphReader, document: dict[str, Any]) -> None:
    for pointer, item in reader.entries(document, "objects"):
        if reader.has(item, ("id", "name"), pointer):
            key = reader.id(item["id"], f"{pointer}/id")
            name = reader.text(item["name"], f"{pointer}/name", "name")
            if key is not None:
                reader.add_object(key, name, item, pointer, "/id")
    for pointer, item in reader.entries(document, "relationships"):
        if reader.has(item, ("subject", "predicate", "object"), pointer):
            pointers = (f"{pointer}/subject", f"{pointer}/predicate", f"{pointer}/object")
            reader.add_relationship(item["subject"], item["predicate"], item["object"], pointers)


def _read_sg2im(reader: GraphReader, document: dict[str, Any]) -> None:
    names = reader.items(document, "objects")
    for index, name in enumerate(names):
        pointer = f"/objects/{index}"
        reader.add_object(str(index), reader.text(name, pointer, "name"), {}, pointer)
    for index, triple in enumerate(reader.items(document, "relationships")):
        pointer = f"/relationships/{index}"
        if not isinstance(triple, list) or len(triple) != 3:
            reader.fail(pointer, "a relationship is [subject position, predicate, object position]")
            continue
        reader.add_relationship(triple[0], triple[1], triple[2], (f"{pointer}/0", f"{pointer}/1", f"{pointer}/2"))


def _read_visual_genome(reader: GraphReader, document: dict[str, Any]) -> None:
    for pointer, item in reader.entries(document, "objects"):
        _visual_genome_object(reader, item, pointer)
    for pointer, item in reader.entries(document, "relationships"):
        subject_at = _visual_genome_end(reader, item, "subject", pointer)
        object_at = _visual_genome_end(reader, item, "object", pointer)
        if reader.has(item, ("predicate",), pointer) and subject_at is not None and object_at is not None:
            (subject, subject_pointer), (target, target_pointer) = subject_at, object_at
            pointers = (subject_pointer, f"{pointer}/predicate", target_pointer)
            reader.add_relationship(subject, item["predicate"], target, pointers)


def _visual_genome_end(reader: GraphReader, item: dict[str, Any], role: str, pointer: str) -> tuple[object, str] | None:
    """The id at one end of a relationship, flat or nested, and its pointer."""
    nested = item.get(role)
    if not isinstance(nested, dict):
        key = f"{role}_id"
        return (item[key], f"{pointer}/{key}") if reader.has(item, (key,), pointer) else None
    pointer = f"{pointer}/{role}"
    if not reader.has(nested, ("object_id",), pointer):
        return None
    key = nested["object_id"]
    # The nested copy carries the name, so that relationships alone describe a graph.
    if key is not None and str(key) not in reader.objects:
        _visual_genome_object(reader, nested, pointer)
    return key, f"{pointer}/object_id"


def _visual_genome_object(reader: GraphReader, item: dict[str, Any], pointer: str) -> None:
    key = reader.id(item.get("object_id"), f"{pointer}/object_id")
    if "names" not in item and not reader.has(item, ("name",), pointer):
        return
    names = [*reader.items(item, "names", pointer), item.get("name")]
    given = next((name for name in names if name is not None and name != ""), None)
    name = reader.text(given, f"{pointer}/names/0" if "names" in item else f"{pointer}/name", "name")
    if key is not None:
        reader.add_object(key, name, item, pointer, "/object_id")


def _read_gqa(reader: GraphReader, document: dict[str, Any]) -> None:
    objects = document.get("objects")
    if not isinstance(objects, dict):
        reader.fail("/objects", f"in the gqa form objects is a JSON object of id to object, not {kind_of(objects)}")
        return
    relations: list[tuple[str, str, dict[str, Any]]] = []
    for key, item in objects.items():
        pointer = f"/objects/{_escape(key)}"
        if not isinstance(item, dict):
            reader.fail(pointer, f"must be a JSON object, not {kind_of(item)}")
        elif reader.id(key, pointer) is not None and reader.has(item, ("name",), pointer):
            reader.add_object(key, reader.text(item["name"], f"{pointer}/name", "name"), item, pointer)
            relations += [(key, where, relation) for where, relation in reader.entries(item, "relations", pointer)]
            reader.check_relationships(relations)
    for subject, pointer, relation in relations:
        if reader.has(relation, ("name", "object"), pointer):
            pointers = (pointer, f"{pointer}/name", f"{pointer}/object")
            reader.add_relationship(subject, relation["name"], relation["object"], pointers)


def _write_native(graph: SceneGraph) -> dict[str, Any]:
    return {
        "objects": [
            {"id": item.id, "name": item.name, "attributes": list(item.attributes), **_box(item)}
            for item in graph.objects
        ],
        "relationships": [
            {"subject": edge.subject, "predicate": edge.predicate, "object": edge.object}
            for edge in graph.relationships
        ],
    }


def _write_sg2im(graph: SceneGraph) -> dict[str, Any]:
    position = {item.id: index for index, item in enumerate(graph.objects)}
    return {
        "objects": [item.name for item in graph.objects],
        "relationships": [
            [position[edge.subject], edge.predicate, position[edge.object]] for edge in graph.relationships
        ],
    }


def _write_visual_genome(graph: SceneGraph) -> dict[str, Any]:
    numeric = all(_NUMBER.fullmatch(item.id) for item in graph.objects)
    number = {item.id: int(item.id) if numeric else index for index, item in enumerate(graph.objects)}
    return {
        "objects": [
            {
                "object_id": number[item.id],
                "names": [item.name if item.name is not None else WILDCARD],
                "attributes": list(item.attributes),
                **_box(item),
            }
            for item in graph.objects
        ],
        "relationships": [
            {
                "relationship_id": index,
                "subject_id": number[edge.subject],
                "predicate": edge.predicate,
                "object_id": number[edge.object],
            }
            for index, edge in enumerate(graph.relationships)
        ],
    }


def _write_gqa(graph: SceneGraph) -> dict[str, Any]:
    relations: dict[str, list[dict[str, Any]]] = {item.id: [] for item in graph.objects}
    for edge in graph.relationships:
        relations[edge.subject].append({"name": edge.predicate, "object": edge.object})
    return {
        "objects": {
            item.id: {
                "name": item.name,
                "attributes": list(item.attributes),
                "relations": relations[item.id],
                **_box(item),
            }
            for item in graph.objects
        }
    }


def _box(item: SceneObject) -> dict[str, float]:
    """The box as JSON; whole pixels as integers, as the data sets have them."""
    if item.box is None:
        return {}
    sides = zip("xywh", (item.box.x, item.box.y, item.box.w, item.box.h), strict=True)
    return {side: int(value) if value.is_integer() else value for side, value in sides}


def _escape(key: str) -> str:
    """A key as a JSON pointer spells it (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


_READERS: Final[dict[GraphFormat, Callable[[GraphReader, dict[str, Any]], None]]] = {
    "native": _read_native,
    "sg2im": _read_sg2im,
    "visual_genome": _read_visual_genome,
    "gqa": _read_gqa,
}
_WRITERS: Final[dict[GraphFormat, Callable[[SceneGraph], dict[str, Any]]]] = {
    "native": _write_native,
    "sg2im": _write_sg2im,
    "visual_genome": _write_visual_genome,
    "gqa": _write_gqa,
}
