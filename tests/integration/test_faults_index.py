"""Index files that go, are altered or cut short, before a start and while they are in use."""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.integration.conftest import ADMIN, PATIENCE, Place, Service, serving, until
from tests.integration.test_service_load import with_settings

GRAPH: Final[dict[str, Any]] = {"objects": ["man", "horse"], "relationships": [[0, "riding", 1]]}
FILTER: Final = {"must": [{"triple": [None, "on", None]}], "must_not": [{"object": "dog"}]}
IMAGES: Final = 3000
UNUSABLE: Final = "urn:scenerank:problem:index-unusable"


def flip(path: Path) -> None:
    """One bit in the middle."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 4]))


def cut(path: Path) -> None:
    """Nothing is left but its first bytes."""
    os.truncate(path, 10)


DAMAGES: Final[dict[str, tuple[str, Callable[[Path], None]]]] = {
    "vectors flipped": ("vectors.npy", flip),
    "vectors cut": ("vectors.npy", cut),
    "filters flipped": ("filters/triples.rows.npy", flip),
    "filters cut": ("filters/objects.rows.npy", cut),
    "records flipped": ("records/data", flip),
    "records cut": ("records/data", cut),
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Two versions, the newer in use. Which database there is makes no difference here."""
    data_dir = tmp_path_factory.mktemp("data")
    place = Place(database_url=f"sqlite:///{data_dir}/scenerank.db", data_dir=data_dir)
    place.fill(IMAGES)
    for seed in range(2):
        place.build(place.checkpoint("first", seed=seed))
    return place


@pytest.fixture
def place(original: Place, tmp_path: Path) -> Place:
    shutil.copytree(original.data_dir, tmp_path / "data")
    return Place(database_url=original.database_url, data_dir=tmp_path / "data")


def current(place: Place) -> Path:
    return place.store.directory(place.store.current() or "")


def ask(service: Service) -> list[httpx.Response]:
    return [
        service.search(GRAPH, limit=50),
        service.search(GRAPH, limit=1000, filter=FILTER, with_graph=True),
        service.client.get("/vocabulary", params={"kind": "object"}),
    ]


def content(answer: httpx.Response) -> dict[str, Any]:
    document: dict[str, Any] = answer.json()
    document.pop("took_ms", None)
    return document


def recover(service: Service, how: str) -> None:
    """Go back by the API, or build a version in another process, this one."""
    if how == "rollback":
        service.client.post("/index/rollback", json={}, headers=ADMIN).raise_for_status()
    else:
        service.place.build(service.place.data_dir / "checkpoints" / "first")
        look(service, 2)
    until(lambda: service.client.get("/readyz").status_code == 200, "it is ready again")
    until(lambda: "problem" not in service.client.get("/readyz").json(), "nothing is wrong any more")
    assert [answer.status_code for answer in ask(service)] == [200] * 3


def look(service: Service, number: int) -> None:
    """Have a service look at its index now, as it does after a change that it has made."""
    body = {"graph": GRAPH, "url": f"https://images.example/{number}"}
    service.client.put("/images/looked", json=body, headers=ADMIN).raise_for_status()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_damaged_while_in_use_makes_no_wrong_answer_and_kills_nobody(place: Place, damage: str) -> None:
    """The service is not to find out by itself, so that searches run into it."""
    name, spoil = DAMAGES[damage]
    with serving(with_settings(place, INDEX_POLL_INTERVAL="600")) as service:
        right = [content(answer) for answer in ask(service)]
        enough, answers = threading.Event(), list[list[httpx.Response]]()

        def keep_asking() -> None:
            with httpx.Client(base_url=service.client.base_url, timeout=PATIENCE) as client:
                mine = Service(place=place, process=service.process, client=client)
                while not enough.is_set():
                    answers.append(ask(mine))

        threads = [threading.Thread(target=keep_asking) for _ in range(2)]
        for thread in threads:
            thread.start()
        until(lambda: len(answers) > 4, "searches are under way")
        spoil(current(place) / name)
        until(lambda: 503 in {answer.status_code for answer in answers[-1]}, "searches run into it")
        look(service, 1)
        until(lambda: service.client.get("/readyz").status_code == 503, "/readyz tells")
        enough.set()
        for thread in threads:
            thread.join(PATIENCE)

        assert service.process.poll() is None
        assert service.client.get("/readyz").json()["type"] == UNUSABLE
        assert str(place.data_dir) not in service.client.get("/readyz").text
        assert {answer.status_code for answer in ask(service)} == {503}
        for asked in answers:
            for answer, expected in zip(asked, right, strict=True):
                assert answer.status_code in (200, 503), answer.text
                assert answer.status_code != 200 or content(answer) == expected
                assert answer.status_code != 503 or answer.json()["type"] == UNUSABLE
        recover(service, "rollback" if spoil is cut else "build")


def test_files_that_were_touched_are_opened_again(place: Place) -> None:
    with serving(place) as service:
        right = [content(answer) for answer in ask(service)]
        for path in current(place).rglob("*.npy"):
            path.touch()
        until(lambda: [answer.status_code for answer in ask(service)] == [200] * 3, "searches are answered again")
        assert [content(answer) for answer in ask(service)] == right
        assert service.client.get("/readyz").json()["status"] == "ready"


def test_versions_that_are_deleted_are_told_of_and_searched_on(place: Place) -> None:
    with serving(place) as service:
        right = [content(answer) for answer in ask(service)]
        shutil.rmtree(current(place))
        until(lambda: "problem" in service.client.get("/readyz").json(), "/readyz tells")
        assert service.client.get("/readyz").status_code == 200
        assert [content(answer) for answer in ask(service)] == right
        recover(service, "build")


@pytest.mark.parametrize("damage", ["vectors flipped", "records cut", "deleted", "current"])
def test_a_service_starts_beside_a_damaged_index_says_so_and_recovers(place: Place, damage: str) -> None:
    match damage:
        case "deleted":
            shutil.rmtree(current(place))
        case "current":
            (place.data_dir / "index" / "current").write_text("{")
        case _:
            name, spoil = DAMAGES[damage]
            spoil(current(place) / name)
    with serving(place) as service:
        for answer in (service.client.get("/readyz"), *ask(service)):
            assert (answer.status_code, answer.json()["type"]) == (503, UNUSABLE), answer.text
        assert service.client.get("/livez").status_code == 200
        assert service.client.get("/images/image-0001").status_code == 200, "the catalogue is not touched by it"
        recover(service, "rollback" if damage in ("vectors flipped", "deleted") else "build")
