"""Several equal processes that answer at one address, and the one that starts them, watches over them and ends them."""

import contextlib
import logging
import math
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
from ctypes import Array, c_int, c_uint
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Final

import faiss
from prometheus_client.multiprocess import mark_process_dead

from service import logs
from service.admission import Places
from service.limits import Buckets
from service.listeners import own_listener, reserve
from service.server import STARTUP_FAILURE, run_server
from service.settings import Settings

_MOST: Final = 4  # if nobody says how many: each takes memory, and connections of the database
_METRICS: Final = "PROMETHEUS_MULTIPROC_DIR"  # which prometheus_client looks for when it is imported
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_PAUSE: Final = 1.0  # seconds before a process is replaced
_CHECK_EVERY: Final = 5.0  # seconds between two looks at who is alive
_MOST_MISSED: Final = 6  # looks in a row that find no sign of life; counted, for all may have slept with the machine
_MOST_TIMEOUTS: Final = 6  # that a batch of searches may take: all of them have been given up by then

# Not forked: a copy has the locks of PyTorch's and FAISS's threads, but not the threads.
_spawn = multiprocessing.get_context("spawn")

_log = logging.getLogger(__name__)


def default_workers() -> int:
    """A process for each core that this one may use, at most four; one where vectors go into a GPU's memory."""
    if faiss.get_num_gpus() > 0:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(cores, core_quota(), _MOST)))


def core_quota(own: Path = Path("/proc/self/cgroup"), cgroups: Path = Path("/sys/fs/cgroup")) -> float:
    """How many cores' time this process's control group may use, infinity if that is not limited or not known.

    Args:
        own: what names the group.
        cgroups: where version 2 of Linux's control groups is mounted.
    """
    with contextlib.suppress(OSError, ValueError):  # other systems; no group; "max"
        (group,) = (line[3:].lstrip("/") for line in own.read_text().splitlines() if line.startswith("0::"))
        quota, period = (cgroups / group / "cpu.max").read_text().split()
        return int(quota) / int(period)
    return math.inf


def serve(settings: Settings, *, host: str, port: int, workers: int) -> None:
    """Serve with several processes until a signal; one that ends unasked, or hangs, is replaced.

    Each is a service of its own, with model and index; what they have in common are the database, the files of the
    index, rate limits, places in the queue, and metrics.

    Args:
        settings: of each.
        host: address to listen at.
        port: port to listen at.
        workers: how many.

    Raises:
        ConfigError: the address cannot be had.
    """
    with (
        contextlib.ExitStack() as stack,
        _metrics_directory(),
        _one_milvus(settings.model_copy(update={"workers": workers})) as shared,
    ):
        reserved = [stack.enter_context(listener) for listener in reserve(host, port)]
        supervisor = _Supervisor(shared, reserved, workers)
        with supervisor.hearing_signals():
            supervisor.run()
    if not supervisor.was_told:
        sys.exit(STARTUP_FAILURE)


class _Supervisor:
    """Keeps so many processes at work until a signal comes, which it passes on to them."""

    def __init__(self, settings: Settings, listeners: list[socket.socket], workers: int) -> None:
        self._settings = settings
        self._listeners = listeners
        self._buckets = Buckets()
        # Without locks, which who is killed could keep.
        self._taken = _spawn.RawArray(c_int, workers)
        self._beats = _spawn.RawArray(c_uint, workers)  # signs of life of each, none before it listens
        self._known = [0] * workers  # how many there were at the last look
        self._missed = [0] * workers  # looks in a row with none since
        self._was_ready = False
        self._running: dict[SpawnProcess, int] = {}  # and which of the workers it is
        self._signals: list[int] = []
        self._heard, self._rings = socket.socketpair()
        self._ending = False
        self.was_told = False
        """To end, by a signal."""

    @contextlib.contextmanager
    def hearing_signals(self) -> Iterator[None]:
        """Note signals, and wake `run` by each: whatever it is doing, it does not do by half."""
        self._rings.setblocking(False)
        signal.set_wakeup_fd(self._rings.fileno(), warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, lambda received, _: self._signals.append(received))
        try:
            yield
        finally:
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            self._heard.close()
            self._rings.close()

    def run(self) -> None:
        """Return when all have ended: because of a signal, or because the first to end had never been ready."""
        absent = dict.fromkeys(range(len(self._taken)), 0.0)  # and when to start it. Units: seconds
        next_check = time.monotonic() + _CHECK_EVERY
        while self._running or not self._ending:
            self._obey()
            now = time.monotonic()
            if now >= next_check and not self._ending:
                self._end_silent()
                next_check = now + _CHECK_EVERY
            for which in [which for which, due in absent.items() if due <= now and not self._ending]:
                del absent[which]
                if not self._start(which):
                    absent[which] = now + _PAUSE
            sentinels = {process.sentinel: process for process in self._running}
            rest = None if self._ending else min([*absent.values(), next_check]) - now
            ended = wait([*sentinels, self._heard], rest)
            for process in [sentinels[sentinel] for sentinel in ended if sentinel in sentinels]:
                which = self._running.pop(process)
                process.join()
                self._taken[which] = 0
                mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
                self._was_ready = self._was_ready or any(self._beats)
                if not self._ending:
                    _log.error("worker %d has ended with status %d", process.pid, process.exitcode)
                    absent[which] = now + _PAUSE
                    if not self._was_ready:  # all the others will end so
                        self._end(signal.SIGTERM)

    def _end_silent(self) -> None:
        """Kill who has been ready and gives no sign of life any more; it is replaced like any other that ends."""
        for process, which in self._running.items():
            beats = self._beats[which]
            self._missed[which] = self._missed[which] + 1 if beats and beats == self._known[which] else 0
            self._known[which] = beats
            if self._missed[which] == _MOST_MISSED:
                _log.error("worker %d gives no sign of life, and is killed", process.pid)
                process.kill()

    def _obey(self) -> None:
        """Pass on the signals that have come: as they are at first, then so that nothing is waited for any more."""
        with contextlib.suppress(BlockingIOError):
            self._heard.recv(4096, socket.MSG_DONTWAIT)
        while self._signals:
            received = self._signals.pop(0)
            self._end(signal.SIGINT if self.was_told else received)
            self.was_told = True

    def _start(self, which: int) -> bool:
        """Start a process; False if the system does not give one now."""
        places, self._beats[which] = Places(self._taken, which), 0
        arguments = self._settings, self._listeners, self._buckets, places, self._beats
        process = _spawn.Process(target=_work, args=arguments)
        # The child unblocks them when it has left the terminal's group, for Ctrl-C is for this process.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            process.start()
        except OSError as error:
            _log.error("a worker cannot be started (%s)", error.strerror)
            return False
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        self._running[process] = which
        return True

    def _end(self, with_signal: int) -> None:
        self._ending = True
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


def _work(
    settings: Settings, reserved: list[socket.socket], buckets: Buckets, places: Places, beats: "Array[c_uint]"
) -> None:
    """What each process does."""
    from service.app import create_app

    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    threading.Thread(target=_end_with_parent, name="parent-watcher", daemon=True).start()
    logs.configure(settings.log_format)

    app = create_app(settings, buckets=buckets, places=places)

    def alive() -> None:
        if app.state.services.engine.busy_for < _MOST_TIMEOUTS * settings.request_timeout:
            beats[places.own] += 1

    run_server(app, list(map(own_listener, reserved)), drain_time=settings.drain_time, alive=alive)


def _end_with_parent() -> None:
    """Alone, nobody would end it, and the port would stay taken."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    shutil.rmtree(os.environ[_METRICS], ignore_errors=True)
    os._exit(1)
