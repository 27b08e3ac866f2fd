import asyncio
import json
import logging
from ctypes import c_int

import pytest
from starlette.types import Receive, Scope, Send

from service.admission import Admission, Places
from service.errors import OverloadedError
from service.overload import OverloadMiddleware
from tests.unit.service.test_admission import SEARCH, Client, answer, settled


async def answers(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send)


async def asked(app: OverloadMiddleware, scope: Scope) -> Client:
    client = Client()
    await app(scope, client.receive, client.send)
    return client


def test_searches_are_refused_while_as_many_wait_as_may_and_nothing_else(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.overload._TOLD_EVERY", 0.0)  # when all here have been asked
    refused: list[None] = []
    admission = Admission(1, 60)
    app = OverloadMiddleware(answers, admission, lambda: refused.append(None))

    async def run() -> None:
        assert (await asked(app, SEARCH)).status == 200
        admission.enter()
        for path in ("/search", "/search/batch"):
            client = await asked(app, {**SEARCH, "path": path, "headers": [(b"x-request-id", b"mine")]})
            headers = dict(client.sent[0]["headers"])
            document = json.loads(client.sent[1]["body"])
            assert (client.status, document["type"]) == (503, "urn:scenerank:problem:overloaded")
            assert (document["instance"], headers[b"x-request-id"], headers[b"retry-after"]) == (path, b"mine", b"1")
            assert int(headers[b"content-length"]) == len(client.sent[1]["body"])
            assert headers[b"content-type"] == b"application/problem+json"
        for other in ({"method": "GET"}, {"path": "/livez"}, {"type": "lifespan"}):
            assert (await asked(app, {**SEARCH, **other})).status == 200
        ids = {dict((await asked(app, SEARCH)).sent[0]["headers"])[b"x-request-id"] for _ in range(2)}
        assert len(ids) == 2, "each has one of its own"
        admission.leave()
        assert (await asked(app, SEARCH)).status == 200
        with caplog.at_level(logging.WARNING, "service.overload"):
            await settled()

    asyncio.run(run())
    assert len(refused) == 4
    assert caplog.messages == ["4 searches were refused within a second: as many wait as may"]


def test_a_service_that_ends_closes_connections_with_its_refusals_too() -> None:
    admission = Admission(1, 60)
    admission.enter()
    admission.draining = True
    client = asyncio.run(asked(OverloadMiddleware(answers, admission, lambda: None), SEARCH))
    assert client.status == 200, "is left to what closes connections"


def test_places_are_those_of_all_processes() -> None:
    taken = (c_int * 2)()
    first, second = (Admission(3, 60, Places(taken, which)) for which in range(2))
    first.enter()
    second.enter()
    second.enter()
    assert first.is_full()
    with pytest.raises(OverloadedError):
        first.enter()
    second.leave()
    first.enter()
    assert second.is_full()
    assert (first.waiting, second.waiting, list(taken)) == (2, 1, [2, 1])


def test_while_places_are_scarce_each_process_keeps_to_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("service.admission.time.monotonic", lambda: now)
    taken = (c_int * 2)()
    first, second = (Admission(4, 60, Places(taken, which)) for which in range(2))
    for admission in (first, first, first, second):
        admission.enter()
    assert first.is_full()
    assert second.is_full()

    second.leave()
    assert first.is_full(), "it has more than its share"
    assert not second.is_full()
    first.leave()
    first.leave()
    assert not first.is_full(), "it has less than its share"
    first.enter()
    assert first.is_full()
    assert not second.is_full()

    now += 1.1
    assert not first.is_full(), "there are places enough"
