"""The service against a naive one: one request at a time through a plain FastAPI handler, fp32 encoder, IndexFlatIP.

45,000 made-up images, queries of 22 objects and 36 relationships and of 4 and 6, the paper's encoder at its full size
with random weights and the shipped one, 1, 16 and 64 clients over HTTP. Both servers run all the time and are asked in
turn, some rounds long; the figures are medians over the rounds. `scenerank serve` has its default settings. Then the
same queries through the service's engine without HTTP, and four times as many requests as it can answer. Prints tables
and, as last line, ratios as one JSON object:

    latency           p50 of one client, ours / naive
    throughput 16     answers a second of 16 clients, ours / naive
    of engine 16      answers a second of 16 clients, ours / the engine alone, in as many processes
    of bodies 16      the same / all that the service does but HTTP: from the body of a request to that of its answer
    livez ms          p99 of GET /livez beside 64 clients
    overload p99      p99 of the answers at four times the load / of one client's; beside it / of 64 clients'
    overload refused  share of 503 there; everything that is neither 200 nor 503 is "overload failed"

    python -m benchmarks.search --work DIR [--encoders paper,pretrained] [--rounds 3] [--seconds 4]
    python -m benchmarks.search --work DIR --large

With --large instead: a million images; memory / the vectors' bytes, and seconds from the start until /readyz.
DIR keeps what is built, so that the next run starts at once.
"""

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.search_data import SIZES, Place, convolution_checkpoint, prepare
from benchmarks.search_engine import Engines
from model.checkpoint import PRETRAINED

IMAGES: Final = 45_000
LARGE: Final = 1_000_000
CLIENTS: Final = (1, 16, 64)
OVERLOAD: Final = 4
PATIENCE: Final = 120.0  # seconds until a server has started

Figures = dict[str, Any]


def serve_naively(version: Path, port: int) -> None:
    """What one writes first."""
    import faiss
    import numpy as np
    import torch
    import uvicorn
    from fastapi import FastAPI

    from model.batch import PackedGraphs
    from model.checkpoint import load_checkpoint
    from model.formats import read_graph

    torch.set_num_threads(1)
    checkpoint = load_checkpoint(version / "model")
    ids = json.loads((version / "ids.json").read_bytes())
    index = faiss.IndexFlatIP(checkpoint.encoder.config.dimension)
    index.add(np.load(version / "vectors.npy"))
    lock = threading.Lock()
    app = FastAPI()

    @app.post("/search")
    def search(body: dict[str, Any]) -> dict[str, Any]:
        with lock, torch.no_grad():
            graph = checkpoint.resolver.resolve(read_graph(body["graph"], None))
            vector = checkpoint.encoder(PackedGraphs.pack([graph]).to_batch()).numpy()
            scores, rows = index.search(vector, body["limit"])
        found = zip(rows[0].tolist(), scores[0].tolist(), strict=True)
        return {"results": [{"image_id": ids[row], "score": score} for row, score in found]}

    @app.get("/readyz")
    def readyz() -> None:
        """It listens only when it is."""

    uvicorn.run(app, port=port, log_level="warning")


