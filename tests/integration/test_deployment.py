"""Several processes on one PostgreSQL and one index directory, behind the very nginx configuration that is deployed."""

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.conftest import skip_or_fail
from tests.integration.conftest import ADMIN, PATIENCE, Place, Service, until
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
QUERY = {"graph": {"objects": ["man", "horse"], "relationships": [[0, "riding", 1]]}, "limit": 5}


@dataclass(frozen=True, kw_only=True)
class Replica:
    """A place for a process: its port stays, processes come and go."""

    place: Place
    port: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "scenerank", "serve", "--port", str(self.port)]
        environment = self.place.environment | {"SCENERANK_DRAIN_TIME": "0.5", "SCENERANK_INDEX_POLL_INTERVAL": "0.25"}
        self.processes.append(subprocess.Popen(command, env=environment))
        until(lambda: _status(f"{self.url}/readyz") == 200, "the replica is ready")

    def stop(self) -> int:
        self.processes[-1].terminate()
        return self.processes[-1].wait(PATIENCE)

    def version(self) -> str:
        answer = httpx.post(f"{self.url}/search", json=QUERY, timeout=PATIENCE).raise_for_status()
        return str(answer.json()["index_version"])


def _status(url: str) -> int | None:
    try:
        return httpx.get(url, timeout=PATIENCE).status_code
    except httpx.TransportError:
        return None


