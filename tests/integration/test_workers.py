"""A service of several processes: what they share, and what becomes of the others when one ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx
import pytest

from model.errors import ConfigError
from service.listeners import reserve
from tests.integration.conftest import ADMIN, PATIENCE, NewDatabase, Place, Service, serving, until
from tests.integration.test_service_load import QUERY, with_settings
from tests.integration.test_service_operation import samples
from tests.ports import free_port

TWO: Final = {"WORKERS": "2"}
BODY: Final = {"graph": {"objects": ["zebra"]}}


@pytest.fixture(scope="module")
def place(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A catalogue that these tests add to."""
    place = Place(database_url=new_database(), data_dir=tmp_path_factory.mktemp("data"))
    place.fill(20)
    place.build(place.checkpoint("first"))
    return place


@pytest.fixture(scope="module")
def any_place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """One where it does not matter which database it has."""
    directory = tmp_path_factory.mktemp("data")
    place = Place(database_url=f"sqlite:///{directory}/scenerank.db", data_dir=directory)
    place.fill(5)
    place.build(place.checkpoint("first"))
    return place


@pytest.fixture(scope="module")
def pair(place: Place) -> Iterator[Service]:
    """A service of two processes; after each test two are ready."""
    with serving(with_settings(place, **TWO)) as service:
        until(lambda: both_listen(service), "both listen")
        yield service


