import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.middleware import BodyLimitMiddleware, RequestIdMiddleware


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that answers with the body it got."""
    message = await receive()
    assert not message["more_body"], "the whole body at once"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message["body"]})


async def fail(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("secret")


def call(
    app: ASGIApp, chunks: Iterable[bytes] = (b"",), headers: Iterable[tuple[bytes, bytes]] = ()
) -> tuple[int, bytes, Any]:
    """Status, body and headers of a POST whose body comes in these chunks."""
    pending = list(chunks)
    sent: list[Message] = []

    async def receive() -> Message:
        if not pending:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": pending.pop(0), "more_body": bool(pending)}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/x", "headers": list(headers)}

    async def run() -> None:
        await app(scope, receive, send)

    asyncio.run(run())
    start, *rest = sent
    assert not rest[-1].get("more_body", False), "the answer has an end"
    return start["status"], b"".join(message["body"] for message in rest), dict(start["headers"])


@pytest.mark.parametrize("chunks", [[b""], [b"x" * 100], [b"x" * 50] * 2, [b"x"] * 100])
def test_bodies_up_to_the_limit_pass_whole(chunks: list[bytes]) -> None:
    assert call(BodyLimitMiddleware(echo, limit=100), chunks)[:2] == (200, b"".join(chunks))


@pytest.mark.parametrize("chunks", [[b"x" * 101], [b"x" * 60] * 2, [b"x"] * 101, [b"x" * 50] * 1000])
def test_bodies_over_the_limit_are_413(chunks: list[bytes]) -> None:
    status, body, headers = call(BodyLimitMiddleware(echo, limit=100), chunks)

    assert (status, json.loads(body)["status"]) == (413, 413)
    assert headers[b"content-type"] == b"application/problem+json"


@pytest.mark.parametrize("length", [b"101", b"9" * 5000])
def test_an_announced_length_over_the_limit_is_413(length: bytes) -> None:
    assert call(BodyLimitMiddleware(fail, limit=100), [b""], [(b"content-length", length)])[0] == 413


def test_a_client_that_leaves_while_sending_gets_no_answer() -> None:
    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "method": "POST", "path": "/x", "headers": []}
    asyncio.run(BodyLimitMiddleware(echo, limit=100)(scope, gone, send))


def test_an_unforeseen_error_is_a_problem_without_internals_and_logged_with_its_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reports: list[Mapping[str, Any]] = []
    status, body, headers = call(RequestIdMiddleware(fail, reports.append), headers=[(b"x-request-id", b"abc")])

    assert (status, b"secret" in body) == (500, False)
    assert headers[b"x-request-id"] == b"abc"
    assert [(report["request_id"], report["status"]) for report in reports] == [("abc", 500)]
    assert "abc" in caplog.text
    assert "secret" in caplog.text
