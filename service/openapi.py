"""The parts of the OpenAPI document that the framework does not write by itself."""

from typing import Any, Final

from fastapi import FastAPI

from service.middleware import PROBLEM_JSON, REQUEST_ID
from service.schemas import Problem

PROBLEM_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    "4XX": {"model": Problem, "description": "The request is at fault; `detail` says what and what to do."},
    "5XX": {"model": Problem, "description": "The service is at fault, or not ready (503, with `Retry-After`)."},
}


def describe(app: FastAPI) -> None:
    """Have the document say that problems are application/problem+json and that each answer has its request's id."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = made()
        header = {
            "description": "The request's own id if it is a plain token, else a new one.",
            "schema": {"type": "string"},
        }
        for path in document["paths"].values():
            for operation in path.values():
                for status, response in operation["responses"].items():
                    response.setdefault("headers", {})[REQUEST_ID] = header
                    if status in PROBLEM_RESPONSES:
                        (content,) = response["content"].values()
                        response["content"] = {PROBLEM_JSON: content}
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way
