"""What every request passes through: an id for it, a limit to its body, and a problem document if all else fails."""

import asyncio
import contextlib
import json
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import HTTP_KINDS, INTERNAL_DETAIL, ProblemDocument
from service.logs import request_id

PROBLEM_JSON: Final = "application/problem+json"
REQUEST_ID: Final = "X-Request-Id"

_SANE_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_CLIENT_LEFT: Final = 499  # nginx's word for a request whose client did not wait for the answer
_DROPPED: Final = 64 * 1024 * 1024  # bytes of a refused body that are still read, and dropped
_LINGER: Final = 5.0  # seconds that this may take

_log = logging.getLogger(__name__)


class RequestIdMiddleware:
    """Gives every response the request's id: the client's own if it is a plain token, else a fresh one.

    An exception that nobody else has answered becomes a 500 here, so that it too carries the id that its traceback is
    logged under.

    Args:
        app: the application.
        report: told of each request that is over: request_id, client, method, path, route, status and ms.
    """

    def __init__(self, app: ASGIApp, report: Callable[[Mapping[str, Any]], None]) -> None:
        self._app = app
        self._report = report

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        own_id = request_id_of(scope)
        request_id.set(own_id)
        begun, status = perf_counter(), _CLIENT_LEFT

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = own_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            _log.exception("request %s: %s %r failed", own_id, scope["method"], scope["path"])
            if status != _CLIENT_LEFT:
                raise
            await send_problem(ProblemDocument(kind=HTTP_KINDS[500], detail=INTERNAL_DETAIL), scope, send_with_id)
        finally:
            client = scope.get("client")
            self._report(
                {
                    "request_id": own_id,
                    "client": client[0] if client else "-",
                    "method": scope["method"],
                    "path": scope["path"],
                    "route": _route(scope),
                    "status": status,
                    "ms": round((perf_counter() - begun) * 1000, 3),
                }
            )


def request_id_of(scope: Scope) -> str:
    """The client's own id of a request if it is a plain token, else a fresh one."""
    given = Headers(scope=scope).get(REQUEST_ID, "")
    return given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex


def _route(scope: Scope) -> str:
    """The pattern of the path, which unlike the path is one of a few."""
    route = scope.get("route")
    return str(getattr(route, "path", "-"))


class BodyLimitMiddleware:
    """Answers 413 to bodies over the limit: at once if the length is announced, else when it is passed.

    Args:
        app: the application, which gets whole bodies.
        limit: Units: bytes.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and (len(announced) > 18 or int(announced) > self._limit):
            await self._refuse(scope, receive, send, more=True)
            return
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._limit:
                await self._refuse(scope, receive, send, more=more)
                return
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self._app(scope, replay, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, *, more: bool) -> None:
        """Answer; `more` says that more of the body may come."""
        detail = f"the body is larger than {self._limit} bytes; send less, or raise SCENERANK_MAX_BODY_BYTES"
        document = ProblemDocument(kind=HTTP_KINDS[413], detail=detail, headers={"Connection": "close"})
        await send_problem(document, scope, send, more=True)
        # Closing while the sender still writes would reset the connection, and the answer with it would be lost.
        dropped = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER):
                while more and dropped < _DROPPED:
                    message = await receive()
                    dropped += len(message.get("body", b""))
                    more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": b""})


async def send_problem(document: ProblemDocument, scope: Scope, send: Send, *, more: bool = False) -> None:
    """Answer with a problem, below the framework; `more` leaves the exchange open."""
    body = encode_problem(document.to_json(scope["path"]))
    headers = {**document.headers, "Content-Type": PROBLEM_JSON, "Content-Length": str(len(body))}
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": document.kind.status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": more})


def encode_problem(document: dict[str, Any]) -> bytes:
    """As ASCII: a problem may quote a lone surrogate, which has no UTF-8."""
    return json.dumps(document).encode("ascii")
