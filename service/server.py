"""The server process, and its end: first unready, then deaf to new questions, gone when all are answered."""

import gc
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from service.index.mapped import survive_lost_pages
from service.overload import RefusingProtocol

STARTUP_FAILURE: Final = 3
"""The status of a process that could not begin."""

_PATIENCE: Final = 10  # seconds that answers under way get at the end
_GC_THRESHOLDS: Final = (20_000, 50, 1000)  # collections made p99 under load twice as long (benchmarks/search.py)


class DrainingServer(uvicorn.Server):
    """Goes on for a while after SIGTERM, so that whoever sends requests here sees /readyz at 503 and stops.

    Ctrl-C skips that. SIGTERM again does not: who ends all processes of a service, and the one that passes it on to the
    others, send it twice.

    Args:
        config: uvicorn's.
        drain_time: how long. Units: seconds.
        alive: told ten times a second that its event loop goes on, from when it listens.
    """

    def __init__(self, config: uvicorn.Config, *, drain_time: float, alive: Callable[[], None]) -> None:
        super().__init__(config)
        self._drain_time = drain_time
        self._alive = alive
        self._end: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Uvicorn's signal handler."""
        app = self.config.app
        assert isinstance(app, FastAPI)
        app.state.admission.draining = True
        if sig == signal.SIGTERM and self.started:
            self._end = self._end or time.monotonic() + self._drain_time
            return
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Whether the time has come; uvicorn asks ten times a second."""
        self._alive()
        return await super().on_tick(counter) or (self._end is not None and time.monotonic() >= self._end)


def collect_rarely() -> None:
    """Leave alone what is there now: looking through it again and again makes searches wait under load."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def run_server(
    app: FastAPI,
    listeners: list[socket.socket],
    *,
    drain_time: float,
    alive: Callable[[], None] = lambda: None,
) -> None:
    """Serve until a signal.

    Args:
        app: the application of `create_app`.
        listeners: bound sockets to listen at.
        drain_time: between SIGTERM and the end of listening. Units: seconds.
        alive: told ten times a second that the event loop goes on, from when it listens.
    """
    config = uvicorn.Config(
        app,
        http=RefusingProtocol,
        timeout_graceful_shutdown=_PATIENCE,
        server_header=False,
        access_log=False,  # the application logs each request, with its id
        log_config=None,  # as the rest of the process logs
    )
    survive_lost_pages()
    collect_rarely()
    server = DrainingServer(config, drain_time=drain_time, alive=alive)
    try:
        server.run(listeners)
    except KeyboardInterrupt:
        return
    if not server.started:
        sys.exit(STARTUP_FAILURE)
