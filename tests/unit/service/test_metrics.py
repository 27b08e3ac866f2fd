from service.metrics import Metrics
from service.search import SearchAnswer


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
    answer = SearchAnswer(images=[], scores=[], total=0, total_is_exact=True, encode_ms=1, search_ms=2)
    metrics.count_batch(answer, [0.001, 0.5, 0.25], 0.003)
    metrics.count_warnings(["nearest", "nearest", "attributes_not_scored"])

    for stage in ("queue", "encode", "search", "total"):
        assert sample(metrics, "scenerank_search_stage_seconds_count", stage=stage) == 3
    assert sample(metrics, "scenerank_batch_size_sum") == 3
    assert sample(metrics, "scenerank_batch_size_count") == 1
    assert sample(metrics, "scenerank_warnings_total", code="nearest") == 2
