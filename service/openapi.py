"""The OpenAPI document and its page: what the framework does not write by itself."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from service.middleware import PROBLEM_JSON, REQUEST_ID
from service.schemas import Problem

PROBLEM_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    "4XX": {"model": Problem, "description": "The request is at fault; `detail` says what and what to do."},
    "5XX": {"model": Problem, "description": "The service is at fault, or not ready (503, with `Retry-After`)."},
}


# Swagger UI puts itself in the place of this, if it comes.
_WITHOUT_INTERNET: Final = """
<p>This page is drawn by Swagger UI, which the browser loads from cdn.jsdelivr.net. Without the internet read
<a href="openapi.json">openapi.json</a>, which holds all of it.</p>
"""


async def docs() -> HTMLResponse:
    """Every call, to try out; and where to read of them if Swagger UI cannot be loaded."""
    page = get_swagger_ui_html(openapi_url="openapi.json", title="SceneRank", swagger_favicon_url="data:,")
    place = '<div id="swagger-ui">'
    return HTMLResponse(bytes(page.body).decode().replace(place, place + _WITHOUT_INTERNET))


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
