import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

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
    monkeypatch.setattr("torch.get_num_threads", lambda: cores)
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
