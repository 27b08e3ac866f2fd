"""The service on Milvus, by milvus-lite: answers are those of a service on files, beside it on the same catalogue."""

import importlib.util
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.conftest import skip_or_fail
from tests.integration.conftest import ADMIN, PATIENCE, RECORDS, Place, Service, serving, until
from tests.ports import free_port

MAN_ON_HORSE: Final[dict[str, Any]] = {
    "objects": [{"id": "m", "name": "man", "attributes": ["tall"]}, {"id": "h", "name": "horse"}],
    "relationships": [{"subject": "m", "predicate": "riding", "object": "h"}],
}
ANY_ON_TABLE: Final[dict[str, Any]] = {
    "objects": [{"id": "x", "name": "*"}, {"id": "t", "name": "table"}],
    "relationships": [{"subject": "x", "predicate": None, "object": "t"}],
}
SEARCHES: Final[list[dict[str, Any]]] = [
    {"graph": MAN_ON_HORSE},
    {"graph": ANY_ON_TABLE, "limit": 7, "offset": 11},
    {"graph": {"objects": ["pony"]}, "limit": 300, "with_graph": True, "with_metadata": True},
    {"graph": MAN_ON_HORSE, "explain": True, "limit": 20},
    {"graph": MAN_ON_HORSE, "rerank": "triples", "explain": True, "limit": 5, "offset": 2},
    {"graph": MAN_ON_HORSE, "min_score": 0.5, "limit": 4},
    {"graph": MAN_ON_HORSE, "min_score": 0.999},
    {"image_id": "image-0007", "limit": 12},
    {"text": "man riding horse; tall woman; not car", "limit": 9},
    {"graph": MAN_ON_HORSE, "filter": {"must": [{"triple": ["man", None, None]}], "must_not": [{"object": "lady"}]}},
    {"graph": MAN_ON_HORSE, "filter": {"must": [{"attribute": [None, "tall"]}, {"object": "Trees"}]}, "limit": 30},
    {"graph": MAN_ON_HORSE, "filter": {"must": [{"object": 'quokka" or id != "'}]}},
    {"graph": MAN_ON_HORSE, "filter": {"must_not": [{"triple": ["*", "on", "*"]}]}, "limit": 50, "offset": 3},
]


@pytest.fixture(scope="module", autouse=True)
def _milvus_lite() -> None:
    if importlib.util.find_spec("milvus_lite") is None:
        skip_or_fail("milvus", "milvus-lite is not installed")


