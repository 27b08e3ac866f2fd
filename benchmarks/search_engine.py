"""The engine without HTTP, for benchmarks/search.py: processes that are told on standard input what to measure.

Either the engine alone, with queries that were read beforehand, or all that the service does but HTTP: reading the body
of a request, the search, and the body of the answer.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from fastapi import Response

from benchmarks.search_data import Place
from service.catalogue import Catalogue
from service.database import open_database
from service.dependencies import Services
from service.engine import Engine
from service.index.versions import IndexStore
from service.interpret import interpret
from service.metrics import Metrics
from service.routes.search import answer, respond
from service.search_schemas import SearchRequest
from service.server import collect_rarely
from service.settings import Settings
from service.workers import default_workers

Search = Callable[[], Awaitable[object]]


class Engines:
    """The engine in as many processes as the service has."""

    def __init__(self, place: Place) -> None:
        command = [sys.executable, "-m", "benchmarks.search_engine", str(place.data_dir)]
        self._processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(default_workers())
        ]
        for process in self._processes:
            self._read(process)

    def throughput(self, *, clients: int, **wanted: object) -> float:
        """Answers a second of so many clients, which are divided among the processes."""
        asked = self._processes[:clients]
        for number, process in enumerate(asked):
            assert process.stdin is not None
            share = len(range(number, clients, len(asked)))
            process.stdin.write(json.dumps({**wanted, "clients": share}) + "\n")
            process.stdin.flush()
        return sum(float(self._read(process)) for process in asked)

    def close(self) -> None:
        """End them."""
        for process in self._processes:
            process.kill()
            process.wait()

    @staticmethod
    def _read(process: "subprocess.Popen[str]") -> str:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the engine has ended"
        return line


def lines_of(path: str) -> list[bytes]:
    """Of a file."""
    return Path(path).read_bytes().splitlines()


async def measure(search: Search, clients: int, seconds: float) -> float:
    """Answers a second of so many clients, after a second that does not count."""
    begun, answered = time.perf_counter() + 1, 0

    async def client() -> None:
        nonlocal answered
        while time.perf_counter() < begun + seconds:
            await search()
            answered += time.perf_counter() > begun

    await asyncio.gather(*(client() for _ in range(clients)))
    return answered / seconds


def engine_alone(engine: Engine, settings: Settings, bodies: list[bytes]) -> Search:
    """Searches whose queries are read beforehand."""
    snapshot = engine.require_snapshot()
    queries = cycle([interpret(SearchRequest.model_validate_json(body), snapshot, settings) for body in bodies])
    return lambda: engine.search(next(queries))


def all_but_http(engine: Engine, settings: Settings, bodies: list[bytes]) -> Search:
    """Searches from the body of a request to the body of its answer."""
    services = cast("Services", SimpleNamespace(engine=engine, settings=settings))
    metrics, asked = Metrics(), cycle(bodies)

    async def search() -> Response:
        return respond(await answer(SearchRequest.model_validate_json(next(asked)), services, metrics))

    return search


async def obey(settings: Settings) -> None:
    """One process: a JSON object a line says what to measure, and a line is the answer."""
    catalogue = Catalogue(open_database(settings.database))
    engine = Engine(
        IndexStore(settings.index_dir),
        catalogue,
        poll_interval=settings.index_poll_interval,
        batch_wait=settings.batch_wait,
    )
    async with engine.running():
        collect_rarely()
        print(flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            wanted = json.loads(line)
            bodies = await asyncio.to_thread(lines_of, wanted["bodies"])
            search = (engine_alone if wanted["what"] == "engine" else all_but_http)(engine, settings, bodies)
            print(await measure(search, wanted["clients"], wanted["seconds"]), flush=True)


if __name__ == "__main__":
    asyncio.run(obey(Settings(data_dir=Path(sys.argv[1]))))
