"""A catalogue of a million images on SQLite or PostgreSQL: how long its calls, filters and completions take.

Makes images of small graphs with 100,000 object names, indexes them with a tiny encoder (what is measured does not
depend on it), asks a running service, and looks at how the database carries out each statement. Prints what it finds;
last line: all figures as one JSON object, times in milliseconds.

    python benchmarks/catalogue_size.py --directory /tmp/million
    python benchmarks/catalogue_size.py --directory /tmp/million-pg --database postgresql://user@host/empty
"""

import argparse
import json
import os
import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import torch
from sqlalchemy import Connection, Engine, event

from model.batch import PackedGraphs
from model.checkpoint import PRETRAINED, load_checkpoint, save_checkpoint
from model.collection import ImageRecord
from model.encoder import EncoderConfig, SceneGraphEncoder
from model.formats import write_graph
from model.resolution import NameResolver
from model.scene_graph import Relationship, SceneGraph, SceneObject
from model.vocabulary import Vocabulary
from service.catalogue import Catalogue
from service.database import open_database
from service.index.manifest import read_manifest
from service.index.versions import IndexStore
from service.jobs import Jobs
from service.settings import Settings

KEY: Final = "benchmark"
NAMES: Final = 100_000
GRAPHS: Final = 50_000  # different ones
ATTRIBUTES: Final = 500
TIMES: Final = 100  # that each call is made

# Of `_name`: 1 is in most images, 90_000 in few.
FILTERS: Final[dict[str, dict[str, Any]]] = {
    "common object": {"must": [{"object": 1}]},
    "rare object": {"must": [{"object": 90_000}]},
    "not a common object": {"must_not": [{"object": 1}]},
    "triple": {"must": [{"triple": [1, "on", 2]}]},
    "triple, any subject": {"must": [{"triple": [None, "on", 2]}]},
    "triple, any predicate": {"must": [{"triple": [1, None, 2]}]},
    "triple, any but predicate": {"must": [{"triple": [None, "on", None]}]},
    "attribute": {"must": [{"attribute": [1, "attribute 1"]}]},
    "attribute of anything": {"must": [{"attribute": [None, "attribute 1"]}]},
    "four of them": {
        "must": [{"object": 1}, {"triple": [None, "on", None]}],
        "must_not": [{"attribute": [None, "attribute 1"]}, {"triple": [1, None, 2]}],
    },
}


def object_names() -> list[str]:
    """So many names of two words that have word vectors."""
    words = sorted({word for name in load_checkpoint(Path(PRETRAINED)).vocabulary.objects for word in name.split()})
    words = [word for word in words if word.isalpha()]
    pairs = [f"{first} {second}" for first in words for second in words if first != second]
    return random.Random(0).sample(pairs, NAMES)


def make_graphs(names: list[str], predicates: list[str]) -> list[SceneGraph]:
    """Graphs of two to five objects, whose names are as rare as in a language (Zipf); each name is in one at least."""
    chance = np.random.default_rng(0)
    graphs, unseen = [], iter(names)
    for _ in range(GRAPHS):
        count = int(chance.integers(2, 5, endpoint=True))
        drawn = (np.exp(chance.random(count) * np.log(NAMES)) - 1).astype(int).tolist()
        taken = [names[number] for number in drawn]
        taken[-2:] = [next(unseen, name) for name in taken[-2:]]
        objects = tuple(
            SceneObject(
                id=str(place),
                name=name,
                attributes=(f"attribute {int(chance.integers(ATTRIBUTES))}",) if chance.random() < 0.3 else (),
            )
            for place, name in enumerate(taken)
        )
        ends = chance.integers(0, count, (count, 2)).astype(str).tolist()
        edges = (
            Relationship(subject=a, predicate=predicates[int(chance.integers(len(predicates)))], object=b)
            for a, b in ends
        )
        graphs.append(SceneGraph(objects, tuple(edges)))
    return graphs


def make_records(graphs: list[SceneGraph], count: int) -> Iterator[ImageRecord]:
    """Images in an order of ids that is not that of their coming."""
    for row in range(count):
        yield ImageRecord(
            image_id=f"{row * 7919 % count:08}",
            graph=graphs[row % len(graphs)],
            url=f"https://images.example/{row}.jpg",
            width=640,
            height=480,
            metadata={"row": row},
        )