def workers(service: Service) -> list[int]:
    """The processes that answer."""
    return [pid for pid in service.children() if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def runs(pid: int) -> bool:
    """Whether a process has not ended; one that nobody has asked for its status stays in the table."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextmanager
def held_up(service: Service, *, but: int) -> Iterator[None]:
    """All processes but one do nothing meanwhile."""
    held = [pid for number, pid in enumerate(workers(service)) if number != but]
    for pid in held:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in held:
            os.kill(pid, signal.SIGCONT)


def connect(service: Service) -> httpx.Client:
    """A client whose one connection is to a process that is not held up."""
    for _ in range(60):  # the system chooses one for each connection
        client = httpx.Client(base_url=service.client.base_url, timeout=1, limits=httpx.Limits(max_connections=1))
        with suppress(httpx.TimeoutException):
            client.get("/livez").raise_for_status()
            client.timeout = httpx.Timeout(PATIENCE)
            return client
        client.close()
    pytest.fail("no process answers")


@contextmanager
def only(service: Service, which: int) -> Iterator[httpx.Client]:
    """A client of one of the processes, while the others are held up."""
    with held_up(service, but=which), closing(connect(service)) as client:
        yield client


def client_of(service: Service, which: int) -> httpx.Client:
    """A client of one of the processes."""
    with held_up(service, but=which):
        return connect(service)


def both_listen(service: Service) -> bool:
    """Whether two processes do; each has a socket of its own."""
    at = f":{service.client.base_url.port:04X} 00000000:0000 0A"  # 0A: listening
    return Path("/proc/net/tcp").read_text().count(at) == 2


def until_found(client: httpx.Client, images: set[str]) -> None:
    def found() -> bool:
        answer = client.post("/search", json={**BODY, "limit": 1000}).raise_for_status()
        return {item["image_id"] for item in answer.json()["results"]} >= images

    until(found, "the images are found")


def test_metrics_are_those_of_all(pair: Service) -> None:
    def counted() -> dict[str, float]:
        values = samples(pair)
        route = (("method", "POST"), ("route", "/search"), ("status", "200"))
        return {
            "searches": values.get(("scenerank_requests_total", route), 0.0),
            "in time": values.get(("scenerank_request_seconds_count", (("route", "/search"),)), 0.0),
            "queued": values["scenerank_queue_depth", ()],
            "places": values["scenerank_queue_limit", ()],
            "images": values["scenerank_index_images", ()],
        }

    before = counted()
    for which, times in enumerate((2, 3)):
        with only(pair, which) as client:
            for _ in range(times):
                assert client.post("/search", json=QUERY).status_code == 200

    until(lambda: counted()["searches"] == before["searches"] + 5, "all are counted")
    after = counted()
    assert after["in time"] == before["in time"] + 5
    assert (after["queued"], after["places"], after["images"]) == (0, 64, before["images"])


def test_what_one_is_told_all_know_within_a_moment(pair: Service) -> None:
    with only(pair, 0) as client:
        assert client.put("/images/told", json=BODY, headers=ADMIN).status_code == 201
    for which in range(2):
        with only(pair, which) as client:
            until_found(client, {"told"})


def test_a_rate_limit_holds_for_all_together(place: Place) -> None:
    with serving(with_settings(place, **TWO, RATE_LIMIT="0.001", RATE_BURST="3")) as service:
        until(lambda: both_listen(service), "both listen")
        statuses = []
        for which, times in enumerate((2, 2)):
            with only(service, which) as client:
                statuses += [client.get("/openapi.json").status_code for _ in range(times)]
    assert statuses == [200, 200, 200, 429]


def test_places_in_the_queue_are_those_of_all_and_come_free_with_one_that_is_killed(place: Place) -> None:
    def ask() -> None:
        with suppress(httpx.TransportError):
            while True:
                first.post("/search/batch", json={"queries": [QUERY] * 100})

    def is_held_up_with_a_search() -> bool:
        os.kill(killed, signal.SIGSTOP)
        answer = second.post("/search", json=QUERY)
        if answer.status_code == 503:
            assert answer.json()["type"] == "urn:scenerank:problem:overloaded"
            return True
        assert answer.status_code == 200
        os.kill(killed, signal.SIGCONT)
        return False

    def is_answered() -> bool:
        with suppress(httpx.TransportError):  # a connection that had come to the one that is killed
            return service.client.post("/search", json=QUERY).status_code == 200
        return False

    with serving(with_settings(place, **TWO, MAX_QUEUE="1")) as service:
        until(lambda: both_listen(service), "both listen")
        killed = workers(service)[0]
        with (
            closing(client_of(service, 0)) as first,
            closing(client_of(service, 1)) as second,
            ThreadPoolExecutor(1) as pool,
        ):
            pool.submit(ask)
            until(is_held_up_with_a_search, "one has a search", every=0)
            os.kill(killed, signal.SIGKILL)
        until(is_answered, "its place is free")


def test_one_that_is_killed_is_replaced_and_nothing_acknowledged_is_lost(pair: Service) -> None:
    acknowledged: list[str] = []

    def put(number: int) -> None:
        with suppress(httpx.TransportError):  # whoever was connected to it has to ask again
            answer = httpx.put(f"{base}/images/kept/{number}", json=BODY, headers=ADMIN, timeout=PATIENCE)
            if answer.status_code == 201:
                acknowledged.append(f"kept/{number}")

    base, before = str(pair.client.base_url).rstrip("/"), workers(pair)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(put, number) for number in range(60)]
        until(lambda: len(acknowledged) > 5, "images come")
        os.kill(before[0], signal.SIGKILL)
        for future in futures:
            future.result()
    until(lambda: not runs(before[0]), "it has ended")
    assert httpx.post(f"{base}/search", json=QUERY, timeout=PATIENCE).status_code == 200, "the other goes on"

    until(lambda: both_listen(pair), "another takes its place")
    assert before[1] in workers(pair)
    assert len(acknowledged) > 5
    for which in range(2):
        with only(pair, which) as client:
            until_found(client, set(acknowledged))
    assert samples(pair)["scenerank_queue_depth", ()] == 0


SOON: Final = "import scenerank, service.workers; service.workers._CHECK_EVERY = 0.3; scenerank.main()"
HANGS_ONCE: Final = """
import pathlib, sys, threading, time

def replace():
    while not hasattr(module := sys.modules.get("service.search_thread"), "SearchThread"):
        time.sleep(0.01)
    search, told = module.search, pathlib.Path(__file__).with_name("hang")

    def hang(queries):
        if told.exists():
            told.unlink()
            time.sleep(1000)
        return search(queries)

    module.search = hang

threading.Thread(target=replace, daemon=True).start()
"""


def test_one_that_hangs_is_killed_and_replaced(any_place: Place) -> None:
    with serving(with_settings(any_place, **TWO), program=("-c", SOON)) as service:
        until(lambda: both_listen(service), "both listen")
        before = workers(service)
        os.kill(before[0], signal.SIGSTOP)
        until(lambda: not runs(before[0]), "it is killed")
        until(lambda: both_listen(service), "another takes its place")
        time.sleep(3 * 6 * 0.3)

        assert before[1] in workers(service)
        assert len(workers(service)) == 2, "who gives signs of life stays"


def test_one_whose_searches_hang_is_killed_and_replaced(
    any_place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(HANGS_ONCE)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    place = with_settings(any_place, **TWO, REQUEST_TIMEOUT="0.2")
    with serving(place, program=("-c", SOON)) as service:
        until(lambda: both_listen(service), "both listen")
        before = workers(service)
        (tmp_path / "hang").touch()
        assert service.client.post("/search", json=BODY).status_code == 504
        assert all(map(runs, before))
        until(lambda: not all(map(runs, before)), "it is killed")
        until(lambda: len({*workers(service)} - {*before}) == 1 and both_listen(service), "another takes its place")

        assert len({*workers(service)} & {*before}) == 1, "the other one stays"
        until(lambda: service.client.post("/search", json=BODY).status_code == 200, "searches are answered")


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM, signal.SIGTERM], [signal.SIGKILL]])
def test_no_process_is_left(any_place: Place, signals: list[signal.Signals]) -> None:
    with serving(with_settings(any_place, **TWO, DRAIN_TIME="600")) as service:
        until(lambda: both_listen(service), "both listen")
        left = workers(service)
        assert len(left) == 2
        for number in signals:
            service.process.send_signal(number)
            time.sleep(0.2)  # two at once are one
        assert service.process.wait(PATIENCE) == (-signal.SIGKILL if number == signal.SIGKILL else 0)
        until(lambda: not any(map(runs, left)), "they have ended too")


@pytest.mark.parametrize("after", [0.0, 1.0, 2.0])
def test_ctrl_c_while_processes_start_ends_them_without_a_word(any_place: Place, after: float) -> None:
    command = [sys.executable, "-m", "scenerank", "serve", "--port", str(free_port())]
    environment = with_settings(any_place, **TWO).environment
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, process_group=0) as process:
        assert process.stderr is not None
        process.stderr.readline()  # it is about to start them
        time.sleep(after)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode in (0, 130), "as any program, if it was too early"
    assert "Traceback" not in told


def test_a_port_that_is_taken_is_told(any_place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ended = with_settings(any_place, **TWO).run("serve", "--port", str(other.getsockname()[1]))
    assert ended.returncode == 1
    assert "cannot be had (Address already in use); end what uses it" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_two_services_do_not_share_a_port(pair: Service) -> None:
    port = pair.client.base_url.port
    assert port is not None
    with pytest.raises(ConfigError, match="Address already in use"):
        reserve("127.0.0.1", port)


def test_where_no_process_can_begin_the_service_ends(any_place: Place, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os, sys\nif 'spawn_main' in str(sys.orig_argv): os._exit(7)\n")
    environment = with_settings(any_place, **TWO).environment | {"PYTHONPATH": f"{tmp_path}:{Path.cwd()}"}
    command = [sys.executable, "-m", "scenerank", "serve", "--port", str(free_port())]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 3
    assert "has ended with status 7" in ended.stderr
