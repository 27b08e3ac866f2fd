import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ctypes import c_int
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request

from service.admission import Admission, Places
from service.errors import OverloadedError
from service.overload import Refusals, RefusingProtocol

OVERLOADED = "urn:scenerank:problem:overloaded"
MAX_BODY = 1000


async def until(happened: Callable[[], bool]) -> None:
    for _ in range(5000):
        if happened():
            return
        await asyncio.sleep(0.001)
    pytest.fail("it did not happen")


def told_of(caplog: pytest.LogCaptureFixture) -> int:
    """How many refusals the log tells of."""
    lines = [record.getMessage() for record in caplog.records if record.name == "service.overload"]
    assert all("searches were refused within a second" in line for line in lines)
    return sum(int(line.split()[0]) for line in lines)


class Connection:
    """A client's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, target: str = "/search", body: str = "{}", method: str = "POST", **headers: str) -> None:
        fields = {"host": "x", "content-length": str(len(body))} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items() if value)]
        self.send_bytes(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    def send_bytes(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        """Status, headers, body."""
        status, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        headers = dict(line.split(": ", 1) for line in lines)
        body = await self.reader.readexactly(int(headers["content-length"]))
        return int(status.split()[1]), headers, json.loads(body)

    async def ended(self) -> bool:
        """Whether the service closes it, without a word more."""
        async with asyncio.timeout(10):
            return await self.reader.read() == b""

    async def asked(self, target: str = "/search", **options: str) -> str:
        """Who answers: the application, or, before it, what refuses."""
        self.send(target, **options)
        _, _, body = await self.answer()
        return "application" if body == "application" else str(body["type"])


class Service:
    """A server whose application says who it is, when `open` is set."""

    def __init__(self, places: int = 1) -> None:
        self.admission = Admission(places, 60)
        self.refused = 0
        self.open = asyncio.Event()
        self.open.set()
        self.asked = 0
        self._connections: list[Connection] = []
        self._app = FastAPI()
        self._app.state.refusals = Refusals(self.admission, self._count, MAX_BODY)
        self._app.add_api_route("/{path:path}", self._answer, methods=["GET", "POST"])

    async def _answer(self, request: Request) -> str:
        self.asked += 1
        await request.body()
        await self.open.wait()
        return "application"

    def _count(self) -> None:
        self.refused += 1

    @asynccontextmanager
    async def running(self, keep_alive: int = 60) -> AsyncIterator[None]:
        config = uvicorn.Config(
            self._app, port=0, http=RefusingProtocol, log_config=None, lifespan="off", timeout_keep_alive=keep_alive
        )
        self._server = uvicorn.Server(config)
        serving = asyncio.create_task(self._server.serve())
        await until(lambda: self._server.started)
        try:
            yield
        finally:
            for connection in self._connections:
                connection.writer.close()
            self._server.should_exit = True
            await serving

    async def connect(self) -> Connection:
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self._connections.append(Connection(*await asyncio.open_connection("127.0.0.1", port)))
        return self._connections[-1]


def test_searches_are_refused_while_as_many_wait_as_may_and_nothing_else(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.overload._TOLD_EVERY", 0.01)

    async def run() -> None:
        service = Service()
        async with service.running():
            client = await service.connect()
            assert await client.asked() == "application"
            service.admission.enter()
            for path in ("/search", "/search/batch"):
                client.send(path, x_request_id="mine")
                status, headers, document = await client.answer()
                assert (status, document["status"], document["type"]) == (503, 503, OVERLOADED)
                assert (document["instance"], headers["x-request-id"], headers["retry-after"]) == (path, "mine", "1")
                assert headers["content-type"] == "application/problem+json"
            for other in ({"method": "GET"}, {"target": "/livez"}, {"target": "/search/"}, {"target": "/search?a=1"}):
                assert await client.asked(**other) == "application"
            ids = set()
            for given in ("", "a b", "a" * 200):
                client.send(x_request_id=given)
                ids.add((await client.answer())[1]["x-request-id"])
            assert len(ids) == 3, "each has one of its own"
            assert not ids & {"a b", "a" * 200}
            assert service.refused == 5
            await until(lambda: told_of(caplog) == 5)
            assert await client.asked() == OVERLOADED
            await until(lambda: told_of(caplog) == 6)
            service.admission.leave()
            assert await client.asked() == "application"

    asyncio.run(run())


def test_some_searches_over_the_bound_are_left_to_the_application() -> None:
    async def run() -> None:
        service = Service()
        service.admission.enter()
        async with service.running():
            client = await service.connect()
            chunks = {"body": "2\r\n{}\r\n0\r\n\r\n", "content_length": "", "transfer_encoding": "chunked"}
            for left in (chunks, {"body": "x" * (MAX_BODY + 1)}, {"upgrade": "websocket", "connection": "upgrade"}):
                assert await client.asked(**left) == "application"
            assert await client.asked(body="x" * MAX_BODY) == OVERLOADED
            client.send_bytes(b"POST /search HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
            assert b"100 Continue" in await client.reader.readuntil(b"\r\n\r\n")
            client.send_bytes(b"{}")
            assert (await client.answer())[2] == "application"
            service.admission.draining = True
            assert await client.asked() == "application", "which closes connections"
        assert service.refused == 1

    asyncio.run(run())


def test_a_connection_stays_unless_its_client_wants_it_closed() -> None:
    async def run() -> None:
        service = Service()
        service.admission.enter()
        async with service.running():
            client = await service.connect()
            client.send_bytes(b"POST /search HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n{")
            await asyncio.sleep(0.01)
            assert service.refused == 0, "its body is still coming"
            client.send_bytes(b'""}')
            assert (await client.answer())[0] == 503
            client.send(connection="close")
            status, headers, _ = await client.answer()
            assert (status, headers["connection"]) == (503, "close")
            assert await client.ended()

            client = await service.connect()
            client.send(connection="close")
            client.send()
            assert (await client.answer())[0] == 503
            assert await client.ended()
            assert service.refused == 3, "what came after the last request is not one"

        async with service.running(keep_alive=0):
            client = await service.connect()
            assert await client.asked() == OVERLOADED
            assert await client.ended(), "nothing came for as long as it may stay"

    asyncio.run(run())


def test_answers_come_in_the_order_of_the_requests() -> None:
    async def run() -> None:
        service = Service()
        service.open.clear()
        async with service.running():
            client = await service.connect()
            client.send("/livez")
            await until(lambda: service.asked > 0)
            service.admission.enter()
            client.send()
            await asyncio.sleep(0.01)
            assert service.refused == 0
            service.open.set()
            assert (await client.answer())[2] == "application"
            assert (await client.answer())[2] == "application", "it had to wait, so it is the application's"
            client.send()
            client.send("/livez")
            client.send()
            assert [(await client.answer())[0] for _ in range(3)] == [503, 200, 200]

    asyncio.run(run())


def test_answers_to_a_client_that_does_not_read_them_do_not_pile_up() -> None:
    async def run() -> None:
        service = Service()
        service.admission.enter()
        async with service.running():
            client = await service.connect()
            many = 40_000  # more answers than the kernel keeps
            for _ in range(many):
                client.send()
            await until(lambda: service.asked > 0)
            statuses = [(await client.answer())[0] for _ in range(many)]
            assert (statuses.count(503), statuses.count(200)) == (service.refused, service.asked)

    asyncio.run(run())


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
