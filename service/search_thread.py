"""The thread that encodes and looks up; searches that wait for it at the same time are done together."""

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, TypeVar

from model.batch import PackedGraphs
from model.inference import embed
from model.scene_graph import SceneGraph
from service.errors import IndexVersionError, VectorStoreError
from service.index.ranking import Vectors
from service.index.state import Version
from service.search import SearchAnswer, SearchQuery, search
from service.threads import use_one_thread

MAX_BATCH: Final = 64
"""Searches done together; more gain little and make each wait longer."""

T = TypeVar("T")

_log = logging.getLogger(__name__)

Observe = Callable[[SearchAnswer, Sequence[float], float], None]
"""Told of each batch: one of its answers, how long each search of it had waited, how long the batch took. Seconds."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    read: Callable[[], SearchQuery]
    finish: Callable[[SearchQuery, SearchAnswer], Any]
    outcome: asyncio.Future[Any]
    since: float


Outcome = tuple[_Waiting, Any]
"""What one that waited gets: a result, or an exception."""


class SearchThread:
    """Does all encoding and looking up of a process, in one thread that has one core.

    Whatever has come while it was busy is its next batch, with those of the last one that ask again at once: encoding
    and looking up together costs much less than one after the other. A search that comes while nothing else has for a
    while is begun at once. Other cores are for other processes (service/workers.py): two threads of one would mostly
    wait for the interpreter's lock.

    Args:
        observe: told of all batches, from that thread.
        batch_wait: a batch begins when no search has come for so long, if not before; 0: at once. Units: seconds.
    """

    def __init__(self, observe: Observe | None = None, *, batch_wait: float = 0) -> None:
        self._observe = observe
        self._batch_wait = batch_wait
        self._executor = ThreadPoolExecutor(1, "search", initializer=use_one_thread)
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._has_turn = False  # under way, or due
        self._expected = 1  # searches that were done or waited when the last batch ended
        self._gather_until = 0.0
        self._since = math.inf

    @property
    def busy_for(self) -> float:
        """How long what is under way has taken so far, 0 if nothing is. Units: seconds."""
        return max(time.perf_counter() - self._since, 0.0)

    async def search(self, query: SearchQuery) -> SearchAnswer:
        """The page that a query asks for. Cancelled before its turn, it is never begun."""
        return await self.run(lambda: query, lambda _, answer: answer)

    async def run(self, read: Callable[[], SearchQuery], finish: Callable[[SearchQuery, SearchAnswer], T]) -> T:
        """A search with what comes before and after it in the same turn of a thread, which saves two changes of it.

        Args:
            read: gives the query; short, because others wait for it. What it raises is raised here.
            finish: makes something of the query and its page; as short.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()
        with self._changed:
            self._waiting.append(_Waiting(read, finish, outcome, time.perf_counter()))
            if not self._has_turn:
                self._has_turn = True
                self._executor.submit(self._take_turn, loop)
            elif len(self._waiting) == self._expected:
                self._changed.notify()
        return await outcome

    def encode(self, version: Version, graphs: Sequence[SceneGraph]) -> Vectors:
        """Unit vectors of scene graphs by a version's model; blocks, and searches come between two calls.

        Shapes:
            returns: (graphs, D).
        """
        packed = PackedGraphs.pack(map(version.checkpoint.resolver.resolve, graphs))
        return self._executor.submit(self._encode, version, packed).result()

    def close(self) -> None:
        """Finish what is under way and drop the rest."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _encode(self, version: Version, packed: PackedGraphs) -> Vectors:
        with self._at_work():
            return embed(version.encoder, packed)

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        self._since = time.perf_counter()
        try:
            yield
        finally:
            self._since = math.inf

    def _take_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._changed:
            self._gather()
            batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
        begun = time.perf_counter()
        outcomes: list[Outcome] = []
        try:
            with self._at_work():
                outcomes = self._do(batch)
        finally:
            with self._changed:
                ended = time.perf_counter()
                # Counted before anybody has an answer, for who has one may ask again at once.
                self._expected = min(MAX_BATCH, len(batch) + len(self._waiting))
                self._gather_until = ended + (ended - begun)
                loop.call_soon_threadsafe(_deliver, outcomes)
                self._has_turn = bool(self._waiting)
                if self._has_turn:
                    self._executor.submit(self._take_turn, loop)  # after what else is due

    def _gather(self) -> None:
        """Give those that have just been answered time to ask again; without it half of them miss each batch.

        Ends when as many wait as there were, when none has come for `batch_wait`, or after as long as the last batch
        took, which bounds what anybody loses by it.
        """
        seen = 0
        while seen < len(self._waiting) < self._expected:
            seen = len(self._waiting)
            left = self._gather_until - time.perf_counter()
            if left <= 0:
                return
            self._changed.wait_for(lambda: len(self._waiting) >= self._expected, min(self._batch_wait, left))

    def _do(self, batch: Sequence[_Waiting]) -> list[Outcome]:
        read: list[tuple[_Waiting, SearchQuery]] = []
        outcomes: list[Outcome] = []
        for waiting in batch:
            if waiting.outcome.cancelled():
                continue
            try:
                read.append((waiting, waiting.read()))
            except Exception as error:  # noqa: BLE001 (it is that search's)
                outcomes.append((waiting, error))
        # Those of the old version and those of the new one, around a switch.
        for _, part in groupby(read, key=lambda pair: id(pair[1].snapshot)):
            outcomes += self._search(list(part))
        return outcomes

    def _search(self, batch: Sequence[tuple[_Waiting, SearchQuery]]) -> list[Outcome]:
        begun = time.perf_counter()
        try:
            answers = search([query for _, query in batch])
            outcomes = [
                (waiting, waiting.finish(query, answer))
                for (waiting, query), answer in zip(batch, answers, strict=True)
            ]
        except (IndexVersionError, VectorStoreError) as error:
            return [(waiting, error) for waiting, _ in batch]  # each would wait for the same, and get the same
        except Exception as error:  # noqa: BLE001 (whatever it is, it is one search's, which gets it)
            if len(batch) == 1:
                return [(batch[0][0], error)]
            _log.warning("a batch of %d searches failed; each is now done alone", len(batch))
            return [outcome for one in batch for outcome in self._search([one])]
        if self._observe is not None:
            self._observe(answers[0], [begun - waiting.since for waiting, _ in batch], time.perf_counter() - begun)
        return outcomes


def _deliver(outcomes: Sequence[Outcome]) -> None:
    """On the event loop: wake those that wait, unless they have left."""
    for waiting, outcome in outcomes:
        if waiting.outcome.done():
            continue
        if isinstance(outcome, BaseException):
            waiting.outcome.set_exception(outcome)
        else:
            waiting.outcome.set_result(outcome)
