import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.multiprocess import mark_process_dead
from prometheus_client.parser import text_string_to_metric_families

from service.admission import Admission
from service.metrics import Metrics
from service.search import SearchAnswer

ANSWER = SearchAnswer(images=[], scores=[], total=0, total_is_exact=True, encode_ms=1, search_ms=2)


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_requests_are_counted_by_route_and_status() -> None:
    metrics = Metrics()
    for status in (200, 200, 503):
        metrics.count_request(method="POST", route="/search", status=status, seconds=0.1)

    assert sample(metrics, "scenerank_requests_total", method="POST", route="/search", status="200") == 2
    assert sample(metrics, "scenerank_request_seconds_count", route="/search") == 3


def test_a_stranger_chooses_no_label() -> None:
    metrics = Metrics()
    metrics.count_request(method="X" * 1000, route="-", status=405, seconds=0)

    assert sample(metrics, "scenerank_requests_total", method="other", route="-", status="405") == 1


def test_refusals_are_counted_by_reason() -> None:
    metrics = Metrics()
    for status, route in ((429, "-"), (503, "-"), (503, "/readyz"), (504, "/search"), (404, "-")):
        metrics.count_request(method="POST", route=route, status=status, seconds=0)

    counts = {reason: sample(metrics, "scenerank_rejected_total", reason=reason) for reason in REASONS}
    assert counts == dict.fromkeys(REASONS, 1)


REASONS = ("rate_limit", "queue_full", "deadline")


def test_a_batch_counts_each_of_its_searches() -> None:
    metrics = Metrics()
    metrics.count_batch(ANSWER, [0.001, 0.5, 0.25], 0.003)
    metrics.count_warnings(["nearest", "nearest", "attributes_not_scored"])

    for stage in ("queue", "encode", "search", "total"):
        assert sample(metrics, "scenerank_search_stage_seconds_count", stage=stage) == 3
    assert sample(metrics, "scenerank_batch_size_sum") == 3
    assert sample(metrics, "scenerank_batch_size_count") == 1
    assert sample(metrics, "scenerank_warnings_total", code="nearest") == 2


Part = Callable[[Metrics, Admission], object]
Figures = dict[tuple[str, ...], float]


def application(max_queue: int) -> tuple[Metrics, Admission]:
    metrics, admission = Metrics(), Admission(max_queue, 60)
    manifest = SimpleNamespace(version="first", model_digest="abc")
    snapshot = SimpleNamespace(version=SimpleNamespace(manifest=manifest), count=7, changed=2, revision=3)
    engine: Any = SimpleNamespace(snapshot=snapshot)
    metrics.follow(engine, admission)
    return metrics, admission


def figures(text: bytes) -> Figures:
    """Each figure by name and labels, but the times at which series were made, which are of one process."""
    found: Figures = {}
    for family in text_string_to_metric_families(text.decode()):
        for one in family.samples:
            key = (one.name, *(f"{name}={value}" for name, value in sorted(one.labels.items())))
            assert key not in found, "told once"
            found[key] = one.value
    return {key: value for key, value in found.items() if not key[0].endswith("_created")}


def busy(metrics: Metrics, admission: Admission) -> None:
    for _ in range(3):
        admission.enter()
    admission.leave()
    metrics.count_batch(ANSWER, [0.001, 0.5, 0.25], 0.003)
    metrics.count_warnings(["nearest"])
    for status in (200, 200, 504):
        metrics.count_request(method="POST", route="/search", status=status, seconds=0.1)


def calm(metrics: Metrics, admission: Admission) -> None:
    admission.enter()
    metrics.count_batch(ANSWER, [0.002], 7)
    metrics.count_warnings(["nearest", "attributes_not_scored"])
    metrics.count_request(method="POST", route="/search", status=200, seconds=0.3)
    metrics.count_request(method="GET", route="/livez", status=200, seconds=0)


def neither(_metrics: Metrics, _admission: Admission) -> None:
    pass


def work(pipe: Connection) -> None:
    """One of several processes: does its part, whenever it is told to, and answers with what it tells."""
    metrics, admission = application(max_queue=4)
    while True:
        try:
            part: Part = pipe.recv()
        except EOFError:
            return
        part(metrics, admission)
        pipe.send(metrics.render())


@contextmanager
def process() -> Iterator[tuple[multiprocessing.process.BaseProcess, Callable[[Part], Figures]]]:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    child = spawn.Process(target=work, args=(theirs,))
    child.start()
    theirs.close()

    def ask(part: Part) -> Figures:
        ours.send(part)
        return figures(ours.recv())

    with closing(child):
        try:
            yield child, ask
        finally:
            ours.close()
            child.join()


def test_the_queue_is_told_as_it_is() -> None:
    metrics, admission = application(max_queue=2)
    assert (sample(metrics, "scenerank_queue_depth"), sample(metrics, "scenerank_queue_limit")) == (0, 2)
    admission.enter()
    admission.enter()
    assert sample(metrics, "scenerank_queue_depth") == 2
    admission.leave()
    assert sample(metrics, "scenerank_queue_depth") == 1


def test_whichever_process_is_asked_tells_what_one_alone_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = application(max_queue=4)
    for part in (busy, calm):
        part(*alone)
    expected = figures(alone[0].render())
    assert expected["scenerank_queue_depth",] == 3

    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    (tmp_path / "counter_0.db").touch()  # of one that was killed as it began
    with process() as (_, first), process() as (other, second):
        assert first(neither)["scenerank_rejected_total", "reason=queue_full"] == 0, "from the start"
        first(calm)
        assert second(busy) == pytest.approx(expected)
        assert first(neither) == pytest.approx(expected)

        other.kill()
        other.join()
        mark_process_dead(other.pid, tmp_path)  # type: ignore[no-untyped-call]  # has no types
        left: Figures = {("scenerank_queue_depth",): 1}
        assert first(neither) == pytest.approx(expected | left)
