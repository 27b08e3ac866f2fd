"""Running a reindex: inline for `scenerank index build`, or as a process of its own, `python -m service.reindex`."""

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from model.checkpoint import PRETRAINED, find_checkpoint
from model.errors import CheckpointError, SceneRankError
from service import logs
from service.catalogue import Catalogue
from service.database import open_database
from service.errors import IndexVersionError, ReindexError, refusal
from service.index.build import Progress, build_index
from service.index.vector_index import use_one_thread
from service.index.versions import IndexManifest, IndexStore
from service.jobs import Jobs
from service.settings import Settings

_REPORT_INTERVAL: Final = 1.0  # seconds
_STOPPED: Final = "it was told to stop; the index stayed as it was"
_FORGOTTEN: Final = "it was given up meanwhile; the index stayed as it was"
_GIVEN_UP: Final = 3  # exit status of a process that is no longer wanted

_log = logging.getLogger("service.reindex")  # also where this is __main__


def choose_checkpoint(settings: Settings, store: IndexStore, named: Path | None = None) -> Path:
    """What to build with: the one named, else configured, else the model of the version in use, else the shipped one.

    Raises:
        CheckpointError: the first of these that there is cannot be used.
    """
    return find_checkpoint(named or settings.checkpoint or _model_in_use(store) or Path(PRETRAINED)).absolute()


def _model_in_use(store: IndexStore) -> Path | None:
    try:
        current = store.current()
        return None if current is None else find_checkpoint(store.directory(current) / "model")
    except (IndexVersionError, CheckpointError):
        raise CheckpointError(
            "the index is damaged, so its model cannot be used again; name another, with --checkpoint RUN or as "
            f"`checkpoint` of POST /reindex, or set SCENERANK_CHECKPOINT; {PRETRAINED} comes with SceneRank"
        ) from None


def run_reindex(
    job_id: str, *, jobs: Jobs, catalogue: Catalogue, store: IndexStore, progress: Progress, parent: int | None = None
) -> IndexManifest:
    """Do the work of an enqueued job and record how it ends. On SIGTERM it ends soon, and the job has failed.

    Args:
        job_id: the job.
        jobs: where the job is.
        catalogue: the images.
        store: where index versions live.
        progress: told how many images are done, of how many.
        parent: the process that wants the result; without it the work ends.

    Raises:
        SceneRankError: it failed; the job says so too.
    """
    if not jobs.start(job_id):
        raise ReindexError(f"job {job_id} is not to be run any more")
    try:
        with _sigterm() as told_to_stop:
            with _reporting(jobs, job_id, progress, parent, told_to_stop) as (report, confirm):
                checkpoint = Path(jobs.get(job_id).checkpoint)
                manifest = build_index(
                    catalogue=catalogue, store=store, checkpoint=checkpoint, progress=report, confirm=confirm
                )
            jobs.succeed(job_id, manifest.version)
    except SceneRankError as error:
        jobs.fail(job_id, str(error))
        raise
    except BaseException as error:
        jobs.fail(job_id, refusal(error) or type(error).__name__ if isinstance(error, Exception) else "it was stopped")
        raise
    return manifest


@contextlib.contextmanager
def _reporting(
    jobs: Jobs, job_id: str, progress: Progress, parent: int | None, told_to_stop: threading.Event
) -> Iterator[tuple[Progress, Callable[[str], None]]]:
    """Report once a second from another thread, which ends the process when nobody wants it any more.

    From the moment that the switch to the new version is confirmed it is not ended: what it said would be false.
    """
    state = [0, 0]
    ended, switching = threading.Event(), threading.Event()
    deciding = threading.Lock()

    def report(done: int, total: int) -> None:
        if told_to_stop.is_set():
            raise ReindexError(_STOPPED)
        state[:] = done, total
        progress(done, total)

    def unwanted() -> str | None:
        if parent is not None and os.getppid() != parent:
            return "the service that started it has ended; the index stayed as it was"
        if not jobs.report(job_id, done=state[0], total=state[1]):
            return _FORGOTTEN
        return None

    def confirm(version: str) -> None:
        with deciding:
            if reason := _STOPPED if told_to_stop.is_set() else unwanted():
                raise ReindexError(reason)
            if not jobs.switch(job_id, version):
                raise ReindexError(_FORGOTTEN)
            switching.set()

    def beat() -> None:
        while not ended.wait(_REPORT_INTERVAL):
            try:
                with deciding:
                    reason = unwanted()
                    if reason and not switching.is_set() and not ended.is_set():
                        _log.error("job %s stops: %s", job_id, reason)
                        jobs.fail(job_id, reason)
                        os._exit(_GIVEN_UP)
            except Exception as error:  # noqa: BLE001 (the database is away for a moment: the next report may get through)
                _log.error("job %s cannot report: %s", job_id, refusal(error) or repr(error))

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield report, confirm
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def _sigterm() -> Iterator[threading.Event]:
    """Set by SIGTERM. Nothing is interrupted: database drivers do not bear that in the middle of a statement."""
    told = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda _signal, _frame: told.set())
    try:
        yield told
    finally:
        signal.signal(signal.SIGTERM, before)


def main() -> None:
    """Run one job for the service process that entered it: `python -m service.reindex JOB_ID PARENT_PID`."""
    job_id, parent = sys.argv[1], int(sys.argv[2])
    logs.configure("text")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the service too, which then ends this process
    os.nice(10)  # searches go first
    use_one_thread()
    try:
        settings = Settings.load()
        logs.configure(settings.log_format)
        engine = open_database(settings.database)
        manifest = run_reindex(
            job_id,
            jobs=Jobs(engine, settings.job_timeout),
            catalogue=Catalogue(engine),
            store=IndexStore(settings.index_dir),
            progress=lambda _done, _total: None,
            parent=parent,
        )
    except SceneRankError as error:
        _log.error("job %s failed: %s", job_id, error)
        sys.exit(1)
    except (OSError, SQLAlchemyError) as error:
        _log.error("job %s failed: %s", job_id, refusal(error))
        sys.exit(1)
    _log.info("job %s made index version %s of %d images", job_id, manifest.version, manifest.count)


if __name__ == "__main__":
    main()
