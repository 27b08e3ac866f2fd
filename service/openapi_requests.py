"""What the OpenAPI document says of requests beyond their models: above all what a scene graph is, in its four forms.

Whatever `read_graph` takes is valid, and what is valid it takes, but for what a schema cannot say: that ids differ and
that the ends of relationships are ids of objects.
"""

from typing import Any, Final, get_args

from model.formats import GraphFormat
from service.interpret import MAX_EXPLAINED
from service.rerank import RERANK_WINDOW
from service.settings import Settings

Schema = dict[str, Any]

_GRAPH: Final[Schema] = {"$ref": "#/components/schemas/SceneGraph"}

_NOT_BLANK: Final = r"^[^\x00]*[^\s\x00][^\x00]*$"
_NULL: Final[Schema] = {"type": "null"}
_FORMS: Final[dict[GraphFormat, str]] = {
    "native": "NativeGraph",
    "sg2im": "Sg2imGraph",
    "visual_genome": "VisualGenomeGraph",
    "gqa": "GqaGraph",
}


def graph_schemas(limits: Settings) -> dict[str, Schema]:
    """The components that `_GRAPH` refers to, by their names."""
    text: Schema = {"type": "string", "pattern": _NOT_BLANK, "maxLength": limits.max_name_length}
    name: Schema = {"anyOf": [text, _NULL]}
    key: Schema = {
        "anyOf": [
            {"type": "string", "pattern": r"^[^\x00]+$", "maxLength": limits.max_name_length},
            {"type": "integer"},
        ]
    }
    end: Schema = {"anyOf": [*key["anyOf"], _NULL]}
    thing: Schema = {"attributes": {"anyOf": [{"type": "array", "items": name}, _NULL]}}
    side: Schema = {"type": "number", "exclusiveMinimum": -1e9, "exclusiveMaximum": 1e9}
    box: Schema = {
        "anyOf": [
            {"required": [*"xywh"], "properties": dict.fromkeys("xywh", side)},
            {"properties": dict.fromkeys("xywh", _NULL)},
        ]
    }

    def item(properties: Schema, *required: str) -> Schema:
        return {"type": "object", "properties": properties, "required": list(required)}

    def graph(objects: Schema, relationships: Schema) -> Schema:
        """Anything that has an object, at the end of a relationship at least."""
        lists = {
            "objects": {"type": "array", "maxItems": limits.max_objects, "items": objects},
            "relationships": {"type": "array", "maxItems": limits.max_relationships, "items": relationships},
        }
        return {
            "type": "object",
            "properties": {name: {"anyOf": [values, _NULL]} for name, values in lists.items()},
            "anyOf": [{"required": [name], "properties": {name: {"type": "array", "minItems": 1}}} for name in lists],
        }

    vg_object = item({"object_id": key, **thing}, "object_id") | {
        "allOf": [
            box,
            {
                "anyOf": [
                    {
                        "required": ["names"],
                        "properties": {"names": {"anyOf": [{"type": "array", "items": name}, _NULL]}},
                    },
                    {"required": ["name"], "properties": {"name": name, "names": False}},
                ]
            },
        ]
    }
    vg_end = {"$ref": "#/components/schemas/VisualGenomeObject"}
    vg_edge = item({"predicate": name}, "predicate") | {
        "allOf": [
            {
                "anyOf": [
                    {"required": [f"{role}_id"], "properties": {f"{role}_id": end, role: False}},
                    {"required": [role], "properties": {role: vg_end}},
                ]
            }
            for role in ("subject", "object")
        ]
    }
    gqa_object = item(
        {
            "name": name,
            "relations": {
                "anyOf": [
                    {
                        "type": "array",
                        "maxItems": limits.max_relationships,
                        "items": item({"name": name, "object": end}, "name", "object"),
                    },
                    _NULL,
                ]
            },
            **thing,
        },
        "name",
    )
    return {
        "NativeGraph": graph(
            item({"id": key, "name": name, "object_id": False, "names": False, **thing}, "id", "name") | box,
            item(
                {"subject": end, "predicate": name, "object": end, "subject_id": False},
                "subject",
                "predicate",
                "object",
            ),
        ),
        "Sg2imGraph": graph(
            name, {"type": "array", "prefixItems": [end, name, end], "minItems": 3, "maxItems": 3, "items": False}
        ),
        "VisualGenomeObject": vg_object,
        "VisualGenomeGraph": graph(vg_end, vg_edge),
        "GqaGraph": item(
            {
                "objects": {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": limits.max_objects,
                    "propertyNames": {"pattern": r"^[^\x00]+$", "maxLength": limits.max_name_length},
                    "additionalProperties": gqa_object | box,
                }
            },
            "objects",
        ),
        "SceneGraph": {"anyOf": [{"$ref": f"#/components/schemas/{form}"} for form in _FORMS.values()]},
    }


def tighten(schemas: dict[str, Schema], limits: Settings) -> None:
    """Say of requests what their models check by themselves, and what the settings allow.

    Args:
        schemas: the document's components; altered.
        limits: the settings.
    """
    schemas |= graph_schemas(limits)
    by_graph, *otherwise = _exactly_one("graph", "image_id", "text")
    search, put, condition = schemas["SearchRequest"], schemas["PutImageRequest"], schemas["FilterCondition"]
    search["oneOf"] = [
        by_graph | {"anyOf": _with_form()},
        *(other | {"properties": other["properties"] | {"format": _NULL}} for other in otherwise),
    ]
    page = search["properties"]
    page["limit"]["maximum"], page["offset"]["maximum"] = limits.max_limit, limits.max_window - 1
    search["allOf"] = [
        {
            "if": {"required": ["explain"], "properties": {"explain": {"const": True}}},
            "then": {"properties": {"limit": {"maximum": MAX_EXPLAINED}}},
        },
        {
            "if": {"required": ["rerank"], "properties": {"rerank": {"const": "triples"}}},
            "then": {"properties": {"limit": {"maximum": RERANK_WINDOW}, "offset": {"maximum": RERANK_WINDOW - 1}}},
        },
    ]
    put["anyOf"] = _with_form()
    condition["oneOf"] = _exactly_one("object", "attribute", "triple")
    for name in ("object", "attribute", "triple"):
        text = condition["properties"][name]["anyOf"][0]
        text = text["items"]["anyOf"][0] if name != "object" else text
        text |= {"pattern": _NOT_BLANK, "maxLength": limits.max_name_length}
    condition["properties"]["object"]["not"] = {"const": "*"}


def _with_form() -> list[Schema]:
    """A graph, and what `format` may be beside it: nothing, or the form that the graph has."""
    assert set(_FORMS) == set(get_args(GraphFormat))
    return [
        {"required": ["graph"], "properties": {"graph": _GRAPH, "format": _NULL}},
        *(
            {
                "required": ["graph", "format"],
                "properties": {"graph": {"$ref": f"#/components/schemas/{form}"}, "format": {"const": name}},
            }
            for name, form in _FORMS.items()
        ),
    ]


def _exactly_one(*names: str) -> list[Schema]:
    """For each of some fields: it is there, and not null, and the others are null or absent."""
    return [
        {"required": [name], "properties": {other: {"not": _NULL} if other == name else _NULL for other in names}}
        for name in names
    ]
