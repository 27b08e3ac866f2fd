"""What Prometheus is told at GET /metrics. No label has a value that a stranger could choose.

Where several processes serve one port, PROMETHEUS_MULTIPROC_DIR names a directory in which each keeps its figures, and
whichever is asked tells those of all. What the catalogue and the index are it tells of itself: all follow the same.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service.admission import Admission
from service.engine import Engine
from service.search import SearchAnswer
from service.search_thread import MAX_BATCH

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})
_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_REJECTED: Final = {429: "rate_limit", 503: "queue_full", 504: "deadline"}


class Metrics:
    """The figures of one application, and of all processes that serve it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own: CollectorRegistry | None = self.registry
        directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if directory is not None:
            own = None  # what is counted here is in the files too, and would be told twice
            self.registry.register(_Processes(Path(directory)))
        self._requests = Counter(
            "scenerank_requests",
            "Requests by route and status; 499: the client left before its answer.",
            ("method", "route", "status"),
            registry=own,
        )
        self._request_seconds = Histogram(
            "scenerank_request_seconds",
            "From the first byte of a request to the last of its answer, by route.",
            ("route",),
            buckets=_SECONDS,
            registry=own,
        )
        self._stage_seconds = Histogram(
            "scenerank_search_stage_seconds",
            "Stages of a search: queue, then encode and search of its batch; total is from the queue to the ranking.",
            ("stage",),
            buckets=_SECONDS,
            registry=own,
        )
        # By label once: that takes as long as to observe.
        self._stages = [self._stage_seconds.labels(stage) for stage in ("queue", "encode", "search", "total")]
        self._warnings = Counter("scenerank_warnings", "Warnings in answers, by code.", ("code",), registry=own)
        self._batch_sizes = Histogram(
            "scenerank_batch_size",
            "Searches that were encoded and looked up together.",
            buckets=[size for size in (1, 2, 4, 8, 16, 32) if size < MAX_BATCH] + [MAX_BATCH],
            registry=own,
        )
        self._rejected = Counter(
            "scenerank_rejected", "Requests that were not served, by reason.", ("reason",), registry=own
        )
        for reason in _REJECTED.values():
            self._rejected.labels(reason)  # from the start, so that a rate is 0 and not missing
        self._refused = self._requests.labels("POST", "-", "503")
        self._rejected_full = self._rejected.labels(_REJECTED[503])
        self._queue_depth = Gauge(
            "scenerank_queue_depth", "Searches under way or waiting.", registry=own, multiprocess_mode="livesum"
        )
        self._queue_limit = Gauge(
            "scenerank_queue_limit", "Searches that may be at once.", registry=own, multiprocess_mode="livemax"
        )

    def follow(self, engine: Engine, admission: Admission) -> None:
        """Tell the state of these too."""
        self._queue_limit.set(admission.max_queue)
        admission.observe = self._queue_depth.set
        self.registry.register(_State(engine))

    def count_request(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that is over.

        Args:
            method: of HTTP.
            route: the route's pattern, not the path that was asked for; "-" if none was reached.
            status: of the answer.
            seconds: how long it took.
        """
        self._requests.labels(method if method in _METHODS else "other", route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)
        # A 503 of a route has another reason: no index, say. A full queue refuses before a route is looked for.
        if status in _REJECTED and (status != 503 or route == "-"):
            self._rejected.labels(_REJECTED[status]).inc()

    def count_refused_search(self) -> None:
        """Count a search that was refused because as many wait as may; how long that takes is not measured."""
        self._refused.inc()
        self._rejected_full.inc()

    def count_batch(self, answer: SearchAnswer, waited: Sequence[float], seconds: float) -> None:
        """Count searches that the engine has done together.

        Args:
            answer: one of its answers.
            waited: how long each search had to wait before. Units: seconds.
            seconds: how long they took. Units: seconds.
        """
        self._batch_sizes.observe(len(waited))
        for queued in waited:
            taken = (queued, answer.encode_ms / 1000, answer.search_ms / 1000, queued + seconds)
            for stage, value in zip(self._stages, taken, strict=True):
                stage.observe(value)

    def count_warnings(self, codes: Iterable[str]) -> None:
        """Count the warnings of an answer."""
        for code in codes:
            self._warnings.labels(code).inc()

    def render(self) -> bytes:
        """All figures in Prometheus's text format."""
        return generate_latest(self.registry)


class _Processes(Collector):
    """What all processes have counted, those that have ended too, and the gauges of those that live."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterable[Metric]:
        # An empty file is of a process that begins, or was killed as it began: its reader would fail, with all figures.
        files = []
        for file in self._directory.glob("*.db"):
            with contextlib.suppress(FileNotFoundError):  # the gauges of a process that has just ended
                if file.stat().st_size:
                    files.append(str(file))
        figures: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]  # has no types
        return figures


class _State(Collector):
    """What this process answers from at the moment of asking."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        snapshot = self._engine.snapshot
        if snapshot is None:
            return
        manifest = snapshot.version.manifest
        info = {"version": manifest.version, "model": manifest.model_digest}
        yield InfoMetricFamily("scenerank_index", "The index version in use.", value=info)
        yield GaugeMetricFamily("scenerank_index_images", "Images that can be found.", value=snapshot.count)
        yield GaugeMetricFamily(
            "scenerank_index_changed", "Of these, changed since the version was made.", value=snapshot.changed
        )
        yield GaugeMetricFamily(
            "scenerank_catalogue_revision", "Of the catalogue that is searched.", value=snapshot.revision
        )
