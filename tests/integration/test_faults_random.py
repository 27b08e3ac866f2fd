"""Processes killed at random moments while others search, change the catalogue and reindex."""

import json
import os
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import Engine

from model.formats import write_graph
from model.scene_graph import SceneGraph
from service.catalogue import Catalogue
from service.database import open_database
from service.index.build import build_index
from service.index.versions import IndexStore, open_version
from service.interpret import read_query_graph
from service.jobs import Jobs
from service.search import search
from service.settings import Settings
from tests.factories import make_checkpoint, make_records
from tests.integration import killed
from tests.integration.conftest import ADMIN, PATIENCE, NewDatabase, Place, query_of, until
from tests.ports import free_port

KILLS: Final = int(os.environ.get("SCENERANK_TEST_KILLS", "25"))  # on each kind of database
IMAGES: Final = 120
WRITERS: Final = 2
TIME_IS_OUT: Final = -5.0  # as a job's timeout: later than the clock of any database is exact to
QUERY: Final = {"objects": ["man", "horse"], "relationships": [[0, "riding", 1]]}
GRAPHS: Final = [record.graph for record in make_records(200) if int(record.image_id[-4:]) % 10 != 9]
"""What images may have as their graphs, all different."""

Scores = dict[str, list[float]]
"""By the model's digest: the score of each graph of GRAPHS."""


class Truth:
    """What the catalogue must hold by what has been acknowledged; images are numbers, so are graphs."""

    def __init__(self) -> None:
        self.graph_of: dict[int, int | None] = {}
        self.in_doubt: dict[int, int | None] = {}
        self.ever: defaultdict[int, set[int | None]] = defaultdict(set)

    def ask(self, image: int, graph: int | None) -> None:
        """A change is sent."""
        self.ever[image].add(graph)
        self.in_doubt[image] = graph

    def acknowledge(self, image: int) -> None:
        """It has been answered."""
        self.graph_of[image] = self.in_doubt.pop(image)

    def settle(self, found: dict[int, int]) -> None:
        """What was sent and not answered is done or not."""
        for image, graph in self.in_doubt.items():
            assert found.get(image) in (graph, self.graph_of[image]), image
            self.graph_of[image] = found.get(image)
        self.in_doubt.clear()

    def images(self) -> dict[int, int]:
        return {image: graph for image, graph in self.graph_of.items() if graph is not None}


class Load:
    """Clients that search and change images until they are told to stop, or the service is gone."""

    def __init__(self, address: str, truth: Truth, scores: Scores, seed: int) -> None:
        self._address, self._truth, self._scores = address, truth, scores
        self.answers, self._enough = 0, threading.Event()
        self._pool = ThreadPoolExecutor(WRITERS + 1)
        self._clients = [
            self._pool.submit(self._change, number, random.Random(seed + number)) for number in range(WRITERS)
        ]
        self._clients.append(self._pool.submit(self._search))

    def end(self) -> None:
        self._enough.set()
        for client in self._clients:
            client.result()
        self._pool.shutdown()

    def _change(self, number: int, chance: random.Random) -> None:
        with httpx.Client(base_url=self._address, timeout=PATIENCE) as client, suppress(httpx.TransportError):
            while not self._enough.wait(0.002):
                image = chance.randrange(number, IMAGES, WRITERS)
                graph = chance.randrange(len(GRAPHS)) if chance.random() < 0.7 else None
                self._truth.ask(image, graph)
                if graph is None:
                    answer = client.delete(f"/images/{image}", headers=ADMIN)
                    assert answer.status_code == (404 if self._truth.graph_of[image] is None else 204), answer.text
                else:
                    body = {"graph": write_graph(GRAPHS[graph])}
                    answer = client.put(f"/images/{image}", json=body, headers=ADMIN)
                    assert answer.status_code == (201 if self._truth.graph_of[image] is None else 200), answer.text
                self._truth.acknowledge(image)
                self.answers += 1

    def _search(self) -> None:
        with httpx.Client(base_url=self._address, timeout=PATIENCE) as client, suppress(httpx.TransportError):
            while not self._enough.wait(0.002):
                answer = client.post("/search", json={"graph": QUERY, "limit": 1000})
                assert answer.status_code == 200, answer.text
                scores, found = self._scores[answer.json()["model_version"]], ranking(answer.json())
                assert found == sorted(found, key=lambda item: (-item[1], item[0]))
                assert len({image for image, _ in found}) == len(found)
                for image, score in found:
                    graphs = tuple(self._truth.ever[int(image)])
                    assert score in {scores[graph] for graph in graphs if graph is not None}
                self.answers += 1


def ranking(answer: dict[str, Any]) -> list[tuple[str, float]]:
    return [(result["image_id"], result["score"]) for result in answer["results"]]


def check(client: httpx.Client, truth: Truth, scores: Scores) -> None:
    """A search sees all that has been acknowledged, ranked as by a version made of it."""
    answer = client.post("/search", json={"graph": QUERY, "limit": 1000, "with_graph": True}).raise_for_status().json()
    number_of = {json.dumps(write_graph(graph)): number for number, graph in enumerate(GRAPHS)}
    truth.settle({int(item["image_id"]): number_of[json.dumps(item["graph"])] for item in answer["results"]})
    of_model = scores[answer["model_version"]]
    expected = [(str(image), of_model[graph]) for image, graph in truth.images().items()]
    assert ranking(answer) == sorted(expected, key=lambda item: (-item[1], item[0]))


