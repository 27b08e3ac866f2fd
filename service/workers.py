"""Several equal processes that answer at one address, and the one that starts them, watches over them and ends them."""

import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from ctypes import c_bool, c_int
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Final

import faiss
import uvicorn
from prometheus_client.multiprocess import mark_process_dead

from service import logs
from service.admission import Places
from service.limits import Buckets
from service.server import STARTUP_FAILURE, run_server
from service.settings import Settings

_MOST: Final = 4  # if nobody says how many: each takes memory, and connections of the database
_METRICS: Final = "PROMETHEUS_MULTIPROC_DIR"  # which prometheus_client looks for when it is imported
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_PAUSE: Final = 1.0  # seconds before a process is replaced that has not lasted
_LASTING: Final = 10.0  # seconds

# Not forked: a copy has the locks of PyTorch's and FAISS's threads, but not the threads.
_spawn = multiprocessing.get_context("spawn")

_log = logging.getLogger(__name__)


def default_workers() -> int:
    """A process for each core that this one may run on, at most four; one where vectors go into a GPU's memory."""
    if faiss.get_num_gpus() > 0:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST)


def serve(settings: Settings, *, host: str, port: int, workers: int) -> None:
    """Serve with several processes until a signal; one that ends unasked is replaced.

    All listen at one socket, and one that has nothing to do takes the next connection. Each is a service of its own,
    with model and index; what they have in common are the database, the files of the index, rate limits and metrics.

    Args:
        settings: of each.
        host: address to listen at.
        port: port to listen at.
        workers: how many.
    """
    with (
        uvicorn.Config("", host=host, port=port, log_config=None).bind_socket() as listener,
        _metrics_directory(),
        _one_milvus(settings.model_copy(update={"workers": workers})) as shared,
    ):
        supervisor = _Supervisor(shared, listener, workers)
        supervisor.run()
    if not supervisor.was_told:
        sys.exit(STARTUP_FAILURE)


class _Supervisor:
    """Keeps so many processes at work until a signal comes, which it passes on to them."""

    def __init__(self, settings: Settings, listener: socket.socket, workers: int) -> None:
        self._listener = listener
        self._settings = settings
        self._buckets = Buckets()
        # Without locks, which who is killed could keep.
        self._taken = _spawn.RawArray(c_int, workers)
        self._was_ready = _spawn.RawValue(c_bool, False)
        self._running: dict[SpawnProcess, int] = {}  # and which of the workers it is
        self._ending = False
        self.was_told = False
        """To end, by a signal."""

    def run(self) -> None:
        """Return when all have ended: because of a signal, or because one could not even begin."""
        for expected in _SIGNALS:
            signal.signal(expected, self._pass_on)
        for which in range(len(self._taken)):
            self._start(which)
        started = time.monotonic()
        while self._running:
            ended = wait([process.sentinel for process in self._running])
            for process in [process for process in self._running if process.sentinel in ended]:
                which = self._running.pop(process)
                process.join()
                self._taken[which] = 0
                mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
                if self._ending:
                    continue
                _log.error("worker %d has ended with status %d", process.pid, process.exitcode)
                if not self._was_ready.value:  # all the others will end so
                    self._end(signal.SIGTERM)
                    continue
                if time.monotonic() < started + _LASTING:
                    time.sleep(_PAUSE)
                started = time.monotonic()
                self._start(which)

    def _start(self, which: int) -> None:
        if self._ending:
            return
        places = Places(self._taken, which)
        arguments = self._settings, self._listener, self._buckets, places, self._was_ready
        process = _spawn.Process(target=_work, args=arguments)
        # The child unblocks them when it has left the terminal's group, for Ctrl-C is for this process.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        process.start()
        self._running[process] = which
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (what a signal handler takes)
        self.was_told = True
        self._end(number)

    def _end(self, with_signal: int) -> None:
        self._ending = True
        self._listener.close()  # the system refuses connections as soon as the others have closed theirs
        for process in self._running:
            assert process.pid is not None
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, with_signal)


@contextlib.contextmanager
def _metrics_directory() -> Iterator[None]:
    """Where prometheus_client keeps the figures of all processes."""
    directory = tempfile.mkdtemp(prefix="scenerank-metrics-")
    os.environ[_METRICS] = directory
    try:
        yield
    finally:
        del os.environ[_METRICS]
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _one_milvus(settings: Settings) -> Iterator[Settings]:
    """Settings with which all processes reach the same Milvus: a file of milvus-lite is opened by one of them."""
    if settings.index_url is None:
        yield settings
        return
    # Imported here and in `_work`: without it, and PyTorch, the process that only watches is a fifth of the others.
    from service.index.backend import close_store, open_store, settings_for_others

    store = open_store(settings)
    try:
        yield settings_for_others(settings, store)
    finally:
        close_store(store)


def _work(settings: Settings, listener: socket.socket, buckets: Buckets, places: Places, was_ready: c_bool) -> None:
    """What each process does."""
    from service.app import create_app

    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    threading.Thread(target=_end_with_parent, name="parent-watcher", daemon=True).start()
    logs.configure(settings.log_format)

    def ready() -> None:
        was_ready.value = True

    run_server(
        create_app(settings, buckets=buckets, places=places),
        listener=listener,
        drain_time=settings.drain_time,
        ready=ready,
    )


def _end_with_parent() -> None:
    """Alone, nobody would end it, and the port would stay taken."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    shutil.rmtree(os.environ[_METRICS], ignore_errors=True)
    os._exit(1)
