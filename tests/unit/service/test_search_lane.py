import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.types import Message, Receive, Scope, Send

import service.search_lane as module
from model.errors import DataError
from service.errors import NoIndexError
from service.search_lane import SearchLane
from service.search_schemas import SearchRequest, SearchResponse, Took
from service.settings import Settings

BODY = b'{"graph": {"objects": ["man"]}}'


def ask(
    monkeypatch: pytest.MonkeyPatch,
    *,
    body: bytes = BODY,
    path: str = "/search",
    headers: dict[bytes, bytes] | None = None,
    keys: tuple[str, ...] = (),
    error: Exception | None = None,
) -> tuple[bytes | None, bytes]:
    """What the framework was given, None if it was left out, and what was sent."""
    forwarded: list[bytes] = []
    sent: list[Message] = []

    async def framework(_scope: Scope, receive: Receive, _send: Send) -> None:
        forwarded.append((await receive())["body"])
        assert (await receive())["type"] == "http.disconnect"

    async def answer(_body: SearchRequest, *_: object) -> SearchResponse:
        if error is not None:
            raise error
        return SearchResponse(
            results=[],
            total=0,
            total_is_exact=True,
            index_version="1",
            model_version="2",
            took_ms=Took(encode=0, search=0, total=0),
            warnings=[],
            query={},
        )

    messages: list[Message] = [
        {"type": "http.request", "body": body, "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    monkeypatch.setattr(module, "answer", answer)
    settings = Settings(search_keys=tuple(map(SecretStr, keys)), admin_keys=(SecretStr("admin"),))
    state = SimpleNamespace(services=SimpleNamespace(settings=settings), metrics=None)
    headers = {b"content-type": b"application/json"} | (headers or {})
    scope = {
        "type": "http", "method": "POST", "path": path, "headers": list(headers.items()),
        "app": SimpleNamespace(state=state),
    }  # fmt: skip
    asyncio.run(SearchLane(framework)(scope, receive, send))
    return (forwarded[0] if forwarded else None), b"".join(message.get("body", b"") for message in sent)


@pytest.mark.parametrize("key", [b"one", b"admin"])
def test_what_is_plainly_right_does_not_reach_the_framework(monkeypatch: pytest.MonkeyPatch, key: bytes) -> None:
    assert ask(monkeypatch)[0] is None
    forwarded, sent = ask(monkeypatch, keys=("one", "two"), headers={b"x-api-key": key})
    assert forwarded is None
    assert b'"index_version":"1"' in sent


@pytest.mark.parametrize(
    "request_",
    [
        {"path": "/search/batch"},
        {"headers": {b"content-type": b"text/plain"}},
        {"keys": ("one",)},
        {"keys": ("one",), "headers": {b"x-api-key": b"two"}},
        {"body": b'{"graph": 1}'},
        {"body": b"{"},
    ],
    ids=repr,
)
def test_all_else_reaches_the_framework_as_it_came(monkeypatch: pytest.MonkeyPatch, request_: dict[str, Any]) -> None:
    forwarded, sent = ask(monkeypatch, **request_)

    assert forwarded == request_.get("body", BODY)
    assert sent == b""


def test_a_search_that_fails_is_told_and_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    forwarded, sent = ask(monkeypatch, error=NoIndexError("nothing is indexed yet"))

    assert forwarded is None
    assert json.loads(sent)["detail"] == "nothing is indexed yet"
    with pytest.raises(DataError):  # a fault of the service, which the middleware answers
        ask(monkeypatch, error=DataError("damaged"))
    with pytest.raises(ZeroDivisionError):
        ask(monkeypatch, error=ZeroDivisionError())
