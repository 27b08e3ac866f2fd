"""What pydantic finds wrong with a field, as a problem that tells a person what to do."""

from collections.abc import Mapping
from typing import Any

from model.errors import Problem


def message_of_field(item: Mapping[str, Any]) -> str:
    """What pydantic says of a field, but for patterns, which nobody wants to read."""
    return item["msg"] if item["type"] != "string_pattern_mismatch" else "has a form that is not possible; see /docs"


def problem_of_field(item: Mapping[str, Any]) -> Problem:
    """The problem that an error of pydantic's is, its `loc` being a path in the request's body."""
    path = item["loc"]
    message = message_of_field(item)
    pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
    match item["type"]:
        case "extra_forbidden":
            return Problem(pointer, "this version does not support this field; remove it")
        case "missing" if not path:
            return Problem(pointer, "the request needs a JSON object as its body")
        case "missing":
            return Problem(pointer, "this field is required")
        case "dict_type" | "model_type" | "model_attributes_type":
            return Problem(pointer, "must be a JSON object")
        case _:
            return Problem(pointer, message)
