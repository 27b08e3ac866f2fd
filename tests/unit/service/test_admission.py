import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.admission import Admission, AdmissionMiddleware
from service.search_thread import SearchThread

SEARCH: Scope = {"type": "http", "method": "POST", "path": "/search", "headers": []}


class Client:
    """One exchange: sends a body, leaves when told to, and keeps what it gets."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.sent: list[Message] = []
        self._body_sent = False

    async def receive(self) -> Message:
        if not self._body_sent:
            self._body_sent = True
            return {"type": "http.request", "body": b"{}", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int | None:
        return self.sent[0]["status"] if self.sent else None


async def answer(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def waiting_for(event: asyncio.Event) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["body"] == b"{}"
        await event.wait()
        await answer(send)

    return app


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_searches_over_the_bound_are_refused_and_places_come_free() -> None:
    async def run() -> None:
        admission, go = Admission(2, 60), asyncio.Event()
        app = AdmissionMiddleware(waiting_for(go), admission)
        first = [Client(), Client()]
        tasks = [asyncio.create_task(app(SEARCH, client.receive, client.send)) for client in first]
        await settled()

        refused = Client()
        await app(SEARCH, refused.receive, refused.send)
        assert refused.status == 503
        assert dict(refused.sent[0]["headers"])[b"retry-after"] == b"1"
        assert json.loads(refused.sent[1]["body"])["type"] == "urn:scenerank:problem:overloaded"

        other = Client()
        await app({**SEARCH, "method": "GET", "path": "/livez"}, other.receive, answered_at_once(other, go))
        assert other.status == 200, "only searches wait"
        await asyncio.gather(*tasks)
        assert [client.status for client in first] == [200, 200]
        assert admission.waiting == 0

    def answered_at_once(client: Client, go: asyncio.Event) -> Send:
        go.set()
        return client.send

    asyncio.run(run())


def test_a_place_is_free_when_its_client_gets_the_answer() -> None:
    async def run() -> None:
        admission, go, client = Admission(1, 60), asyncio.Event(), Client()
        waiting: list[int] = []

        async def send(message: Message) -> None:
            waiting.append(admission.waiting)

        go.set()
        await AdmissionMiddleware(waiting_for(go), admission)(SEARCH, client.receive, send)
        await settled()
        assert waiting == [0, 0], "it may ask again at once"
        assert admission.waiting == 0

    asyncio.run(run())


def test_a_late_search_is_504_and_ended() -> None:
    async def run() -> None:
        admission, client = Admission(1, 0.01), Client()
        await AdmissionMiddleware(waiting_for(asyncio.Event()), admission)(SEARCH, client.receive, client.send)
        await settled()
        assert client.status == 504
        assert json.loads(client.sent[1]["body"])["type"] == "urn:scenerank:problem:deadline-exceeded"
        assert admission.waiting == 0

    asyncio.run(run())


def test_an_error_passes_through_and_frees_the_place() -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("broken")

    async def run() -> None:
        admission, client = Admission(1, 60), Client()
        with pytest.raises(RuntimeError, match="broken"):
            await AdmissionMiddleware(fail, admission)(SEARCH, client.receive, client.send)
        assert admission.waiting == 0

    asyncio.run(run())


def test_a_client_that_leaves_ends_its_search_before_the_engine_begins_it(monkeypatch: pytest.MonkeyPatch) -> None:
    thread = SearchThread()
    release, begun = threading.Event(), list[str]()

    def work(queries: list[Any]) -> list[Any]:
        begun.extend(query.name for query in queries)
        release.wait(20)
        return queries

    monkeypatch.setattr("service.search_thread.search", work)

    async def run() -> None:
        admission = Admission(8, 60)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            query: Any = SimpleNamespace(name=scope["name"], snapshot=None, encode_ms=0.0)
            await thread.search(query)
            await answer(send)

        clients = {name: Client() for name in ("first", "leaves", "stays")}
        tasks = []
        for name, client in clients.items():
            one = AdmissionMiddleware(app, admission)({**SEARCH, "name": name}, client.receive, client.send)
            tasks.append(asyncio.create_task(one))
            while not begun:  # noqa: ASYNC110 (the first one is at work before the others come)
                await asyncio.sleep(0.01)
        await settled()
        assert admission.waiting == 3
        clients["leaves"].left.set()
        await settled()
        assert admission.waiting == 2
        release.set()
        await asyncio.gather(*tasks)
        assert begun == ["first", "stays"]
        assert [client.status for client in clients.values()] == [200, None, 200]

    asyncio.run(run())
