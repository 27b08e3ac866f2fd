import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from service.errors import VectorStoreError
from service.search_thread import MAX_BATCH, SearchThread

PATIENCE = 20  # seconds


class Searches:
    """Stands for `service.search.search`: each batch is held up until it is let go."""

    def __init__(self) -> None:
        self.answer: Any = object()
        self.sizes: list[int] = []
        self.let_go = threading.Event()
        self._changed = threading.Condition()

    def __call__(self, queries: list[Any]) -> list[Any]:
        with self._changed:
            self.sizes.append(len(queries))
            self._changed.notify_all()
        self.let_go.wait(PATIENCE)
        return [self.answer] * len(queries)

    async def begun(self, batches: int) -> None:
        def wait() -> None:
            with self._changed:
                assert self._changed.wait_for(lambda: len(self.sizes) >= batches, PATIENCE)

        await asyncio.to_thread(wait)


def thread_with(monkeypatch: pytest.MonkeyPatch, searches: Searches, *, batch_wait: float = 0) -> SearchThread:
    monkeypatch.setattr("service.search_thread.search", searches)
    return SearchThread(batch_wait=batch_wait)


def query() -> Any:  # noqa: ANN401 (stands for a SearchQuery)
    return SimpleNamespace(snapshot=None)


def test_what_comes_meanwhile_is_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    searches = Searches()
    thread = thread_with(monkeypatch, searches)

    async def run() -> None:
        first = asyncio.create_task(thread.search(query()))
        await searches.begun(1)
        others = [asyncio.create_task(thread.search(query())) for _ in range(3)]
        await asyncio.sleep(0)
        searches.let_go.set()
        await asyncio.gather(first, *others)

    asyncio.run(run())
    thread.close()

    assert searches.sizes == [1, 3]


def test_a_batch_has_a_bound_and_the_rest_comes_next(monkeypatch: pytest.MonkeyPatch) -> None:
    searches = Searches()
    thread = thread_with(monkeypatch, searches)

    async def run() -> None:
        first = asyncio.create_task(thread.search(query()))
        await searches.begun(1)
        others = [asyncio.create_task(thread.search(query())) for _ in range(MAX_BATCH + 3)]
        await asyncio.sleep(0)
        searches.let_go.set()
        await asyncio.gather(first, *others)

    asyncio.run(run())
    thread.close()

    assert searches.sizes == [1, MAX_BATCH, 3]


def test_a_batch_waits_for_those_of_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    searches = Searches()
    thread = thread_with(monkeypatch, searches, batch_wait=PATIENCE)

    async def again() -> None:
        await thread.search(query())
        await thread.search(query())

    async def run() -> None:
        first = asyncio.create_task(again())
        await searches.begun(1)
        others = [asyncio.create_task(thread.search(query())) for _ in range(3)]
        await asyncio.sleep(0.5)  # for as long as the first batch took the next one may wait
        searches.let_go.set()
        await asyncio.gather(first, *others)

    asyncio.run(run())
    thread.close()

    assert searches.sizes == [1, 4]


def test_a_batch_does_not_wait_for_those_who_do_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    searches = Searches()
    thread = thread_with(monkeypatch, searches, batch_wait=PATIENCE)

    async def run() -> None:
        first = asyncio.create_task(thread.search(query()))
        await searches.begun(1)
        others = [asyncio.create_task(thread.search(query())) for _ in range(3)]
        await asyncio.sleep(0.5)
        searches.let_go.set()
        await asyncio.wait_for(asyncio.gather(first, *others), PATIENCE / 2)

    asyncio.run(run())
    thread.close()

    assert searches.sizes == [1, 3]


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