@pytest.fixture(scope="module")
def place(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """All images, each with the graph of its number, in an index; two checkpoints."""
    place = Place(database_url=new_database(), data_dir=tmp_path_factory.mktemp("data"))
    for number in range(2):
        make_checkpoint(checkpoint(place, number), seed=number)
    fill(place.database_url, GRAPHS[:IMAGES])
    place.build(checkpoint(place, 0))
    return place


def checkpoint(place: Place, number: int) -> Path:
    return place.data_dir / "checkpoints" / str(number)


def fill(url: str, graphs: Sequence[SceneGraph]) -> None:
    engine = open_database(url)
    records = make_records(len(graphs))
    Catalogue(engine).upsert(
        replace(record, image_id=str(number), graph=graph, url=None, width=None, height=None)
        for number, (record, graph) in enumerate(zip(records, graphs, strict=True))
    )
    engine.dispose()


@pytest.fixture(scope="module")
def scores(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Scores:
    """What versions of nothing but GRAPHS say."""
    directory = tmp_path_factory.mktemp("oracle")
    url = f"sqlite:///{directory}/graphs.db"
    fill(url, GRAPHS)
    engine, store, found = open_database(url), IndexStore(directory / "index"), {}
    for number in range(2):
        manifest = build_index(
            catalogue=Catalogue(engine), store=store, checkpoint=checkpoint(place, number),
            progress=lambda *_: None, confirm=lambda _: None,
        )  # fmt: skip
        version = open_version(store.directory(manifest.version))
        (answer,) = search([query_of(version, read_query_graph(QUERY, None, Settings()), limit=len(GRAPHS))])
        by_image = {image.image_id: score for image, score in zip(answer.images, answer.scores, strict=True)}
        found[version.checkpoint.digest] = [by_image[str(graph)] for graph in range(len(GRAPHS))]
    engine.dispose()
    return found


@pytest.fixture
def processes() -> Iterator[dict[str, ForkServerProcess]]:
    """The service and the builder by name; whatever happens in a test, they end."""
    running: dict[str, ForkServerProcess] = {}
    yield running
    for process in running.values():
        process.kill()
        process.join()


def start_service(place: Place) -> tuple[ForkServerProcess, httpx.Client]:
    port = free_port()
    process = killed.start(killed.serve, place.database_url, place.data_dir, port)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE)

    def is_ready() -> bool:
        assert process.exitcode is None, "the service has ended"
        try:
            return client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    until(is_ready, "the service is ready", every=0.01)
    return process, client


def start_builder(place: Place, engine: Engine) -> ForkServerProcess:
    Jobs(engine, TIME_IS_OUT).expire()
    checkpoints = [checkpoint(place, number) for number in range(2)]
    return killed.start(killed.keep_building, place.database_url, place.data_dir, checkpoints)


def test_kills_at_random_moments_lose_nothing_and_make_no_answer_wrong(
    place: Place, scores: Scores, processes: dict[str, ForkServerProcess]
) -> None:
    chance, truth = random.Random(0), Truth()
    for image in range(IMAGES):
        truth.graph_of[image] = image
        truth.ever[image].add(image)
    engine = open_database(place.database_url)
    processes["builder"] = start_builder(place, engine)
    processes["service"], client = start_service(place)
    check(client, truth, scores)
    for kill in range(KILLS):
        load = Load(str(client.base_url), truth, scores, seed=100 * kill)
        victims = chance.choice([("service",), ("builder",), ("service", "builder")])
        before, enough = place.store.current(), chance.randint(1, 30)
        time.sleep(chance.uniform(0.0, 0.4))
        until(lambda: load.answers >= enough, "there is load")  # noqa: B023 (at once)
        if victims == ("service",):
            until(lambda: place.store.current() != before, "there is a switch")  # noqa: B023
        assert all(process.exitcode is None for process in processes.values()), "nobody dies of itself"
        for victim in victims:
            processes[victim].kill()
            processes[victim].join()
        load.end()
        if "service" in victims:
            client.close()
            processes["service"], client = start_service(place)
            check(client, truth, scores)  # at once: what is acknowledged is there from the start
        else:
            wait_until_seen(client, truth, mark=f"https://images.example/{kill}")
            check(client, truth, scores)
        if "builder" in victims:
            processes["builder"] = start_builder(place, engine)
    client.close()
    engine.dispose()


def wait_until_seen(client: httpx.Client, truth: Truth, mark: str) -> None:
    """A service that was not killed has seen the last change, which has a url that no other had."""
    truth.ask(0, 0)
    body = {"graph": write_graph(GRAPHS[0]), "url": mark}
    client.put("/images/0", json=body, headers=ADMIN).raise_for_status()
    truth.acknowledge(0)

    def is_seen() -> bool:
        results = client.post("/search", json={"graph": QUERY, "limit": 1000}).json()["results"]
        return mark in {item["url"] for item in results}

    until(is_seen, "the last change is seen", every=0.01)
