"""Reindexing under load, and processes killed in the middle of it."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from service.index.versions import IndexStore, open_version
from service.interpret import read_query_graph
from service.search import search
from service.settings import Settings
from tests.factories import make_records, write_records
from tests.integration.conftest import JOB_TIMEOUT, PATIENCE, Place, Service, query_of, serving, until

GRAPH: Final[dict[str, Any]] = {"objects": ["man", "horse", None], "relationships": [[0, "riding", 1], [2, "on", 1]]}


LARGE: Final = 4000  # images that take a while to index


@pytest.fixture
def place(empty_place: Place) -> Place:
    """300 images, two checkpoints to choose from, an index of the first."""
    empty_place.fill(300)
    empty_place.checkpoint("second", seed=2)
    empty_place.build(empty_place.checkpoint("first", seed=1))
    return empty_place


def test_searches_never_fail_or_mix_versions_while_the_index_is_rebuilt(place: Place) -> None:
    answers: list[dict[str, Any]] = []
    failures: list[object] = []
    ended = threading.Event()

    def keep_searching(service: Service) -> None:
        while not ended.is_set():
            answer = service.search(GRAPH, limit=20)
            if answer.status_code == 200:
                answers.append(answer.json())
            else:
                failures.append(answer.text)
            ended.wait(0.01)

    with serving(place) as service:
        threads = [threading.Thread(target=keep_searching, args=(service,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            until(lambda: len(answers) > 10, "searches are under way")
            job = service.ended(service.reindex(checkpoint="second").headers["Location"])
            assert job["state"] == "succeeded", job
            until(lambda: answers[-1]["index_version"] == job["index_version"], "searches see the new version")
        finally:
            ended.set()
            for thread in threads:
                thread.join(PATIENCE)

    assert not failures
    assert len({answer["index_version"] for answer in answers}) == 2
    for answer in answers:
        version = open_version_once(place, answer["index_version"])
        assert answer["model_version"] == version["model_version"]
        assert [result["image_id"] for result in answer["results"]] == version["image_ids"]


_expected: dict[tuple[Path, str], dict[str, Any]] = {}


def open_version_once(place: Place, name: str) -> dict[str, Any]:
    """What a version on the disk answers to GRAPH."""
    key = place.data_dir, name
    if key not in _expected:
        version = open_version(place.store.directory(name))
        (answer,) = search([query_of(version, read_query_graph(GRAPH, None, Settings()), limit=20)])
        _expected[key] = {
            "model_version": version.checkpoint.digest,
            "image_ids": [image.image_id for image in answer.images],
        }
    return _expected[key]


def test_one_reindex_at_a_time_and_a_killed_one_fails_at_once(place: Place) -> None:
    before = place.store.current()
    place.fill(LARGE)
    with serving(place) as service:
        address, builder = reindex_halted_midway(service, key="monday")
        again = service.reindex(headers={"Idempotency-Key": "monday"})
        other = service.reindex(headers={"Idempotency-Key": "tuesday"})
        command = place.run("index", "build")

        assert (again.status_code, again.headers["Location"]) == (202, address)
        assert (other.status_code, other.headers["Location"]) == (409, address)
        assert other.headers["Content-Type"] == "application/problem+json"
        assert (command.returncode, "is under way" in command.stderr) == (1, True)
        assert "Traceback" not in command.stderr

        killed_at = time.monotonic()
        os.kill(builder, signal.SIGKILL)
        job = service.ended(address)
        assert time.monotonic() - killed_at < JOB_TIMEOUT / 2, "noticed, rather than timed out"
        assert (job["state"], "ended early" in job["error"]) == ("failed", True)
        assert service.client.get("/index").json()["version"] == before

        address, builder = reindex_halted_midway(service, key="tuesday")
        service.process.terminate()
        until(lambda: sigterm_is_pending(builder), "the service tells its builder to stop")
        os.kill(builder, signal.SIGCONT)
        service.process.wait(PATIENCE)
    assert not Path(f"/proc/{builder}").exists(), "a service that is stopped stops its builder"
    assert place.job(address)["state"] == "failed"


def test_a_service_killed_during_a_reindex_comes_back_with_the_old_index(place: Place) -> None:
    before = place.store.current()
    place.fill(LARGE)
    with serving(place) as service:
        orphaned, builder = reindex_halted_midway(service, key="orphaned")
        service.process.kill()
        service.process.wait(PATIENCE)
    os.kill(builder, signal.SIGCONT)
    until(lambda: not Path(f"/proc/{builder}").exists(), "the orphaned builder ends")
    assert place.store.current() == before

    with serving(place) as service:
        assert service.client.get("/index").json()["version"] == before
        job = service.job(orphaned)
        assert (job["state"], "service that started it" in job["error"]) == ("failed", True)
        killed, builder = reindex_halted_midway(service, key="killed")
        service.process.kill()
        service.process.wait(PATIENCE)
        os.kill(builder, signal.SIGKILL)

    with serving(place) as service:
        assert service.client.get("/index").json()["version"] == before
        job = service.ended(killed)
        assert (job["state"], "its process died" in job["error"]) == ("failed", True)
        job = service.ended(service.reindex().headers["Location"])
        assert job["state"] == "succeeded", job
        until(lambda: service.client.get("/index").json()["version"] != before, "the new version is in use")
    assert not list((place.data_dir / "index" / "staging").iterdir())


def test_the_command_line_fills_and_indexes_and_a_running_service_follows(empty_place: Place, tmp_path: Path) -> None:
    checkpoint = str(empty_place.checkpoint("first"))
    graphs = str(write_records(tmp_path / "graphs.jsonl", make_records(50)))
    with serving(empty_place) as service:
        imported = empty_place.run("import", graphs)
        assert (imported.returncode, imported.stdout) == (0, "50 images read; 50 in the catalogue.\n"), imported.stderr

        built = empty_place.run("index", "build", "--checkpoint", checkpoint)
        assert (built.returncode, "50 images" in built.stdout) == (0, True), built.stderr
        until(lambda: service.search(GRAPH).status_code == 200, "the service uses the new index")
        assert service.search(GRAPH).json()["total"] == 50


def test_a_job_knows_the_new_version_before_it_is_in_use(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str | None] = []
    publish = IndexStore.publish

    def look_then_publish(store: IndexStore, staged: Path) -> None:
        told.append(place.last_job()["index_version"])
        publish(store, staged)

    monkeypatch.setattr(IndexStore, "publish", look_then_publish)
    manifest = place.build(place.data_dir / "checkpoints" / "second")

    assert told == [manifest.version]


def test_a_build_that_is_told_to_stop_leaves_no_running_job(place: Place) -> None:
    before = place.store.current()
    place.fill(LARGE)
    command = [sys.executable, "-m", "scenerank", "index", "build"]
    with subprocess.Popen(command, env=place.environment, stderr=subprocess.PIPE) as builder:
        until(lambda: place.last_job()["state"] == "running", "the build runs", every=0.005)
        builder.send_signal(signal.SIGTERM)
        _, said = builder.communicate(timeout=PATIENCE)
    assert (builder.returncode, b"Error: it was told to stop" in said) == (1, True), said
    job = place.last_job()
    assert (job["state"], "told to stop" in job["error"], job["index_version"]) == ("failed", True, None)
    assert place.store.current() == before


def reindex_halted_midway(service: Service, *, key: str = "midway") -> tuple[str, int]:
    """Start a reindex and halt its process while the job is running; the job's address and the process."""
    address = service.reindex(headers={"Idempotency-Key": key}).headers["Location"]
    until(lambda: service.job(address)["state"] != "enqueued", f"{address} runs", every=0.005)
    (builder,) = service.children()
    os.kill(builder, signal.SIGSTOP)
    assert service.job(address)["state"] == "running", "halted too late: make LARGE larger"
    return address, builder


