"""A load generator for an HTTP service: bare sockets and requests made beforehand, for it shares the machine.

With `--clients` so many ask, wait for the answer and ask again (a closed loop). With `--rate` requests are sent at so
many a second, at random moments, whether answers come or not (an open loop). Prints one JSON object.

    python benchmarks/load.py http://127.0.0.1:8000/search --bodies queries.jsonl --clients 16 --seconds 5
    python benchmarks/load.py http://127.0.0.1:8000/livez --rate 20 --seconds 5
"""

import argparse
import asyncio
import json
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import numpy as np

WARM_UP: Final = 1.0  # seconds whose answers are not counted
MOST_OPEN: Final = 512  # connections of an open loop; where all wait for an answer, a request is not sent


class Connection(asyncio.Protocol):
    """A kept-alive connection with one request under way at most.

    Args:
        answered: told of each answer: this connection, the status (0: closed instead), and how long it took in seconds.
    """

    def __init__(self, answered: Callable[["Connection", int, float], None]) -> None:
        self._answered = answered
        self._buffer = b""
        self._asked = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open now."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, request: bytes) -> None:
        """Send a request."""
        self._asked = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Part of an answer."""
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        fields = head.lower()
        start = fields.index(b"content-length:") + len(b"content-length:")
        if len(body) < int(fields[start:].partition(b"\r\n")[0]):
            return
        self._buffer = b""
        self._answered(self, int(head[9:12]), time.perf_counter() - self._asked)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        """The service has closed it, or this process has."""
        self._answered(self, 0, 0.0)


class Tally:
    """Answers in the time that counts.

    Args:
        seconds: that time, which begins after the warm-up.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.start = time.perf_counter() + WARM_UP
        self.end = self.start + seconds
        self._statuses: Counter[int] = Counter()
        self._latencies: list[float] = []
        self.unsent = 0

    def add(self, status: int, latency: float) -> None:
        """An answer."""
        if self.start <= time.perf_counter() < self.end:
            self._statuses[status] += 1
            if status == 200:
                self._latencies.append(latency)

    def to_json(self) -> dict[str, object]:
        """Figures; latencies are those of answers with status 200. Units: milliseconds, answers a second."""
        quantiles = [0.5, 0.95, 0.99]
        p50, p95, p99 = 1000 * np.quantile(self._latencies, quantiles) if self._latencies else [np.nan] * 3
        return {
            "p50": float(p50),
            "p95": float(p95),
            "p99": float(p99),
            "throughput": self._statuses[200] / self.seconds,
            "statuses": dict(self._statuses),
            "unsent": self.unsent,
        }


async def closed_loop(host: str, port: int, requests: Iterator[bytes], clients: int, tally: Tally) -> None:
    """Each client asks as soon as it has its answer."""

    def answered(connection: Connection, status: int, latency: float) -> None:
        tally.add(status, latency)
        if status and time.perf_counter() < tally.end:
            connection.ask(next(requests))

    loop = asyncio.get_running_loop()
    for _ in range(clients):
        _, connection = await loop.create_connection(lambda: Connection(answered), host, port)
        connection.ask(next(requests))
    await asyncio.sleep(tally.end - time.perf_counter())


async def open_loop(host: str, port: int, requests: Iterator[bytes], rate: float, tally: Tally) -> None:
    """Requests come as a Poisson process, each on a connection that waits for no answer."""
    idle: deque[Connection] = deque()

    def answered(connection: Connection, status: int, latency: float) -> None:
        tally.add(status, latency)
        if status:
            idle.append(connection)

    loop = asyncio.get_running_loop()
    for _ in range(min(MOST_OPEN, max(8, int(rate)))):
        _, connection = await loop.create_connection(lambda: Connection(answered), host, port)
        idle.append(connection)
    chance = random.Random(0)
    due = time.perf_counter()
    while due < tally.end:
        while due <= time.perf_counter():
            due += chance.expovariate(rate)
            if idle:
                idle.popleft().ask(next(requests))
            elif tally.start <= due:
                tally.unsent += 1
        await asyncio.sleep(max(0.0, due - time.perf_counter()))


def http_requests(host: str, path: str, bodies: list[bytes]) -> list[bytes]:
    """The bytes of requests, GET if there are no bodies."""
    if not bodies:
        return [f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()]
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: "
    return [f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--bodies", type=Path, help="file with one JSON document a line; without it GET")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--rate", type=float, help="requests a second")
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    url = urlsplit(options.url)
    assert url.hostname is not None
    assert url.port is not None
    bodies = options.bodies.read_bytes().splitlines() if options.bodies else []
    requests = http_requests(url.netloc, url.path, bodies)
    random.Random(time.time_ns()).shuffle(requests)
    tally = Tally(options.seconds)
    if options.rate is None:
        asyncio.run(closed_loop(url.hostname, url.port, cycle(requests), options.clients, tally))
    else:
        asyncio.run(open_loop(url.hostname, url.port, cycle(requests), options.rate, tally))
    print(json.dumps(tally.to_json()))


if __name__ == "__main__":
    main()
