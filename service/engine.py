"""The one owner of model and index in a process; what a search sees of them is one state, whole."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from service.catalogue import Catalogue
from service.errors import CatalogueError, ForgottenError, IndexVersionError, NoIndexError, VectorStoreError, refusal
from service.index.follow import follow
from service.index.state import Follower, State, Store
from service.index.versions import IndexVersion
from service.search import SearchAnswer, SearchQuery
from service.search_thread import Observe, SearchThread

_RETRY_AFTER: Final = 30.0  # seconds until a version that could not be opened is tried again
_SHORT: Final = 0.05  # seconds that may go into an overlay without a rest after it
_BUSY_SHARE: Final = 0.2  # of the time for overlays, by a rest after each
_LONGEST_REST: Final = 0.4  # seconds, unless the overlay took longer: changes are to be seen within one

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Engine:
    """Holds the state that is searched, and follows the version that `current` names and the catalogue's changes.

    Opening a version and taking in changes happens in a thread of its own, and the switch is a single assignment.

    Args:
        store: where versions live.
        catalogue: where changes are looked for.
        poll_interval: how often to look for either. Units: seconds.
        batch_wait: of its `SearchThread`. Units: seconds.
        observe: told of all searches that are done.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        *,
        poll_interval: float,
        batch_wait: float = 0,
        observe: Observe | None = None,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._poll_interval = poll_interval
        self._thread = SearchThread(observe, batch_wait=batch_wait)
        self._snapshot: State | None = None
        self._live: Follower | None = None
        self._seen: object = None
        self._retry_at = float("inf")
        self._rest_until = 0.0
        self._refreshing = threading.Lock()
        self._nudged = threading.Event()
        self.problem: str | None = None
        """Why the version that `current` names, or the catalogue's newest state, is not the one in use."""

    @property
    def snapshot(self) -> State | None:
        """The state in use: take it once and stay with it."""
        return self._snapshot

    def require_snapshot(self) -> State:
        """The state in use.

        Raises:
            NoIndexError: there is none yet.
            IndexVersionError: there is one, but it cannot be used.
        """
        if self._snapshot is not None:
            return self._snapshot
        if self.problem is not None:
            raise IndexVersionError("the index cannot be used; /readyz and the service's log tell why")
        raise NoIndexError(
            "nothing is indexed yet; fill the catalogue with `scenerank import GRAPHS` and build an index with "
            "`scenerank index build --checkpoint RUN` or POST /reindex"
        )

    async def search(self, query: SearchQuery) -> SearchAnswer:
        """Encode and look up, without holding up the event loop."""
        return await self._thread.search(query)

    async def run(self, read: Callable[[], SearchQuery], finish: Callable[[SearchQuery, SearchAnswer], T]) -> T:
        """The same with what comes before and after it in the engine's thread; both are to be short."""
        return await self._thread.run(read, finish)

    @property
    def busy_for(self) -> float:
        """How long the batch of searches, or of changed images to encode, that is under way takes. Units: seconds."""
        return self._thread.busy_for

    def nudge(self) -> None:
        """Look for changes at once: this process has made some."""
        self._nudged.set()

    def refresh(self) -> None:
        """Take in the version that `current` names and what has changed since. Blocks; not for the event loop.

        What cannot be opened or read leaves the old state in use.
        """
        with self._refreshing:
            try:
                self._let_go_of_altered()
                live = self._newest()
                if live is not None:
                    self._catch_up(live)
            except IndexVersionError as error:
                self._retry_at = time.monotonic() + _RETRY_AFTER
                self._report(str(error))
            except VectorStoreError as error:
                self._seen = None  # perhaps the version could not be opened
                self._report(str(error))
            except ForgottenError as error:
                self._open_anew(error)
            except (CatalogueError, SQLAlchemyError) as error:
                self._report(f"the catalogue's changes cannot be read: {refusal(error) or error}")
            else:
                version = None if live is None else live.version
                if isinstance(version, IndexVersion) and (path := version.files.missing()) is not None:
                    self._report(f"{path} is gone, so the version in use could not be opened again; reindex")
                elif self._retry_at == float("inf"):
                    self.problem = None

    def _open_anew(self, error: ForgottenError) -> None:
        """Let the next turn open the version in use, which knows all that is forgotten; the state stays until then.

        If it has just been opened, it does not: it has come back from somewhere.
        """
        assert self._live is not None
        if self._snapshot is not None and self._snapshot.version is self._live.version:
            self._seen = None
        else:
            self._retry_at = time.monotonic() + _RETRY_AFTER
        self._live = None
        self._report(f"{error}; if it stays so, reindex")

    def _let_go_of_altered(self) -> None:
        """Use a version no more whose files have been altered; if they are as its manifest says it is opened again."""
        version = None if self._live is None else self._live.version
        if isinstance(version, IndexVersion):
            try:
                version.files.require_intact()
            except IndexVersionError as error:
                self._report(str(error))
                self._live = self._seen = self._snapshot = None

    def _newest(self) -> Follower | None:
        """The version that `current` names with the changes since; what is known already is not opened again."""
        seen = self._store.stamp()
        if seen == self._seen and time.monotonic() < self._retry_at:
            return self._live
        self._seen, self._retry_at = seen, float("inf")
        name = self._store.current()
        if name is not None and (self._live is None or self._live.version.manifest.version != name):
            self._live = follow(self._store, name, self._thread.encode)
            self._rest_until = 0.0
        return self._live

    def _catch_up(self, live: Follower) -> None:
        """Take in what has changed, and put the state that comes of it to use."""
        started = time.monotonic()
        revision = self._catalogue.revision()
        if revision < live.version.manifest.catalogue_revision:
            raise CatalogueError(
                f"the index was built from another catalogue than this one (revision "
                f"{live.version.manifest.catalogue_revision}, here {revision}); build it anew"
            )
        if revision < live.revision:  # another database is where it was, say an older copy of it
            raise ForgottenError(f"the catalogue has gone back from revision {live.revision} to {revision}")
        in_use = self._snapshot
        is_new = in_use is None or in_use.version is not live.version
        if not is_new and (revision == live.revision or started < self._rest_until):
            return
        changed = live.take_in(self._catalogue, revision)
        if is_new or changed:
            self._snapshot = live.state()
        # Many changes take a while to take in; searches need the processor too.
        taken = time.monotonic() - started
        if taken > _SHORT:
            rest = min(taken * (1 / _BUSY_SHARE - 1), max(taken, _LONGEST_REST))
            self._rest_until = time.monotonic() + rest
        if is_new:
            assert self._snapshot is not None
            _log.info("index version %s is in use: %d images", live.version.manifest.version, self._snapshot.count)

    def _report(self, problem: str) -> None:
        if problem != self.problem:
            _log.error("the newest state cannot be used: %s", problem)
        self.problem = problem

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take in the current state, then follow it until the end."""
        await asyncio.to_thread(self.refresh)
        ended = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(ended,), name="index-watcher", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            self._nudged.set()
            await asyncio.to_thread(watcher.join)
            self._thread.close()

    def _watch(self, ended: threading.Event) -> None:
        while True:
            self._nudged.wait(self._poll_interval)
            self._nudged.clear()
            if ended.is_set():
                return
            try:
                self.refresh()
            except Exception:  # noqa: BLE001 (whatever it is, searches go on with the state in use)
                _log.exception("cannot look for a new index version or changes")
