"""The database goes away and comes back: searches go on, the rest says what is wrong, nothing starts anew."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import make_url

from tests.integration.conftest import ADMIN, PATIENCE, Place, PostgresServer, Service, serving, until
from tests.integration.test_service_load import with_settings

GRAPH: Final[dict[str, Any]] = {"objects": ["man", "horse"], "relationships": [[0, "riding", 1]]}
UNAVAILABLE: Final = "urn:scenerank:problem:database-unavailable"

Outage = Callable[[], Any]
"""A context in which the database is away."""


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    server.start()
    yield server
    server.end()
    server.remove()


@pytest.fixture(params=["sqlite", "postgres"])
def outage(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Outage]:
    """The URL of a database, and what makes it go away for a while."""
    if request.param == "sqlite":
        file = tmp_path / "database" / "scenerank.db"

        @contextmanager
        def moved() -> Iterator[None]:
            away = file.parent.rename(tmp_path / "away")
            yield
            away.rename(file.parent)

        return f"sqlite:///{file}", moved
    server: PostgresServer = request.getfixturevalue("own_server")

    @contextmanager
    def ended() -> Iterator[None]:
        server.end()
        yield
        server.start()

    return server.url.format("postgres"), ended


def put(service: Service, image_id: str) -> httpx.Response:
    return service.client.put(f"/images/{image_id}", json={"graph": GRAPH}, headers=ADMIN)


def count(service: Service) -> int:
    answer = service.search(GRAPH, limit=1000)
    assert answer.status_code == 200, answer.text
    return len(answer.json()["results"])


def assert_unavailable(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["type"]) == (503, UNAVAILABLE), answer.text
    assert int(answer.headers["Retry-After"]) > 0
    assert "database" in answer.json()["detail"]


def test_a_database_that_goes_away_and_comes_back(outage: tuple[str, Outage], tmp_path: Path) -> None:
    url, away = outage
    place = Place(database_url=url, data_dir=tmp_path / "data")
    place.fill(30)
    place.build(place.checkpoint("first"))
    log = tmp_path / "log"
    with log.open("wb") as stderr, serving(with_settings(place, JOB_TIMEOUT="60"), stderr=stderr) as service:
        assert put(service, "before").status_code == 201
        until(lambda: count(service) == 31, "the change is seen")
        for _ in range(2):
            with away():
                for _ in range(5):  # each may find another connection of the pool
                    assert count(service) == 31
                    assert_unavailable(service.client.get("/readyz"))
                    assert_unavailable(service.client.get("/images/image-0001"))
                    assert_unavailable(put(service, "during"))
                    assert_unavailable(service.client.delete("/images/image-0001", headers=ADMIN))
                    assert_unavailable(service.reindex())
                    assert_unavailable(service.client.get(f"/jobs/{uuid4()}"))
                assert service.client.get("/livez").status_code == 200
            until(lambda: service.client.get("/readyz").status_code == 200, "it is ready again")
            assert service.client.get("/images/during").status_code == 404
        assert put(service, "after").status_code == 201
        until(lambda: count(service) == 32, "changes are seen again")
        until(lambda: "problem" not in service.client.get("/readyz").json(), "nothing is wrong any more")
        job = service.ended(service.reindex().headers["Location"])
        assert job["state"] == "succeeded", job["error"]
    text = log.read_text()
    assert "the database does not do its part" in text
    assert "Traceback" not in text
    assert not list(tmp_path.glob("away*"))


@pytest.mark.parametrize("outage", ["postgres"], indirect=True)  # a SQLite database that is not there is made
def test_a_service_that_finds_no_database_says_so(outage: tuple[str, Outage], tmp_path: Path) -> None:
    url, away = outage
    place = Place(database_url=url, data_dir=tmp_path / "data")
    with away():
        command = place.run("serve", "--port", "0")
    assert (command.returncode, "Traceback" in command.stderr) == (1, False), command.stderr
    assert "cannot be opened" in command.stderr


@pytest.mark.parametrize("new_database", ["sqlite"], indirect=True)  # PostgreSQL locks rows
def test_who_changes_a_locked_database_waits_and_nobody_else(empty_place: Place) -> None:
    empty_place.fill(30)
    empty_place.build(empty_place.checkpoint("first"))
    with serving(empty_place) as service:
        lock = sqlite3.connect(str(make_url(empty_place.database_url).database), isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        statuses: list[int] = []
        waiting = threading.Thread(target=lambda: statuses.append(put(service, "waits").status_code))
        waiting.start()
        for _ in range(5):
            assert count(service) == 30
            assert service.client.get("/readyz").status_code == 200
            assert service.client.get("/images/image-0001").status_code == 200
        assert not statuses
        lock.execute("COMMIT")
        lock.close()
        waiting.join(PATIENCE)
        assert statuses == [201]
        until(lambda: count(service) == 31, "the change is seen")
