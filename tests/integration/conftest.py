"""Real service processes on real databases: SQLite always, PostgreSQL where it is installed."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

import httpx
import psycopg
import pytest
from sqlalchemy import select

from model.scene_graph import SceneGraph
from service.catalogue import Catalogue
from service.database import open_database
from service.index.live import Overlay
from service.index.manifest import IndexManifest
from service.index.snapshot import Snapshot
from service.index.versions import IndexStore, IndexVersion
from service.jobs import Jobs
from service.reindex import run_reindex
from service.search import SearchQuery
from service.tables import Job
from tests.conftest import skip_or_fail
from tests.factories import make_checkpoint, make_records
from tests.ports import free_port

ADMIN_KEY: Final = "integration-key"
ADMIN: Final = {"X-API-Key": ADMIN_KEY}
RECORDS: Final = 300
JOB_TIMEOUT: Final = 10.0
PATIENCE: Final = 90.0  # seconds until a test gives up waiting for something that comes sooner

NewDatabase = Callable[[], str]


class PostgresServer:
    """A PostgreSQL server of our own, reached by a socket, that can be ended and started again.

    PostgreSQL refuses to run as root, so root runs it as the user `postgres`.
    """

    def __init__(self) -> None:
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
        found = shutil.which("initdb") or (str(programs[-1]) if programs else None)
        if found is None:
            skip_or_fail("postgres", "PostgreSQL's server programs are not installed")
        self._user: dict[str, Any] = (
            {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
        )
        self._home, self._binaries = Path(tempfile.mkdtemp(prefix="scenerank-postgres-")), Path(found).parent
        if self._user:
            shutil.chown(self._home, "postgres", "postgres")
        subprocess.run(
            [found, "-D", self._home / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, cwd=self._home, **self._user,
        )  # fmt: skip
        self.url = f"postgresql://postgres@/{{}}?host={self._home}"
        """Of its databases, but for their name."""

    def start(self) -> None:
        with (self._home / "log").open("ab") as log:
            options = f"-D {self._home}/data -k {self._home} -F -c listen_addresses=".split()
            command = [str(self._binaries / "postgres"), *options]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._home, **self._user)
        until(self._answers, "PostgreSQL answers")

    def end(self) -> None:
        """At once: who is connected loses the connection."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE)

    def remove(self) -> None:
        shutil.rmtree(self._home, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url.format("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A server for all tests; gives the URL of its databases, but for their name."""
    server = PostgresServer()
    server.start()
    try:
        yield server.url
    finally:
        server.end()
        server.remove()


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def new_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NewDatabase:
    """Makes empty databases of one kind; gives their URLs."""
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path_factory.mktemp('database')}/scenerank.db"
    template: str = request.getfixturevalue("postgres_server")

    def create() -> str:
        name = f"scenerank_{time.monotonic_ns()}"
        with psycopg.connect(template.format("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return template.format(name)

    return create


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A database and a data directory that service processes share; vectors are in files there, or in Milvus."""

    database_url: str
    data_dir: Path
    index_url: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("SCENERANK_")},
            "OMP_NUM_THREADS": "1",
            "SCENERANK_DATABASE_URL": self.database_url,
            "SCENERANK_DATA_DIR": str(self.data_dir),
            "SCENERANK_INDEX_URL": self.index_url,
            "SCENERANK_ADMIN_KEYS": f"another,{ADMIN_KEY}",
            "SCENERANK_JOB_TIMEOUT": str(JOB_TIMEOUT),
            "SCENERANK_INDEX_POLL_INTERVAL": "0.05",
            "SCENERANK_DRAIN_TIME": "0",
            "SCENERANK_WORKERS": "1",  # starts in half the time; test_workers.py is about more
        }

    @property
    def store(self) -> IndexStore:
        return IndexStore(self.data_dir / "index")

    def checkpoint(self, name: str, *, seed: int = 0) -> Path:
        """Put a tiny checkpoint where requests can name it."""
        directory = self.data_dir / "checkpoints" / name
        make_checkpoint(directory, seed=seed)
        return directory

    def fill(self, count: int) -> None:
        """Put made-up images into the catalogue."""
        engine = open_database(self.database_url)
        Catalogue(engine).upsert(make_records(count))
        engine.dispose()

    def build(self, checkpoint: Path) -> IndexManifest:
        """Build an index version in this process."""
        engine = open_database(self.database_url)
        jobs = Jobs(engine, timeout=30)
        job, _ = jobs.enqueue(checkpoint=str(checkpoint))
        try:
            return run_reindex(
                job.id, jobs=jobs, catalogue=Catalogue(engine), store=self.store, progress=lambda *_: None
            )
        finally:
            engine.dispose()

    def job(self, address: str) -> dict[str, Any]:
        """A job as the database has it."""
        engine = open_database(self.database_url)
        try:
            return asdict(Jobs(engine, timeout=JOB_TIMEOUT).get(address.rpartition("/")[2]))
        finally:
            engine.dispose()

    def last_job(self) -> dict[str, Any]:
        """The job entered last, as the database has it."""
        engine = open_database(self.database_url)
        try:
            with engine.connect() as connection:
                job_id = connection.scalar(select(Job.id).order_by(Job.created_at.desc()))
        finally:
            engine.dispose()
        return self.job(f"/jobs/{job_id}")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line."""
        command = [sys.executable, "-m", "scenerank", *arguments]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A running service process and a client to it."""

    place: Place
    process: subprocess.Popen[bytes]
    client: httpx.Client

    def search(self, graph: dict[str, Any], **fields: object) -> httpx.Response:
        return self.client.post("/search", json={"graph": graph, **fields})

    def reindex(self, *, headers: dict[str, str] | None = None, **fields: object) -> httpx.Response:
        return self.client.post("/reindex", json=fields, headers=ADMIN | (headers or {}))

    def job(self, address: str) -> dict[str, Any]:
        document: dict[str, Any] = self.client.get(address).raise_for_status().json()
        return document

    def ended(self, address: str) -> dict[str, Any]:
        """Wait for a job to end."""
        until(lambda: self.job(address)["state"] not in ("enqueued", "running"), f"{address} ends")
        return self.job(address)

    def children(self) -> list[int]:
        """Processes that this one has started."""
        pid = self.process.pid
        return [
            int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
        ]


@contextmanager
def serving(
    place: Place, *, stderr: IO[bytes] | int | None = None, program: Sequence[str] = ("-m", "scenerank")
) -> Iterator[Service]:
    """A service process, ended at the end."""
    port = free_port()
    command = [sys.executable, *program, "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=place.environment, stderr=stderr)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
        try:
            until(lambda: process.poll() is not None or _alive(client), "the service starts")
            assert process.poll() is None, "the service ended"
            yield Service(place=place, process=process, client=client)
        finally:
            process.terminate()
            process.wait(PATIENCE)


@pytest.fixture(scope="module")
def indexed_place(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A filled catalogue with an index; tests that share it leave it as it is."""
    place = Place(database_url=new_database(), data_dir=tmp_path_factory.mktemp("data"))
    place.fill(RECORDS)
    place.build(place.checkpoint("first"))
    return place


@pytest.fixture(scope="module")
def service(indexed_place: Place) -> Iterator[Service]:
    """A running service that tests share."""
    with serving(indexed_place) as service:
        yield service


@pytest.fixture
def empty_place(new_database: NewDatabase, tmp_path: Path) -> Place:
    """An empty catalogue and no index."""
    return Place(database_url=new_database(), data_dir=tmp_path / "data")


def query_of(version: IndexVersion, graph: SceneGraph, *, limit: int, offset: int = 0) -> SearchQuery:
    """A search in a version as it was built."""
    snapshot = Snapshot(version=version, overlay=Overlay.empty(version), revision=version.manifest.catalogue_revision)
    resolved = version.checkpoint.resolver.resolve(graph)
    return SearchQuery(snapshot=snapshot, graph=graph, resolved=resolved, limit=limit, offset=offset, min_score=None)


def until(condition: Callable[[], object], what: str, *, every: float = 0.05) -> None:
    """Wait for something to become true, looking every so many seconds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} seconds"
        time.sleep(every)


def _alive(client: httpx.Client) -> bool:
    try:
        return client.get("/livez").status_code == 200
    except httpx.TransportError:
        return False
