"""The service with more to do than it can, and its end under load."""

import dataclasses
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import httpx
import pytest

from tests.integration.conftest import PATIENCE, Place, Service, serving, until

QUERY: Final = {"graph": {"objects": ["man", "horse"], "relationships": [[0, "riding", 1]]}, "limit": 300}
CLIENTS: Final = 16


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SetPlace(Place):
    """A place with settings of its own."""

    settings: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        return Place.environment.fget(self) | self.settings  # type: ignore[attr-defined,no-any-return]


def with_settings(place: Place, **settings: str) -> Place:
    variables = {f"SCENERANK_{name}": value for name, value in settings.items()}
    return SetPlace(database_url=place.database_url, data_dir=place.data_dir, settings=variables)


@pytest.fixture(scope="module")
def narrow(indexed_place: Place) -> Iterator[Service]:
    with serving(with_settings(indexed_place, MAX_QUEUE="2")) as service:
        yield service


def ask_until(service: Service, enough: threading.Event, asked: list[httpx.Response]) -> None:
    """Ask as one client over and over."""
    with httpx.Client(base_url=service.client.base_url, timeout=PATIENCE) as client:
        while not enough.is_set():
            asked.append(client.post("/search", json=QUERY))


def test_overload_is_refused_and_the_rest_answered_while_livez_goes_on(narrow: Service) -> None:
    enough, asked = threading.Event(), list[httpx.Response]()
    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in range(CLIENTS):
            pool.submit(ask_until, narrow, enough, asked)
        try:
            until(lambda: {answer.status_code for answer in tuple(asked)} == {200, 503}, "some are refused")
            for _ in range(50):
                assert narrow.client.get("/livez").status_code == 200
        finally:
            enough.set()

    assert {answer.status_code for answer in asked} == {200, 503}
    results = [answer.json()["results"] for answer in asked if answer.status_code == 200]
    assert all(result == results[0] for result in results), "answers are whole"
    for answer in asked:
        if answer.status_code == 503:
            assert answer.json()["type"] == "urn:scenerank:problem:overloaded"
            assert int(answer.headers["Retry-After"]) > 0
    assert narrow.client.post("/search", json=QUERY).status_code == 200, "no place is lost"


def test_late_searches_are_504(indexed_place: Place) -> None:
    with serving(with_settings(indexed_place, REQUEST_TIMEOUT="0.000001")) as service:
        answer = service.client.post("/search", json=QUERY)
        assert (answer.status_code, answer.json()["type"]) == (504, "urn:scenerank:problem:deadline-exceeded")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_service_ends_without_dropping_a_request(indexed_place: Place, workers: str) -> None:
    """Clients ask until they see that the service is not ready, as a load balancer does for them."""
    with serving(with_settings(indexed_place, DRAIN_TIME="3", WORKERS=workers)) as service:
        enough, asked = threading.Event(), list[httpx.Response]()
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(ask_until, service, enough, asked) for _ in range(4)]
            until(lambda: len(asked) > 10, "searches run")
            service.process.terminate()
            until(lambda: service.client.get("/readyz").status_code == 503, "the service is unready")
            unready = service.client.get("/readyz")
            before = len(asked)
            until(lambda: len(asked) > before + 4, "searches go on")
            enough.set()
            for client in clients:
                client.result()
        assert unready.json()["type"] == "urn:scenerank:problem:draining"
        assert {answer.status_code for answer in asked} == {200}
        assert asked[-1].headers["Connection"] == "close"
        assert service.process.wait(PATIENCE) == 0