@pytest.fixture(scope="module")
def place(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Place:
    with psycopg.connect(postgres_server.format("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE scenerank_deployment")
    place = Place(database_url=postgres_server.format("scenerank_deployment"), data_dir=tmp_path_factory.mktemp("data"))
    place.fill(300)
    place.build(place.checkpoint("first"))
    return place


@pytest.fixture(scope="module")
def replicas(place: Place) -> Iterator[list[Replica]]:
    replicas = [Replica(place=place, port=free_port()) for _ in range(2)]
    try:
        for replica in replicas:
            replica.start()
        yield replicas
    finally:
        for replica in replicas:
            for process in replica.processes:
                process.kill()
                process.wait(PATIENCE)


@pytest.fixture(scope="module")
def nginx(replicas: list[Replica], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of nginx in front of both; names come from its configuration instead of Docker's DNS."""
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        skip_or_fail("compose", "nginx is not installed")
    home, port = tmp_path_factory.mktemp("nginx"), free_port()
    text = (ROOT / "docker" / "nginx.conf").read_text()
    # As with names: no address is left out for a while because it once failed.
    servers = "".join(f"server 127.0.0.1:{replica.port} max_fails=0; " for replica in replicas)
    for old, new in {
        "listen 8000;": f"listen 127.0.0.1:{port};",
        "resolver 127.0.0.11 valid=1s ipv6=off;": "",
        "set $api api:8000;": "set $api api;",
        "http {": f"http {{ upstream api {{ {servers} }}",
        " /tmp/": f" {home}/",
        "/dev/stderr": f"{home}/error.log",
    }.items():
        assert old in text
        text = text.replace(old, new)
    (home / "nginx.conf").write_text(text)
    process = subprocess.Popen([program, "-c", home / "nginx.conf", "-g", "daemon off;"], stderr=subprocess.DEVNULL)
    try:
        until(lambda: _status(f"http://127.0.0.1:{port}/livez") == 200, "nginx answers")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE)


@contextmanager
def load(url: str) -> Iterator[list[str]]:
    """Asks all the while; gives what went wrong. Half of the clients keep their connections."""
    failures: list[str] = []
    ended = threading.Event()

    def ask(number: int) -> None:
        calls: list[Callable[[httpx.Client], httpx.Response]] = [
            lambda client: client.post("/search", json=QUERY),
            lambda client: client.post("/search/batch", json={"queries": [QUERY, QUERY]}),
            lambda client: client.get("/index"),
            lambda client: client.put(f"/images/load-{number}", json={"graph": QUERY["graph"]}, headers=ADMIN),
        ]
        with httpx.Client(base_url=url, timeout=PATIENCE) as kept:
            while not ended.is_set():
                for call in calls:
                    ended.wait(0.05)  # the processor is for who starts
                    try:
                        if number % 2:
                            response = call(kept)
                        else:
                            with httpx.Client(base_url=url, timeout=PATIENCE) as fresh:
                                response = call(fresh)
                        if response.status_code >= 400:
                            failures.append(f"{response.request.url}: {response.status_code} {response.text[:200]}")
                    except httpx.TransportError as error:
                        failures.append(repr(error))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_no_request_fails_while_one_replica_after_the_other_is_restarted(replicas: list[Replica], nginx: str) -> None:
    with load(nginx) as failures:
        for replica in replicas:
            assert replica.stop() == 0
            replica.start()
    assert failures == []


def test_all_replicas_use_a_new_version_and_go_back_together(replicas: list[Replica], nginx: str) -> None:
    with httpx.Client(base_url=nginx, timeout=PATIENCE, headers=ADMIN) as client, load(nginx) as failures:
        before = replicas[0].version().partition("+")[0]
        job = client.post("/reindex", json={}).raise_for_status().json()
        # Any replica tells how the job goes.
        until(lambda: client.get(f"/jobs/{job['id']}").json()["state"] == "succeeded", "the reindex succeeds")
        version = client.get(f"/jobs/{job['id']}").json()["index_version"]
        assert version != before
        until(lambda: {replica.version().partition("+")[0] for replica in replicas} == {version}, "both have switched")
        back = client.post("/index/rollback", json={"version": before}).raise_for_status().json()
        assert back["version"] == before
        until(lambda: {replica.version().partition("+")[0] for replica in replicas} == {before}, "both have gone back")
    assert failures == []


def test_nginx_keeps_the_figures_in_and_tells_who_asks(nginx: str) -> None:
    assert _status(f"{nginx}/metrics") == 404
    assert _status(f"{nginx}/metrics?x") == 404
    assert httpx.post(f"{nginx}/reindex", json={}).status_code == 401
    assert httpx.get(f"{nginx}/livez").json() == {"status": "alive"}


def test_alerts_and_dashboard_ask_only_for_figures_that_there_are(service: Service) -> None:
    service.search({"objects": ["man"]})
    there = set(re.findall(r"^(scenerank_\w+)", service.client.get("/metrics").text, re.MULTILINE))
    there |= set(re.findall(r"^# TYPE (scenerank_\w+) ", service.client.get("/metrics").text, re.MULTILINE))
    for name in ("alerts.yml", "grafana/scenerank.json"):
        asked = set(re.findall(r"\bscenerank_\w+", (ROOT / "docker" / "monitoring" / name).read_text()))
        assert asked
        assert asked - there == set()


def first_start(place: Place, **environment: str) -> str:
    path = f"{Path(sys.executable).parent}:{place.environment['PATH']}"
    done = subprocess.run(
        [sys.executable, ROOT / "docker" / "first_start.py"],
        env=place.environment | {"PATH": path, "PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
        check=True,
    )
    return done.stdout


def test_the_first_start_makes_what_is_missing_and_leaves_what_is_there(empty_place: Place, tmp_path: Path) -> None:
    assert "empty" in first_start(empty_place)
    assert empty_place.store.current() is None
    empty_place.fill(20)
    checkpoint = str(empty_place.checkpoint("first"))
    # What is there already is not mixed with a demo world.
    first_start(empty_place, SCENERANK_CHECKPOINT=checkpoint, SCENERANK_DEMO="1", SCENERANK_PICTURES_DIR=str(tmp_path))
    version = empty_place.store.current()
    assert version is not None
    assert empty_place.store.open(version).manifest.count == 20
    assert "already" in first_start(empty_place)
    assert empty_place.store.current() == version


def test_a_damaged_index_does_not_keep_the_service_from_starting(empty_place: Place) -> None:
    empty_place.fill(5)
    empty_place.build(empty_place.checkpoint("first"))
    empty_place.store.current_file.write_text("nonsense")
    assert "index build" in first_start(empty_place)
