from service.metrics import Metrics


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


def test_work_that_is_no_search_is_not_counted() -> None:
    metrics = Metrics()
    metrics.count_work(None, 1, 1)
    assert sample(metrics, "scenerank_search_stage_seconds_count", stage="total") is None
