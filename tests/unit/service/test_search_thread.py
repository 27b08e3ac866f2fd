import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from service.errors import VectorStoreError
from service.search_thread import MAX_BATCH, SearchThread

PATIENCE = 20  # seconds
LONG = 60.0  # seconds that no test lasts


class Searches:
    """Stands for `service.search.search` and for the clock, on which each batch takes so many seconds.

    Each batch is held up until it is let go.
    """

    def __init__(self, seconds: float = 0) -> None:
        self.answer: Any = object()
        self.sizes: list[int] = []
        self.let_go = threading.Event()
        self.now = 0.0
        self._seconds = seconds
        self._changed = threading.Condition()

    def __call__(self, queries: list[Any]) -> list[Any]:
        with self._changed:
            self.sizes.append(len(queries))
            self._changed.notify_all()
        self.let_go.wait(PATIENCE)
        self.now += self._seconds
        return [self.answer] * len(queries)

    async def begun(self, batches: int) -> None:
        def wait() -> None:
            with self._changed:
                assert self._changed.wait_for(lambda: len(self.sizes) >= batches, PATIENCE)

        await asyncio.to_thread(wait)


def thread_with(monkeypatch: pytest.MonkeyPatch, searches: Searches, *, batch_wait: float = 0) -> SearchThread:
    monkeypatch.setattr("service.search_thread.search", searches)
    monkeypatch.setattr("service.search_thread.time.perf_counter", lambda: searches.now)
    return SearchThread(batch_wait=batch_wait)


def query() -> Any:  # noqa: ANN401 (stands for a SearchQuery)
    return SimpleNamespace(snapshot=None)


def sizes_of_batches(thread: SearchThread, searches: Searches, *, others: int, again: bool = False) -> list[int]:
    """Of a first search, of others that come meanwhile, and of one that the first client asks when it is answered."""

    async def ask() -> None:
        await thread.search(query())
        if again:
            await thread.search(query())

    async def run() -> None:
        first = asyncio.create_task(ask())
        await searches.begun(1)
        rest = [asyncio.create_task(thread.search(query())) for _ in range(others)]
        await asyncio.sleep(0)
        searches.let_go.set()
        await asyncio.wait_for(asyncio.gather(first, *rest), PATIENCE)

    asyncio.run(run())
    thread.close()
    return searches.sizes


@pytest.mark.parametrize(("others", "sizes"), [(3, [1, 3]), (MAX_BATCH + 3, [1, MAX_BATCH, 3])])
def test_what_comes_meanwhile_is_one_batch_up_to_a_bound(
    others: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = Searches()
    thread = thread_with(monkeypatch, searches)
    assert sizes_of_batches(thread, searches, others=others) == sizes


def test_a_batch_waits_for_those_of_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    searches = Searches(seconds=LONG)
    thread = thread_with(monkeypatch, searches, batch_wait=LONG)
    assert sizes_of_batches(thread, searches, others=3, again=True) == [1, 4]


@pytest.mark.parametrize(("seconds", "batch_wait"), [(0.01, LONG), (LONG, 0.01)])
def test_a_batch_waits_neither_longer_than_the_last_took_nor_when_none_comes(
    seconds: float, batch_wait: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = Searches(seconds)
    thread = thread_with(monkeypatch, searches, batch_wait=batch_wait)
    assert sizes_of_batches(thread, searches, others=3) == [1, 3]


def test_how_long_it_is_busy_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    searches = Searches()
    thread = thread_with(monkeypatch, searches)

    def embed(*_: object) -> float:
        searches.now += 7
        return thread.busy_for

    async def run() -> None:
        search = asyncio.create_task(thread.search(query()))
        await searches.begun(1)
        assert thread.busy_for == 0
        searches.now += 5
        assert thread.busy_for == 5
        searches.let_go.set()
        await asyncio.wait_for(search, PATIENCE)

    asyncio.run(run())
    monkeypatch.setattr("service.search_thread.embed", embed)
    version: Any = SimpleNamespace(encoder=None, checkpoint=SimpleNamespace(resolver=SimpleNamespace(resolve=None)))
    assert thread.encode(version, []) == 7
    thread.close()
    searches.now += 5
    assert thread.busy_for == 0


def test_what_befalls_the_whole_index_is_not_tried_for_each_search_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def fail(queries: list[Any]) -> list[Any]:
        tried.append(len(queries))
        raise VectorStoreError("Milvus does not answer")

    searches = Searches()
    thread = thread_with(monkeypatch, searches)

    async def run() -> list[Any]:
        first = asyncio.create_task(thread.search(query()))
        await searches.begun(1)
        others = [asyncio.create_task(thread.search(query())) for _ in range(5)]
        await asyncio.sleep(0)
        monkeypatch.setattr("service.search_thread.search", fail)
        searches.let_go.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    outcomes = asyncio.run(run())
    thread.close()

    assert tried == [5]
    assert outcomes[0] is searches.answer
    assert all(isinstance(outcome, VectorStoreError) for outcome in outcomes[1:])