class Server:
    """A Milvus server, of milvus-lite, in a process of its own."""

    def __init__(self, directory: Path) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = ["server", "--data-dir", str(self._directory), "--host", "127.0.0.1", "--port", str(self._port)]
        command = [sys.executable, "-m", "milvus_lite", *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._answers, "Milvus answers")

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(PATIENCE)

    def _answers(self) -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self._port)) == 0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("milvus"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose vectors are in files: the oracle."""
    directory = tmp_path_factory.mktemp("files")
    place = Place(database_url=f"sqlite:///{directory}/scenerank.db", data_dir=directory / "data")
    place.fill(RECORDS)
    place.build(place.checkpoint("first"))
    place.checkpoint("second", seed=1)
    with serving(place) as service:
        yield service


def beside(files: Service, data_dir: Path, index_url: str) -> Place:
    """A place on the same catalogue, with vectors in Milvus."""
    place = Place(database_url=files.place.database_url, data_dir=data_dir, index_url=index_url)
    place.checkpoint("first")
    place.checkpoint("second", seed=1)
    return place


def reindexed(service: Service, *, checkpoint: str) -> str:
    """The version that a reindex makes."""
    answer = service.reindex(checkpoint=checkpoint)
    assert answer.status_code == 202, answer.text
    job = service.ended(answer.headers["Location"])
    assert job["state"] == "succeeded", job
    return str(job["index_version"])


def in_use(service: Service) -> str:
    return str(service.client.get("/index").json().get("version"))


def assert_same_answers(service: Service, files: Service) -> None:
    batch = {"queries": SEARCHES}
    found, expected = (one.client.post("/search/batch", json=batch).json()["answers"] for one in (service, files))
    for body, answer, right in zip(SEARCHES, found, expected, strict=True):
        assert_same(answer, right)
        assert_same(service.client.post("/search", json=body).json(), right)


def assert_same(answer: dict[str, Any], right: dict[str, Any]) -> None:
    """All but what two backends may differ in; queries encoded together differ in the last digit of their scores."""
    one, other = split(answer), split(right)
    assert one[0] == other[0]
    assert one[1] == pytest.approx(other[1], abs=2e-6)


def split(answer: dict[str, Any]) -> tuple[dict[str, Any], list[float]]:
    """An answer without its scores, and those."""
    results = [
        {name: value for name, value in result.items() if name not in ("score", "embedding_score")}
        for result in answer["results"]
    ]
    scores = [result[name] for result in answer["results"] for name in ("score", "embedding_score") if name in result]
    kept = {name: value for name, value in answer.items() if name not in ("index_version", "took_ms", "results")}
    return kept | {"results": results}, scores


def test_a_file_serves_one_process_and_its_reindex(files: Service, tmp_path: Path) -> None:
    place = beside(files, tmp_path, str(tmp_path / "vectors.db"))
    with serving(place) as service:
        assert service.search(MAN_ON_HORSE).json()["type"] == "urn:scenerank:problem:no-index"
        version = reindexed(service, checkpoint="first")
        until(lambda: in_use(service) == version, "the version is in use")
        assert_same_answers(service, files)

        refused = place.run("index", "build")
        assert refused.returncode == 1
        assert "another process has it" in refused.stderr
        assert "Traceback" not in refused.stderr

    with serving(place) as service:
        assert in_use(service) == version, "everything is still there"
        assert_same_answers(service, files)


def test_processes_share_a_server_and_each_sees_what_others_do(files: Service, server: Server, tmp_path: Path) -> None:
    place = beside(files, tmp_path, server.url)
    with serving(place) as one, serving(place) as other:
        first = reindexed(one, checkpoint="first")
        until(lambda: in_use(other) == first, "the other has it too")
        assert_same_answers(other, files)

        image = {"graph": MAN_ON_HORSE, "url": "https://images.example/new.jpg", "metadata": {"a": "\" ' \\ 日本"}}
        assert one.client.put("/images/a \"new' one", json=image, headers=ADMIN).status_code == 201
        assert other.client.delete("/images/image-0011", headers=ADMIN).status_code == 204
        for service in (one, other, files):
            until(lambda service=service: sees_both(service), "both changes are seen")  # type: ignore[misc]
        for service in (one, other):
            assert_same_answers(service, files)
            assert revision_of(service) == revision_of(files)

        with searching(one, other) as answers:
            command = place.run("index", "build", "--checkpoint", str(place.data_dir / "checkpoints" / "second"))
        assert command.returncode == 0, command.stderr
        assert {status for status, _ in answers} == {200}, "no request fails while versions are switched"
        models = {(answer["index_version"][:30], answer["model_version"]) for _, answer in answers}
        assert len(models) == len({version for version, _ in models}), "a version has one model"
        second = next(word for word in command.stdout.split() if word.startswith("20"))
        for service in (one, other):
            until(lambda service=service: in_use(service) == second, "the new version is in use")  # type: ignore[misc]
        reindexed(files, checkpoint="second")
        assert_same_answers(other, files)

        listed = one.client.get("/index/versions").json()["versions"]
        assert [(version["version"], version["in_use"]) for version in listed] == [(second, True), (first, False)]
        assert one.client.post("/index/rollback", json={}, headers=ADMIN).json()["version"] == first
        until(lambda: in_use(other) == first, "the other goes back too")
        assert files.client.post("/index/rollback", json={}, headers=ADMIN).status_code == 200
        assert_same_answers(other, files)


def revision_of(service: Service) -> str:
    """The catalogue's revision that answers name."""
    return str(service.search(MAN_ON_HORSE).json()["index_version"].partition("+")[2])


@contextmanager
def searching(*services: Service) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    """Two clients of each service search all the while; gives what they were answered."""
    ended, answers = threading.Event(), list[tuple[int, dict[str, Any]]]()

    def search(service: Service) -> None:
        with httpx.Client(base_url=service.client.base_url, timeout=PATIENCE) as client:
            while not ended.is_set():
                answer = client.post("/search", json={"graph": MAN_ON_HORSE})
                answers.append((answer.status_code, answer.json()))

    threads = [threading.Thread(target=search, args=(service,)) for service in services for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        ended.set()
        for thread in threads:
            thread.join(PATIENCE)


def sees_both(service: Service) -> bool:
    gone = service.client.post("/search", json={"image_id": "image-0011"}).status_code == 404
    return gone and service.client.post("/search", json={"image_id": "a \"new' one"}).status_code == 200


def test_a_change_is_written_though_its_process_died_and_milvus_was_away(
    files: Service, server: Server, tmp_path: Path
) -> None:
    place = beside(files, tmp_path, server.url)
    with serving(place) as one:
        version = reindexed(one, checkpoint="first")
        until(lambda: in_use(one) == version, "it is in use")
        server.kill()
        answer = one.search(MAN_ON_HORSE)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:scenerank:problem:vector-store-unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        until(lambda: "problem" in one.client.get("/readyz").json(), "/readyz tells")
        assert one.client.put("/images/late", json={"graph": MAN_ON_HORSE}, headers=ADMIN).status_code == 201
        one.process.kill()
    server.start()
    with serving(place) as again:
        assert in_use(again) == version
        until(lambda: again.client.post("/search", json={"image_id": "late"}).status_code == 200, "the change is found")
        assert again.client.delete("/images/late", headers=ADMIN).status_code == 204
        until(lambda: again.client.post("/search", json={"image_id": "late"}).status_code == 404, "and gone")
        server.kill()
        server.start()
        until(lambda: again.search(MAN_ON_HORSE).status_code == 200, "Milvus is back, without a restart")


def test_a_url_that_is_none_is_refused_in_one_line(files: Service, tmp_path: Path) -> None:
    command = beside(files, tmp_path, "ftp://milvus").run("index", "build")
    assert command.returncode == 1
    assert "SCENERANK_INDEX_URL" in command.stderr
    assert "Traceback" not in command.stderr