def make_checkpoint(directory: Path, names: list[str], predicates: list[str], graphs: list[SceneGraph]) -> Path:
    """An encoder that costs nearly nothing."""
    vocabulary = Vocabulary.of_names(names, predicates)
    config = EncoderConfig(
        object_names=len(vocabulary.objects), predicates=len(vocabulary.predicates), dimension=16, hidden=16, layers=1
    )
    torch.manual_seed(0)
    encoder, resolver = SceneGraphEncoder(config), NameResolver(vocabulary, None)
    for start in range(0, 1000, 100):
        encoder(PackedGraphs.pack(map(resolver.resolve, graphs[start : start + 100])).to_batch())
    vectors = load_checkpoint(Path(PRETRAINED)).word_vectors
    save_checkpoint(
        directory, encoder=encoder.eval(), vocabulary=vocabulary, word_vectors=vectors, metadata={"recipe": "random"}
    )
    return directory


def timed(call: Callable[[], object], times: int = TIMES) -> dict[str, float]:
    """Median and 95th percentile. Units: milliseconds."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - started))
    p50, p95 = np.quantile(taken, [0.5, 0.95]).tolist()
    return {"p50": round(p50, 2), "p95": round(p95, 2)}


def plans(engine: Engine, work: Callable[[], object]) -> dict[str, str]:
    """How the database carries out each statement of some work that reads or writes images, but for what it undoes."""
    found: dict[str, str] = {}

    def explain(connection: Connection, _cursor: object, statement: str, parameters: Any, *_: object) -> None:  # noqa: ANN401
        if not statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")) or statement in found:
            return
        is_sqlite = connection.dialect.name == "sqlite"
        found[statement] = ""
        one = parameters[0] if isinstance(parameters, list) and parameters else parameters
        prefix = "EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN "
        rows = connection.connection.cursor().execute(prefix + statement, one).fetchall()
        found[statement] = "; ".join(str(row[-1]).strip() for row in rows)

    event.listen(engine, "before_cursor_execute", explain)
    try:
        work()
    finally:
        event.remove(engine, "before_cursor_execute", explain)
    return found


@contextmanager
def serving(environment: dict[str, str]) -> Iterator[tuple[httpx.Client, int]]:
    """A service, its client, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "scenerank", "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=600, headers={"X-API-Key": KEY}) as client:
            while True:
                try:
                    client.get("/readyz").raise_for_status()
                    break
                except httpx.HTTPError:
                    assert process.poll() is None, "the service ended"
                    time.sleep(0.05)
            yield client, process.pid
    finally:
        process.terminate()
        process.wait()


def memory(pid: int) -> float:
    """What of a process is its own, not mapped from files. Units: GB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1e6


def measure_catalogue(engine: Engine, images: int, graphs: list[SceneGraph]) -> dict[str, Any]:
    """The catalogue's own calls, and the plans of their statements."""
    catalogue, chance = Catalogue(engine), random.Random(1)
    record = next(make_records(graphs[::-1], 1))
    before = catalogue.revision()
    catalogue.upsert(replace(one, image_id=f"changed {one.image_id}") for one in make_records(graphs, 500))

    def image_id() -> str:
        return f"{chance.randrange(images):08}"

    calls: dict[str, Callable[[], object]] = {
        "get": lambda: catalogue.get(image_id()),
        "count": catalogue.count,
        "revision": catalogue.revision,
        "no changes": lambda: list(catalogue.changes(catalogue.revision())),
        "changes of a chunk": lambda: next(catalogue.changes(before)),
        "first chunk of all": lambda: next(catalogue.stream()),
        "jobs": lambda: Jobs(engine, 30).active(),
    }
    figures: dict[str, Any] = {name: timed(call, 20) for name, call in calls.items()}

    def work() -> None:
        for call in calls.values():
            call()
        catalogue.put(record)
        catalogue.delete(record.image_id)
        catalogue.upsert([record])
        catalogue.prune_removed(0)
        for number, _ in enumerate(catalogue.stream()):
            if number:
                break

    found = plans(engine, work)
    for statement, plan in found.items():
        print(f"  {' '.join(statement.split())[:110]}\n      {plan}")
    # SQLite says SCAN of an index as well, with its name.
    scans = [one for one, plan in found.items() if re.search(r"SCAN images(?! USING)|Seq Scan on images", plan)]
    return {"catalogue": figures, "statements": len(found), "that scan images": scans}