def sigterm_is_pending(pid: int) -> bool:
    pending = re.search(r"^ShdPnd:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert pending is not None
    return bool(int(pending[1], 16) & 1 << (signal.SIGTERM - 1))


@pytest.fixture(autouse=True)
def no_halted_processes() -> Iterator[None]:
    """Whatever happens in a test, what it has halted ends."""
    yield
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            halted = b"service.reindex" in path.read_bytes() and path.with_name("stat").read_text().split()[2] == "T"
        except OSError:
            continue
        if halted:
            os.kill(int(path.parent.name), signal.SIGKILL)


def test_a_damaged_switch_leaves_the_old_index_and_tells_strangers_no_paths(place: Place) -> None:
    with serving(place) as service:
        version = service.search(GRAPH).json()["index_version"]
        (place.data_dir / "index" / "current").write_text('{"version": "../../elsewhere"}')
        until(lambda: "problem" in service.client.get("/readyz").json(), "the service has noticed")
        health = service.client.get("/readyz")
        assert (health.status_code, health.json()["index_version"]) == (200, version)
        assert str(place.data_dir) not in health.text
        assert service.search(GRAPH).json()["index_version"] == version
    command = place.run("index", "build")
    assert (command.returncode, "--checkpoint RUN" in command.stderr) == (1, True), command.stderr
    with serving(place) as service:
        assert service.client.get("/readyz").status_code == 503
        answer = service.search(GRAPH)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:scenerank:problem:index-unusable")
        assert str(place.data_dir) not in answer.text
        answer = service.reindex()
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:scenerank:problem:unusable-checkpoint")
        job = service.ended(service.reindex(checkpoint="second").headers["Location"])
        assert job["state"] == "succeeded", job
        until(lambda: service.search(GRAPH).status_code == 200, "the service has recovered")
