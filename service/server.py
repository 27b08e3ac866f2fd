"""The server process, and its end: first unready, then deaf to new questions, gone when all are answered."""

import gc
import signal
import sys
import time
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from service.index.mapped import survive_lost_pages

_PATIENCE: Final = 10  # seconds that answers under way get at the end
_STARTUP_FAILURE: Final = 3
_GC_THRESHOLDS: Final = (20_000, 50, 1000)  # collections made p99 under load twice as long (benchmarks/search.py)


class DrainingServer(uvicorn.Server):
    """Goes on for a while after SIGTERM, so that whoever sends requests here sees /readyz at 503 and stops.

    Ctrl-C, or a second signal, skips that.

    Args:
        config: uvicorn's.
        drain_time: how long. Units: seconds.
    """

    def __init__(self, config: uvicorn.Config, *, drain_time: float) -> None:
        super().__init__(config)
        self._drain_time = drain_time
        self._end: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Uvicorn's signal handler."""
        app = self.config.app
        assert isinstance(app, FastAPI)
        app.state.admission.draining = True
        if sig == signal.SIGTERM and self._end is None and self.started:
            self._end = time.monotonic() + self._drain_time
            return
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Whether the time has come; uvicorn asks ten times a second."""
        return await super().on_tick(counter) or (self._end is not None and time.monotonic() >= self._end)


def run_server(app: FastAPI, *, host: str, port: int, drain_time: float) -> None:
    """Serve until a signal.

    Args:
        app: the application of `create_app`.
        host: address to listen at.
        port: port to listen at.
        drain_time: between SIGTERM and the end of listening. Units: seconds.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        timeout_graceful_shutdown=_PATIENCE,
        server_header=False,
        access_log=False,  # the application logs each request, with its id
        log_config=None,  # as the rest of the process logs
    )
    survive_lost_pages()
    # What is there now stays; looking through it again and again makes searches wait under load.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    server = DrainingServer(config, drain_time=drain_time)
    try:
        server.run()
    except KeyboardInterrupt:
        return
    if not server.started:
        sys.exit(_STARTUP_FAILURE)
