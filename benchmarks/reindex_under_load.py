"""Searches beside a running reindex, against the same searches without one, in turn.

A service of 45,000 made-up images, as a user runs it, and clients that ask, wait for the answer and ask again. What
counts is measured while the job encodes. Prints latencies and answers a second of both; last line: ratios as one JSON
object, with a reindex / without for latencies, without / with for throughput, so 2 is twice as slow.

    python -m benchmarks.reindex_under_load --work /tmp/load
"""

import argparse
import json
import os
import statistics
import time
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from benchmarks.search import Figures, finish, serving, start_load
from benchmarks.search_data import Place, convolution_checkpoint, prepare
from model.checkpoint import PRETRAINED

IMAGES: Final = 45_000
CLIENTS: Final = (1, 4, 16)
KEY: Final = "benchmark"
FIGURES: Final = ("p50", "p95", "throughput")


def call(url: str, method: str = "GET") -> dict[str, Any]:
    """A JSON answer of the service."""
    request = urllib.request.Request(url, method=method, headers={"X-API-Key": KEY})
    with urllib.request.urlopen(request) as answer:
        document: dict[str, Any] = json.load(answer)
    return document


class Reindex:
    """A job that is under way whenever it is looked at: another one is started when it has ended."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._job: dict[str, Any] | None = None

    def is_encoding(self) -> bool:
        """Whether a job is between its first image and its last."""
        job = self._state()
        return bool(job["state"] == "running" and 0 < job["progress"]["done"] < job["progress"]["total"])

    def begin(self) -> None:
        """Wait until one encodes."""
        while not self.is_encoding():
            if self._job is None or self._state()["state"] not in ("enqueued", "running"):
                self._job = call(f"{self._url}/reindex", "POST")
            time.sleep(0.02)

    def end(self) -> None:
        """Wait until it is over."""
        while (job := self._state())["state"] in ("enqueued", "running"):
            time.sleep(0.1)
        assert job["state"] == "succeeded", job

    def _state(self) -> dict[str, Any]:
        if self._job is None:
            return {"state": "none"}
        return call(f"{self._url}/jobs/{self._job['id']}")


def compare(place: Place, *, size: str, rounds: int, seconds: float) -> Figures:
    """Medians of both in turn."""
    environment = place.environment | {"SCENERANK_ADMIN_KEYS": KEY}
    samples: defaultdict[tuple[int, str, str], list[float]] = defaultdict(list)
    with serving(["scenerank", "serve"], environment, place.directory / "service.log") as (url, _, _):
        reindex = Reindex(url)

        def measure(clients: int) -> Figures:
            return finish(start_load(f"{url}/search", bodies=place.queries(size), clients=clients, seconds=seconds))

        for clients in CLIENTS:
            for _ in range(rounds):
                figures = {"without": measure(clients)}
                while "with" not in figures:
                    reindex.begin()
                    beside = measure(clients)
                    if reindex.is_encoding():  # still: so it was all the while
                        figures["with"] = beside
                reindex.end()
                for when, measured in figures.items():
                    assert set(measured["statuses"]) == {"200"}, measured
                    for name in FIGURES:
                        samples[clients, when, name].append(measured[name])
    ratios = {}
    print("            clients  answers/s    p50 ms    p95 ms")
    for clients in CLIENTS:
        medians = {(when, name): statistics.median(samples[clients, when, name])
                   for when in ("without", "with") for name in FIGURES}  # fmt: skip
        for when in ("without", "with"):
            p50, p95, rate = (medians[when, name] for name in FIGURES)
            print(f"    {when:7} {clients:7} {rate:10,.0f} {p50:9.1f} {p95:9.1f}")
        for name in FIGURES:
            ratio = medians["with", name] / medians["without", name]
            ratios[f"{name} {clients}"] = round(1 / ratio if name == "throughput" else ratio, 3)
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="where to keep what is built")
    parser.add_argument("--encoders", default="pretrained,paper")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    options = parser.parse_args()
    work: Path = options.work.absolute()
    print(f"{os.cpu_count()} CPU cores")
    ratios: Figures = {}
    for encoder in options.encoders.split(","):
        checkpoint = Path(PRETRAINED) if encoder == "pretrained" else convolution_checkpoint(work / "checkpoint")
        place = prepare(work / encoder, checkpoint=checkpoint, images=IMAGES, objects=20)
        for size in ("small", "large"):
            print(f"{encoder}, {IMAGES:,} images, {size} queries", flush=True)
            figures = compare(place, size=size, rounds=options.rounds, seconds=options.seconds)
            ratios |= {f"{encoder} {size} {name}": value for name, value in figures.items()}
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
