"""What whoever runs the service sees of it: metrics and log."""

import json
from typing import Any, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.factories import make_records
from tests.integration.conftest import ADMIN_KEY, RECORDS, Place, Service, serving
from tests.integration.test_service_http import assert_problem
from tests.integration.test_service_load import QUERY, with_settings

SECRET: Final = "a-key-that-nobody-may-see"


def samples(service: Service) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = service.client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_tell_of_searches_warnings_and_the_index(service: Service) -> None:
    def value(name: str, **labels: str) -> float:
        return samples(service).get((name, tuple(sorted(labels.items()))), 0.0)

    before = value("scenerank_warnings_total", code="nearest")
    assert service.search({"objects": ["pony"]}).status_code == 200
    assert service.client.get("/images/none/such").status_code == 404
    assert service.client.get("/no/such/route").status_code == 404

    assert value("scenerank_warnings_total", code="nearest") == before + 1
    for stage in ("queue", "encode", "search", "total"):
        assert value("scenerank_search_stage_seconds_count", stage=stage) >= 1
    assert value("scenerank_requests_total", method="POST", route="/search", status="200") >= 1
    assert value("scenerank_requests_total", method="GET", route="/images/{image_id:path}", status="404") >= 1
    assert value("scenerank_requests_total", method="GET", route="-", status="404") >= 1
    assert value("scenerank_index_images") == RECORDS
    index = service.client.get("/index").json()
    assert value("scenerank_index_info", version=index["version"], model=index["model_version"]) == 1
    assert value("scenerank_queue_depth") == 0
    assert not any("such" in str(key) for key in samples(service))


@pytest.fixture
def json_log(indexed_place: Place, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The log of a service that was asked some questions."""
    place = with_settings(indexed_place, LOG_FORMAT="json", ADMIN_KEYS=SECRET)
    file = tmp_path_factory.mktemp("log") / "log"
    with file.open("wb") as log, serving(place, stderr=log) as service:
        service.client.get("/livez", headers={"X-Request-Id": "mine"})
        service.client.post("/reindex", headers={"X-API-Key": SECRET}, json={"checkpoint": "none"})
        service.client.post("/reindex", headers={"X-API-Key": SECRET + "-wrong"})
    text = file.read_text()
    assert SECRET not in text
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_the_log_has_one_json_line_a_request(json_log: list[dict[str, Any]]) -> None:
    requests = [line for line in json_log if line["logger"] == "service.requests"]

    mine = [line for line in requests if line["request_id"] == "mine"]
    assert [(line["route"], line["status"]) for line in mine] == [("/livez", 200)]
    assert [line["status"] for line in requests if line["route"] == "/reindex"] == [422, 401]
    assert all(line["time"] and line["level"] == "info" and line["ms"] >= 0 for line in requests)


def test_search_keys_close_searches_and_images_and_nothing_else(indexed_place: Place) -> None:
    with serving(with_settings(indexed_place, SEARCH_KEYS="one,two")) as service:
        image = f"/images/{make_records(1)[0].image_id}"
        for key in (None, "wrong", "one,two"):
            headers = {} if key is None else {"X-API-Key": key}
            assert_problem(service.client.post("/search", json=QUERY, headers=headers), 401)
            assert_problem(service.client.get(image, headers=headers), 401)
        for key in ("one", "two", ADMIN_KEY):
            assert service.client.post("/search", json=QUERY, headers={"X-API-Key": key}).status_code == 200
            assert service.client.get(image, headers={"X-API-Key": key}).status_code == 200
        assert_problem(service.client.post("/reindex", headers={"X-API-Key": "one"}), 401)
        operations = service.client.get("/openapi.json").json()["paths"]
        assert operations["/search"]["post"]["security"] == [{"SearchKey": []}]
        for path in ("/", "/livez", "/readyz", "/metrics", "/openapi.json", "/docs"):
            assert service.client.get(path).status_code == 200


def test_without_search_keys_the_document_asks_for_none(service: Service) -> None:
    assert "security" not in service.client.get("/openapi.json").json()["paths"]["/search"]["post"]


def test_rate_limits_are_for_each_key_or_address(indexed_place: Place) -> None:
    with serving(with_settings(indexed_place, RATE_LIMIT="0.001", RATE_BURST="2")) as service:

        def ask(key: str) -> int:
            return service.client.get("/openapi.json", headers={"X-API-Key": key}).status_code

        assert [ask("invented"), ask("invented too"), ask("invented as well")] == [200, 200, 429]
        assert [ask(ADMIN_KEY), ask(ADMIN_KEY), ask(ADMIN_KEY), ask("another")] == [200, 200, 429, 200]
        refused = service.client.post("/search", json=QUERY)
        assert_problem(refused, 429)
        assert int(refused.headers["Retry-After"]) > 0
        assert all(service.client.get("/livez").status_code == 200 for _ in range(5))
