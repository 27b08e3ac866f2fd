"""Searches that are what they should be, answered past the framework, which takes longer over one than all else."""

from typing import Final

from pydantic import ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model.errors import SceneRankError
from service.dependencies import Services, is_one_of
from service.errors import problem_of
from service.middleware import send_problem
from service.routes.search import answer, respond, router
from service.search_schemas import SearchRequest

_PATH: Final = "/search"
_ROUTE: Final = next(route for route in router.routes if getattr(route, "path", None) == _PATH)


class SearchLane:
    """Answers POST /search; a request that is not of the right form goes on to the framework, which says what is wrong.

    Args:
        app: the framework, with the same search as one of its routes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != _PATH:
            await self._app(scope, receive, send)
            return
        state = scope["app"].state
        services: Services = state.services
        body = await receive()  # whole: BodyLimitMiddleware has put it together
        request = _read(body["body"]) if _is_plain(scope, services) else None
        if request is None:
            await self._app(scope, _replay(body, receive), send)
            return
        scope["route"] = _ROUTE
        try:
            found = await answer(request, services, state.metrics)
        except SceneRankError as error:
            document = problem_of(error)
            if document.kind.status == 500:
                raise  # the middleware logs it and answers
            await send_problem(document, scope, send)
        else:
            await respond(found)(scope, receive, send)


def _is_plain(scope: Scope, services: Services) -> bool:
    """Whether a request comes with JSON, and with a key where one is asked for."""
    headers = dict(scope["headers"])
    if headers.get(b"content-type") != b"application/json":
        return False
    settings = services.settings
    key = headers.get(b"x-api-key", b"").decode("latin-1")
    return not settings.search_keys or is_one_of(key, (*settings.search_keys, *settings.admin_keys))


def _read(body: bytes) -> SearchRequest | None:
    try:
        return SearchRequest.model_validate_json(body)
    except ValidationError:
        return None


def _replay(first: Message, receive: Receive) -> Receive:
    """What gives a message that was taken already, then what comes after it."""
    messages = [first]

    async def next_message() -> Message:
        return messages.pop() if messages else await receive()

    return next_message
