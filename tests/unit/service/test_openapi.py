"""The OpenAPI document is complete, and its examples are what it says."""

import os
import subprocess
import sys
from typing import Any

import jsonschema_rs
import pytest
from pydantic import SecretStr

from service.app import create_app
from service.errors import KINDS
from service.openapi import _ERRORS
from service.openapi_examples import ANSWERS
from service.settings import Settings

DOCUMENT: dict[str, Any] = create_app(
    Settings(admin_keys=(SecretStr("key"),), search_keys=(SecretStr("other"),), rate_limit=5)
).openapi()
OPERATIONS = [(method, path) for path, operations in DOCUMENT["paths"].items() for method in operations]


def errors_of(schema: dict[str, Any], value: object) -> list[str]:
    whole = {
        "$ref": "#/components/schemas/Whole",
        "components": {"schemas": DOCUMENT["components"]["schemas"] | {"Whole": schema}},
    }
    return [error.message for error in jsonschema_rs.validator_for(whole).iter_errors(value)]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_an_operation_is_described_with_examples_that_fit(method: str, path: str) -> None:
    operation = DOCUMENT["paths"][path][method]
    assert operation["summary"]
    assert operation["description"]
    assert (method, path) in _ERRORS, "say which errors it has"
    assert "500" in operation["responses"]
    if "requestBody" in operation:
        media = operation["requestBody"]["content"]["application/json"]
        for name, example in media["examples"].items():
            assert errors_of(media["schema"], example["value"]) == [], name
    for status, response in operation["responses"].items():
        for kind, media in response.get("content", {}).items():
            examples = [example["value"] for example in media.get("examples", {}).values()]
            examples += [media["example"]] if "example" in media else []
            assert examples or kind.startswith("image/"), f"{status} has no example"
            for example in examples:
                assert errors_of(media["schema"], example) == [], (status, example)


def test_nothing_is_told_of_operations_that_there_are_not() -> None:
    assert set(_ERRORS) == set(OPERATIONS)
    assert set(ANSWERS) <= set(OPERATIONS)


def test_every_problem_appears_somewhere() -> None:
    text = str(DOCUMENT)
    assert [kind.name for kind in KINDS.values() if f"problem:{kind.name}'" not in text] == []


def test_what_does_not_fit_is_noticed() -> None:
    schema = {"$ref": "#/components/schemas/SearchRequest"}
    assert errors_of(schema, {"text": "man", "limit": 0})
    assert not errors_of(schema, {"text": "man", "limit": 1})


def test_every_process_writes_the_same_document() -> None:
    program = (
        "import json; from service.app import create_app; from service.settings import Settings\n"
        "print(json.dumps(create_app(Settings()).openapi()))"
    )
    written = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(written) == 1
