"""The OpenAPI document: what the framework does not write by itself."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

from fastapi import FastAPI

from model.errors import CheckpointError, GraphError, SceneRankError
from model.errors import Problem as FieldProblem
from service.dependencies import ADMIN_SCHEME
from service.errors import (
    HTTP_KINDS,
    KINDS,
    AdminDisabledError,
    CatalogueError,
    DeadlineError,
    DrainingError,
    IndexVersionError,
    JobEndedError,
    KeyRequiredError,
    Kind,
    NoIndexError,
    NotFoundError,
    OverloadedError,
    ProblemDocument,
    RateLimitedError,
    ReindexRunningError,
    RollbackError,
    SubstitutionError,
    VectorStoreError,
)
from service.limits import UNLIMITED
from service.middleware import PROBLEM_JSON, REQUEST_ID
from service.openapi_examples import ANSWERS
from service.openapi_requests import tighten
from service.schemas import Problem
from service.settings import Settings

# Has the framework make the schema of problems; each operation then tells its own.
PROBLEM_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {"4XX": {"model": Problem}}

_INDEX: Final = (NoIndexError, IndexVersionError, VectorStoreError)
_SEARCH: Final = (GraphError, SubstitutionError, NotFoundError, OverloadedError, DeadlineError, *_INDEX)

_ERRORS: Final[dict[tuple[str, str], tuple[type[Exception], ...]]] = {
    ("post", "/search"): _SEARCH,
    ("post", "/search/batch"): (OverloadedError, DeadlineError, *_INDEX),
    ("get", "/vocabulary"): _INDEX,
    ("get", "/images/{image_id}"): (NotFoundError, CatalogueError),
    ("put", "/images/{image_id}"): (GraphError, CatalogueError),
    ("delete", "/images/{image_id}"): (NotFoundError, CatalogueError),
    ("get", "/images/{image_id}/thumbnail.svg"): (NotFoundError, CatalogueError),
    ("get", "/images/{image_id}/picture"): (NotFoundError, CatalogueError),
    ("post", "/reindex"): (
        ReindexRunningError, CheckpointError, CatalogueError, IndexVersionError, VectorStoreError
    ),
    ("get", "/jobs/{job_id}"): (NotFoundError, CatalogueError),
    ("post", "/jobs/{job_id}/cancel"): (NotFoundError, JobEndedError, CatalogueError),
    ("get", "/index"): (*_INDEX, CatalogueError),
    ("get", "/index/versions"): (VectorStoreError,),
    ("post", "/index/rollback"): (
        NotFoundError, RollbackError, ReindexRunningError, CatalogueError, IndexVersionError, VectorStoreError
    ),
    ("get", "/livez"): (),
    ("get", "/readyz"): (*_INDEX, CatalogueError, DrainingError),
    ("get", "/metrics"): (),
}  # fmt: skip
"""What an operation answers with beside what follows from its body, its parameters and its keys."""

_PROBLEMS: Final = (FieldProblem("/graph/objects/0", "what is wrong, and what to do"),)
_REQUEST_ID_HEADER: Final = {
    "description": "The request's own id if it is a plain token, else a new one.",
    "schema": {"type": "string"},
}


def describe(app: FastAPI, settings: Settings) -> None:
    """Have the document tell each operation's problems one by one, show answers, and say what every answer carries.

    Args:
        app: the application, all its routes added.
        settings: whose limits stand in the document.
    """
    made, rate_limited = app.openapi, settings.rate_limit is not None

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = made()
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                _describe(method, path, operation, rate_limited=rate_limited)
        tighten(document["components"]["schemas"], settings)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def kinds_of(method: str, path: str, operation: dict[str, Any], *, rate_limited: bool) -> list[Kind]:
    """The problems that an operation can answer with, by rising status."""
    errors: list[type[Exception]] = [SceneRankError, *_ERRORS.get((method, path), ())]
    statuses: list[int] = []
    if "requestBody" in operation:
        statuses += [400, 413, 415, 422]
    if any(item["in"] != "path" or item["schema"].get("format") == "uuid" or "maxLength" in item["schema"]
           for item in operation.get("parameters", ())):  # fmt: skip
        statuses.append(422)
    schemes = {scheme for item in operation.get("security", ()) for scheme in item}
    if schemes:
        errors.append(KeyRequiredError)
    if ADMIN_SCHEME in schemes:
        errors.append(AdminDisabledError)
    if rate_limited and path not in UNLIMITED:
        errors.append(RateLimitedError)
    kinds = {kind.name: kind for kind in (*(KINDS[error] for error in errors), *(HTTP_KINDS[one] for one in statuses))}
    return sorted(kinds.values(), key=lambda kind: (kind.status, kind.name))


def _describe(method: str, path: str, operation: dict[str, Any], *, rate_limited: bool) -> None:
    responses = operation["responses"]
    for shown in PROBLEM_RESPONSES:
        responses.pop(shown, None)
    for status, kinds in groupby(kinds_of(method, path, operation, rate_limited=rate_limited), lambda one: one.status):
        responses[str(status)] = _problem_response(list(kinds), path)
    for status, response in responses.items():
        response.setdefault("headers", {})[REQUEST_ID] = _REQUEST_ID_HEADER
        if status.startswith("2") and (method, path) in ANSWERS:
            for content in response.get("content", {}).values():
                content["example"] = ANSWERS[method, path]


def _problem_response(kinds: Sequence[Kind], path: str) -> dict[str, Any]:
    """One status: what it can mean, each with a document."""
    examples = {}
    for kind in kinds:
        problem = ProblemDocument(kind=kind, detail=f"{kind.title}: what exactly, and what to do", problems=_PROBLEMS)
        examples[kind.name] = {"summary": kind.title, "value": problem.to_json(path)}
    headers = {}
    if any(kind.retry_after is not None for kind in kinds) or kinds[0].status == 429:
        headers["Retry-After"] = {"description": "When to ask again. Units: seconds.", "schema": {"type": "integer"}}
    if kinds[0].status == 401:
        headers["WWW-Authenticate"] = {"description": "Which key is wanted.", "schema": {"type": "string"}}
    if KINDS[ReindexRunningError] in kinds:
        headers["Location"] = {"description": "The job that is under way.", "schema": {"type": "string"}}
    return {
        "description": "; ".join(f"`{kind.name}`: {kind.title}" for kind in kinds) + ".",
        "headers": headers,
        "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}},
    }
