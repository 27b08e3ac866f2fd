"""Work in processes that are killed in the middle of it, at a step that is counted, or whenever the test likes.

They are forked from a process that has imported everything, so that one begins within a moment.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from itertools import cycle
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, event

import service.catalogue
from service.app import create_app
from service.catalogue import Catalogue
from service.database import open_database
from service.index.versions import IndexStore
from service.jobs import Jobs
from service.listeners import reserve
from service.reindex import run_reindex
from service.server import run_server
from service.settings import Settings
from tests.factories import make_records
from tests.integration.conftest import ADMIN_KEY

KILLED: Final = -signal.SIGKILL

_FILE_EVENTS: Final = ("os.mkdir", "os.remove", "os.rename", "os.rmdir")

_forks: Final = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["pytest", __name__])


def start(work: Callable[..., None], *arguments: object) -> ForkServerProcess:
    """A function of this module in a process of its own."""
    process = _forks.Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


def run(work: Callable[..., None], *arguments: object) -> int | None:
    """The exit status of a function of this module in a process of its own."""
    process = start(work, *arguments)
    process.join()
    status = process.exitcode
    process.close()
    return status


def die_at(step: int, *, files: bool) -> None:
    """Kill this process right before its main thread does the step-th thing that can be seen from outside.

    Steps are statements that write, commits and, if wanted, changes of files and directories.
    """
    main, left = threading.current_thread(), step

    def count() -> None:
        nonlocal left
        if threading.current_thread() is main:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def statement(_connection: Connection, _cursor: object, text: str, *_: object) -> None:
        if text.startswith(("INSERT", "UPDATE", "DELETE")):
            count()

    def audit(name: str, arguments: tuple[Any, ...]) -> None:
        if name in _FILE_EVENTS or (name == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            count()

    event.listen(Engine, "before_cursor_execute", statement)
    event.listen(Engine, "commit", lambda _connection: count())
    if files:
        sys.addaudithook(audit)


def build(url: str, data_dir: Path, checkpoint: Path, step: int, files: bool) -> None:
    """`scenerank index build`, killed at a step."""
    engine = open_database(url)
    jobs, store = Jobs(engine, timeout=1), IndexStore(data_dir / "index", kept=2)
    die_at(step, files=files)
    job, _ = jobs.enqueue(checkpoint=str(checkpoint))
    run_reindex(job.id, jobs=jobs, catalogue=Catalogue(engine), store=store, progress=lambda *_: None)


def import_images(url: str, acknowledged: Path, count: int, seed: int, step: int) -> None:
    """`scenerank import` with small chunks, killed at a step; tells how many images it has told its user of."""
    service.catalogue.CHUNK = 20  # type: ignore[misc]
    engine = open_database(url)
    die_at(step, files=False)
    with acknowledged.open("w") as file:
        Catalogue(engine).upsert(make_records(count, seed=seed), lambda done: print(done, file=file, flush=True))


def put_image(url: str, seed: int, step: int) -> None:
    """What PUT /images/{id} does to the catalogue, killed at a step."""
    engine = open_database(url)
    die_at(step, files=False)
    Catalogue(engine).put(make_records(1, seed=seed)[0])


def delete_image(url: str, step: int) -> None:
    """What DELETE /images/{id} does to the catalogue, killed at a step."""
    engine = open_database(url)
    die_at(step, files=False)
    Catalogue(engine).delete(make_records(1)[0].image_id)


def keep_building(url: str, data_dir: Path, checkpoints: Sequence[Path]) -> None:
    """One `scenerank index build` after the other, each with the next checkpoint."""
    engine = open_database(url)
    jobs, store = Jobs(engine, timeout=60), IndexStore(data_dir / "index")
    for checkpoint in cycle(checkpoints):
        job, _ = jobs.enqueue(checkpoint=str(checkpoint))
        run_reindex(job.id, jobs=jobs, catalogue=Catalogue(engine), store=store, progress=lambda *_: None)


def serve(url: str, data_dir: Path, port: int) -> None:
    """`scenerank serve`."""
    settings = Settings.load(
        database_url=url, data_dir=data_dir, admin_keys=ADMIN_KEY, index_poll_interval=0.05, drain_time=0
    )
    run_server(create_app(settings), reserve("127.0.0.1", port), drain_time=0)
