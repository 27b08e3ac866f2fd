import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from service.errors import VectorStoreError
from service.worker import MAX_BATCH, SearchWorker

PATIENCE = 20  # seconds


class Searches:
    """Stands for `service.search.search`: each batch is held up until it is let go."""

    def __init__(self, encode_ms: float) -> None:
        self.answer: Any = SimpleNamespace(encode_ms=encode_ms)
        self.sizes: list[int] = []
        self.most_at_once = 0
        self.let_go = threading.Event()
        self._at_once = 0
        self._changed = threading.Condition()

    def __call__(self, queries: list[Any]) -> list[Any]:
        with self._changed:
            self.sizes.append(len(queries))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self._changed.notify_all()
        self.let_go.wait(PATIENCE)
        with self._changed:
            self._at_once -= 1
        return [self.answer] * len(queries)

    async def begun(self, batches: int) -> None:
        def wait() -> None:
            with self._changed:
                assert self._changed.wait_for(lambda: len(self.sizes) >= batches, PATIENCE)

        await asyncio.to_thread(wait)


def worker_with(monkeypatch: pytest.MonkeyPatch, searches: Searches, *, cores: int) -> SearchWorker:
    monkeypatch.setattr("service.worker.search", searches)
    monkeypatch.setattr("service.worker.cores", lambda: cores)
    return SearchWorker()


def query() -> Any:  # noqa: ANN401 (stands for a SearchQuery)
    return SimpleNamespace(snapshot=None)


@pytest.mark.parametrize(("encode_ms", "cores", "at_once"), [(5.0, 2, 2), (5.0, 1, 1), (0.1, 2, 1)])
def test_batches_are_done_at_the_same_time_where_encoding_takes_long_and_there_are_cores(
    monkeypatch: pytest.MonkeyPatch, encode_ms: float, cores: int, at_once: int
) -> None:
    searches = Searches(encode_ms)
    worker = worker_with(monkeypatch, searches, cores=cores)

    async def run() -> None:
        searches.let_go.set()
        await worker.search(query())  # tells how long encoding takes
        searches.let_go.clear()
        first = asyncio.create_task(worker.search(query()))
        await searches.begun(2)
        others = [asyncio.create_task(worker.search(query())) for _ in range(3)]
        await asyncio.sleep(0)
        if at_once > 1:
            await searches.begun(3)
        searches.let_go.set()
        await asyncio.gather(first, *others)

    asyncio.run(run())
    worker.close()

    assert searches.most_at_once == at_once
    assert sum(searches.sizes) == 5
    if at_once == 1:
        assert searches.sizes == [1, 1, 3]  # what came meanwhile is one batch


def test_threads_that_are_free_share_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    searches = Searches(5.0)
    worker = worker_with(monkeypatch, searches, cores=2)

    async def run() -> None:
        searches.let_go.set()
        await asyncio.gather(*(worker.search(query()) for _ in range(2)))  # tells how long encoding takes
        searches.sizes.clear()
        searches.let_go.clear()
        begin = threading.Event()
        for _ in range(2):
            worker._executor.submit(begin.wait, PATIENCE)  # no thread takes a turn before all searches wait
        others = [asyncio.create_task(worker.search(query())) for _ in range(8)]
        await asyncio.sleep(0)
        begin.set()
        await searches.begun(2)
        searches.let_go.set()
        await asyncio.gather(*others)

    asyncio.run(run())
    worker.close()

    assert searches.sizes[:2] == [4, 4]


def test_a_batch_has_a_bound_and_the_rest_comes_next(monkeypatch: pytest.MonkeyPatch) -> None:
    searches = Searches(0.0)
    worker = worker_with(monkeypatch, searches, cores=1)

    async def run() -> None:
        first = asyncio.create_task(worker.search(query()))
        await searches.begun(1)
        others = [asyncio.create_task(worker.search(query())) for _ in range(MAX_BATCH + 3)]
        await asyncio.sleep(0)
        searches.let_go.set()
        await asyncio.gather(first, *others)

    asyncio.run(run())
    worker.close()

    assert searches.sizes == [1, MAX_BATCH, 3]


def test_what_befalls_the_whole_index_is_not_tried_for_each_search_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def fail(queries: list[Any]) -> list[Any]:
        tried.append(len(queries))
        raise VectorStoreError("Milvus does not answer")

    searches = Searches(0.0)
    worker = worker_with(monkeypatch, searches, cores=1)

    async def run() -> list[Any]:
        first = asyncio.create_task(worker.search(query()))
        await searches.begun(1)
        others = [asyncio.create_task(worker.search(query())) for _ in range(5)]
        await asyncio.sleep(0)
        monkeypatch.setattr("service.worker.search", fail)
        searches.let_go.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    outcomes = asyncio.run(run())
    worker.close()

    assert tried == [5]
    assert outcomes[0] is searches.answer
    assert all(isinstance(outcome, VectorStoreError) for outcome in outcomes[1:])