def measure_service(
    client: httpx.Client, pid: int, images: int, names: list[str], graphs: list[SceneGraph]
) -> dict[str, Any]:
    """Calls over HTTP."""
    chance = random.Random(2)
    query = {"objects": [names[1]]}
    figures: dict[str, Any] = {"memory, GB": round(memory(pid), 2)}

    def path(suffix: str = "") -> str:
        return f"/images/{chance.randrange(images):08}{suffix}"

    def ok(answer: httpx.Response) -> httpx.Response:
        return answer.raise_for_status()

    def put(new: bool) -> Callable[[], object]:
        return lambda: ok(
            client.put(
                f"/images/new-{chance.random()}" if new else path(), json={"graph": write_graph(chance.choice(graphs))}
            )
        )

    def named(value: Any) -> Any:  # noqa: ANN401 (part of a JSON document)
        match value:
            case int():
                return names[value]
            case list():
                return [named(item) for item in value]
            case dict():
                return {key: named(item) for key, item in value.items()}
        return value

    def search(wanted: dict[str, Any] | None) -> Callable[[], object]:
        return lambda: ok(client.post("/search", json={"graph": query, **({"filter": wanted} if wanted else {})}))

    def complete(prefix: str) -> Callable[[], object]:
        return lambda: ok(client.get("/vocabulary", params={"kind": "object", "prefix": prefix}))

    figures["GET /images/{id}"] = timed(lambda: ok(client.get(path())))
    figures["GET thumbnail"] = timed(lambda: ok(client.get(path("/thumbnail.svg"))))
    figures["GET /index"] = timed(lambda: ok(client.get("/index")), 20)
    figures["search"] = timed(search(None))
    filters = {name: named(wanted) for name, wanted in FILTERS.items()}
    figures["filters"] = {name: timed(search(wanted), 20) for name, wanted in filters.items()}
    figures["GET /vocabulary, first"] = timed(complete(""), 1)
    figures["GET /vocabulary"] = timed(complete(names[1][:3]))
    figures["memory with names, GB"] = round(memory(pid), 2)
    figures["PUT, replacing"] = timed(put(False))
    figures["PUT, new"] = timed(put(True))
    figures["DELETE"] = timed(lambda: client.delete(path()))

    def change_and_complete() -> None:
        put(True)()
        time.sleep(0.3)  # until the change is seen

    times = []
    for _ in range(10):
        change_and_complete()
        times.append(timed(complete(names[1][:3]), 1)["p50"])
    figures["GET /vocabulary after a change"] = {"p50": float(np.median(times)), "p95": max(times)}
    figures["search with changes"] = timed(search(None))
    figures["filters with changes"] = {name: timed(search(wanted), 20) for name, wanted in filters.items()}
    figures["memory with changes, GB"] = round(memory(pid), 2)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--directory", type=Path, required=True, help="what is there already stays")
    parser.add_argument("--database", help="URL; without it SQLite in the directory")
    options = parser.parse_args()
    outside = {name: value for name, value in os.environ.items() if not name.startswith("SCENERANK_")}
    environment = outside | {"SCENERANK_DATA_DIR": str(options.directory), "SCENERANK_ADMIN_KEYS": KEY}
    if options.database:
        environment["SCENERANK_DATABASE_URL"] = options.database
    settings = Settings.load(data_dir=options.directory, database_url=options.database)
    options.directory.mkdir(parents=True, exist_ok=True)
    names, predicates = object_names(), list(load_checkpoint(Path(PRETRAINED)).vocabulary.predicates[2:])
    graphs = make_graphs(names, predicates)
    figures: dict[str, Any] = {"images": options.images}

    engine = open_database(settings.database)
    if Catalogue(engine).count() < options.images:
        started = time.perf_counter()
        Catalogue(engine).upsert(make_records(graphs, options.images))
        figures["import, images a second"] = round(options.images / (time.perf_counter() - started))
        print(figures, flush=True)
    store = IndexStore(settings.index_dir)
    current = store.current()
    if current is None or read_manifest(store.directory(current)).count < options.images:
        checkpoint = make_checkpoint(options.directory / "checkpoint", names, predicates, graphs)
        started = time.perf_counter()
        command = [sys.executable, "-m", "scenerank", "index", "build", "--checkpoint", str(checkpoint)]
        subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)
        figures["reindex, images a second"] = round(options.images / (time.perf_counter() - started))
        print(figures, flush=True)
    figures |= measure_catalogue(engine, options.images, graphs)
    engine.dispose()
    started = time.perf_counter()
    with serving(environment) as (client, pid):
        figures["start, s"] = round(time.perf_counter() - started, 1)
        figures |= measure_service(client, pid, options.images, names, graphs)
    for name, value in figures.items():
        print(f"  {name}: {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