@contextlib.contextmanager
def serving(command: list[str], environment: dict[str, str], log: Path) -> Iterator[tuple[str, int, float]]:
    """A server's address, its process, and how long it took until it was ready. Units: seconds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.perf_counter()
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *command, "--port", str(port)], env=environment, stdout=file, stderr=file
        )
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/readyz"):
                break
            assert process.poll() is None, log.read_text()
            assert time.perf_counter() < started + PATIENCE, log.read_text()
            time.sleep(0.05)
        yield url, process.pid, time.perf_counter() - started
    finally:
        process.terminate()
        process.wait()


def start_load(url: str, **options: object) -> "subprocess.Popen[str]":
    """benchmarks/load.py with these options."""
    flags = [f"--{name}={value}" for name, value in options.items()]
    return subprocess.Popen([sys.executable, "-m", "benchmarks.load", url, *flags], stdout=subprocess.PIPE, text=True)


def finish(load: "subprocess.Popen[str]") -> Figures:
    """What it measured."""
    output, _ = load.communicate()
    assert load.returncode == 0
    figures: Figures = json.loads(output)
    return figures


def ask(url: str, bodies: Path, seconds: float, **options: object) -> tuple[Figures, float]:
    """Figures of searches, and the p99 of GET /livez meanwhile. Units: milliseconds."""
    probe = start_load(f"{url}/livez", rate=20, seconds=seconds)
    load = start_load(f"{url}/search", bodies=bodies, seconds=seconds, **options)
    return finish(load), float(finish(probe)["p99"])


def compare(place: Place, *, rounds: int, seconds: float) -> Figures:
    """Ratios of one encoder."""
    ratios: Figures = {}
    naive_command = ["benchmarks.search", "--naive", str(place.version)]
    with (
        serving(naive_command, place.environment, place.directory / "naive.log") as (naive, *_),
        serving(["scenerank", "serve"], place.environment, place.directory / "ours.log") as (ours, *_),
        contextlib.closing(Engines(place)) as engine,
    ):
        for size in SIZES:
            samples: dict[str, list[float]] = defaultdict(list)
            for _ in range(rounds):
                for clients in CLIENTS:
                    bodies = place.queries(size)
                    for name, url in (("naive", naive), ("ours", ours)):
                        figures = finish(start_load(f"{url}/search", bodies=bodies, clients=clients, seconds=seconds))
                        assert set(figures["statuses"]) == {"200"}, f"{name}: {figures['statuses']}"
                        for key in ("throughput", "p50", "p99"):
                            samples[f"{name} {clients} {key}"].append(figures[key])
                    for what in ("engine", "bodies"):
                        rate = engine.throughput(what=what, bodies=str(bodies), clients=clients, seconds=seconds)
                        samples[f"{what} {clients} throughput"].append(rate)
            saturated = statistics.median(samples[f"ours {CLIENTS[-1]} throughput"])
            for _ in range(rounds):
                _, livez = ask(ours, bodies, seconds, clients=CLIENTS[-1])
                samples["livez"].append(livez)
                alone = finish(start_load(f"{ours}/search", bodies=bodies, clients=1, seconds=seconds))
                figures, livez = ask(ours, bodies, 2 * seconds, rate=OVERLOAD * saturated)
                answers = sum(figures["statuses"].values())
                samples["overload p99"].append(figures["p99"])
                samples["alone p99"].append(alone["p99"])
                samples["overload livez"].append(livez)
                samples["overload throughput"].append(figures["throughput"])
                samples["overload refused"].append(figures["statuses"].get("503", 0) / answers)
                good = figures["statuses"].get("200", 0) + figures["statuses"].get("503", 0)
                samples["overload failed"].append((answers - good) / answers)
                samples["overload unsent"].append(figures["unsent"] / (answers + figures["unsent"]))
            medians = {name: statistics.median(values) for name, values in samples.items()}
            report(size, medians)
            ratios |= {f"{size} {name}": value for name, value in ratios_of(medians).items()}
    return ratios


def ratios_of(medians: dict[str, float]) -> Figures:
    """As the head of this file tells."""
    ratios = {"latency": medians["ours 1 p50"] / medians["naive 1 p50"]}
    for clients in CLIENTS[1:]:
        ours = medians[f"ours {clients} throughput"]
        ratios[f"throughput {clients}"] = ours / medians[f"naive {clients} throughput"]
        for what in ("engine", "bodies"):
            ratios[f"of {what} {clients}"] = ours / medians[f"{what} {clients} throughput"]
    ratios["livez ms"] = medians["livez"]
    ratios["overload livez ms"] = medians["overload livez"]
    ratios["overload p99"] = medians["overload p99"] / medians["alone p99"]
    ratios["overload p99 of 64 clients"] = medians["overload p99"] / medians[f"ours {CLIENTS[-1]} p99"]
    ratios |= {name: medians[name] for name in ("overload refused", "overload failed")}
    return {name: round(value, 3) for name, value in ratios.items()}


def report(size: str, medians: dict[str, float]) -> None:
    """A table."""
    nodes, edges = SIZES[size]
    print(f"  queries of {nodes} objects and {edges} relationships")
    print("            clients  answers/s    p50 ms    p99 ms")
    for clients in CLIENTS:
        for name in ("naive", "ours"):
            rate, p50, p99 = (medians[f"{name} {clients} {key}"] for key in ("throughput", "p50", "p99"))
            print(f"    {name:7} {clients:7} {rate:10,.0f} {p50:9.1f} {p99:9.1f}")
        for name in ("bodies", "engine"):
            print(f"    {name:7} {clients:7} {medians[f'{name} {clients} throughput']:10,.0f}")
    print(f"    {OVERLOAD} times the load: {medians['overload throughput']:,.0f} answers/s, ", end="")
    print(f"p99 {medians['overload p99']:.1f} ms ({medians['alone p99']:.1f} ms alone), ", end="")
    print(f"{medians['overload refused']:.0%} refused, {medians['overload unsent']:.0%} not sent;")
    print(
        f"    /livez p99 {medians['overload livez']:.1f} ms then, {medians['livez']:.1f} ms beside 64 clients",
        flush=True,
    )


def measure_large(place: Place) -> Figures:
    """Memory and start of a service with many images."""
    with serving(["scenerank", "serve"], place.environment, place.directory / "ours.log") as (url, process, started):
        figures = finish(start_load(f"{url}/search", bodies=place.queries("small"), clients=16, seconds=5))
        workers = [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
        # Of processes: the supervisor, multiprocessing's, and those that answer.
        figures["processes"] = [memory_of(pid) for pid in (process, *workers)]
    vectors = (place.version / "vectors.npy").stat().st_size
    largest = max(figures["processes"], key=lambda memory: memory["Rss"])
    together = sum(memory["Pss"] for memory in figures["processes"])
    print(f"  vectors {vectors / 1e9:.2f} GB, the largest process {largest['Rss'] / 1e9:.2f} GB,")
    print(f"  of it {largest['Pss_Anon'] / 1e9:.2f} GB its own; the rest are files, which the others share;")
    print(f"  all {len(figures['processes'])} together {together / 1e9:.2f} GB")
    print(f"  ready after {started:.1f} s; 16 clients: {figures['throughput']:,.0f} answers/s")
    return {
        "memory": round(largest["Rss"] / vectors, 3),
        "memory of its own": round(largest["Pss_Anon"] / vectors, 3),
        "memory of all": round(together / vectors, 3),
        "seconds to ready": round(started, 2),
    }


def memory_of(pid: int) -> dict[str, int]:
    """Bytes that a process has in memory; of Pss each page is divided among those that share it."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="where to keep what is built")
    parser.add_argument("--encoders", default="paper,pretrained")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--large", action="store_true", help="a million images: memory and start")
    parser.add_argument("--naive", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.naive is not None:
        serve_naively(options.naive, options.port)
        return
    if options.work is None:
        parser.error("--work DIR is needed")
    work: Path = options.work.absolute()
    print(f"{os.cpu_count()} CPU cores")
    ratios: Figures = {}
    if options.large:
        checkpoints = {
            "768": Path(PRETRAINED),
            "300": convolution_checkpoint(work / "checkpoint-1", layers=1, hidden=32),
        }
        for dimension, checkpoint in checkpoints.items():
            place = prepare(work / f"large-{dimension}", checkpoint=checkpoint, images=LARGE, objects=4)
            print(f"{LARGE:,} vectors of {dimension} dimensions", flush=True)
            ratios |= {f"{dimension} {name}": value for name, value in measure_large(place).items()}
    else:
        checkpoints = {"paper": convolution_checkpoint(work / "paper-checkpoint"), "pretrained": Path(PRETRAINED)}
        for encoder in options.encoders.split(","):
            place = prepare(work / encoder, checkpoint=checkpoints[encoder], images=IMAGES, objects=20)
            print(f"{encoder}, {IMAGES:,} images", flush=True)
            figures = compare(place, rounds=options.rounds, seconds=options.seconds)
            ratios |= {f"{encoder} {name}": value for name, value in figures.items()}
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
