"""The one owner of model and index in a process; what a search sees of them is one version, whole."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from service.errors import IndexVersionError, NoIndexError
from service.index.vector_index import use_one_thread
from service.index.versions import IndexStore, IndexVersion, open_version

_RETRY_AFTER: Final = 30.0  # seconds until a version that could not be opened is tried again

_log = logging.getLogger(__name__)
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Engine:
    """Holds the index version in use and follows the one that `current` names.

    All encoding and searching runs in one thread: one core per request gives more requests a second than several
    cores in turn, and neither the encoder nor a GPU index is shared between threads. Opening a new version happens
    in another one, and the switch is a single assignment.

    Args:
        store: where versions live.
        poll_interval: how often to look for a new one. Units: seconds.
        observe: told of all work that is done: what it gave, how long it waited, and how long it took in all, in
            seconds.
    """

    def __init__(
        self, store: IndexStore, *, poll_interval: float, observe: Callable[[object, float, float], None] | None = None
    ) -> None:
        self._store = store
        self._poll_interval = poll_interval
        self._observe = observe
        self._worker = ThreadPoolExecutor(1, "search", initializer=use_one_thread)
        self._version: IndexVersion | None = None
        self._seen: tuple[int, int, int] | None = None
        self._retry_at = float("inf")
        self.problem: str | None = None
        """Why the version that `current` names is not the one in use."""

    @property
    def version(self) -> IndexVersion | None:
        """The version in use: take it once and stay with it."""
        return self._version

    def require_version(self) -> IndexVersion:
        """The version in use.

        Raises:
            NoIndexError: there is none yet.
            IndexVersionError: there is one, but it cannot be used.
        """
        if self._version is not None:
            return self._version
        if self.problem is not None:
            raise IndexVersionError("the index cannot be used; /readyz and the service's log tell why")
        raise NoIndexError(
            "nothing is indexed yet; fill the catalogue with `scenerank import GRAPHS` and build an index with "
            "`scenerank index build --checkpoint RUN` or POST /reindex"
        )

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Encode or search in the one thread that may, without holding up the event loop."""
        asked = time.perf_counter()

        def work() -> tuple[_T, float]:
            begun = time.perf_counter()
            return function(*args, **kwargs), begun

        outcome, begun = await asyncio.get_running_loop().run_in_executor(self._worker, work)
        if self._observe is not None:
            self._observe(outcome, begun - asked, time.perf_counter() - asked)
        return outcome

    def refresh(self) -> None:
        """Open the version that `current` names, if it is not the one in use. Blocks; not for the event loop.

        A version that cannot be opened leaves the old one in use.
        """
        seen = self._stat()
        if seen == self._seen and time.monotonic() < self._retry_at:
            return
        self._seen, self._retry_at = seen, float("inf")
        try:
            name = self._store.current()
            if name is not None and (self._version is None or self._version.manifest.version != name):
                version = open_version(self._store.directory(name))
                self._version = version
                _log.info("index version %s is in use: %d images", name, version.manifest.count)
            self.problem = None
        except IndexVersionError as error:
            self.problem = str(error)
            self._retry_at = time.monotonic() + _RETRY_AFTER
            _log.error("the index version in use stays: %s", error)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the current version, then follow it until the end."""
        await asyncio.to_thread(self.refresh)
        watcher = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher
            self._worker.shutdown(wait=True, cancel_futures=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._poll_interval)
            try:
                await asyncio.to_thread(self.refresh)
            except Exception:  # noqa: BLE001 (whatever it is, searches go on with the version in use)
                _log.exception("cannot look for a new index version")

    def _stat(self) -> tuple[int, int, int] | None:
        """What changes when `current` is replaced."""
        try:
            status = self._store.current_file.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size
