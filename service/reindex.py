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
from service.errors import IndexVersionError, JobEndedError, ReindexError, refusal
from service.index.approximate import FLAT, IndexKind, parse_index_kind
from service.index.backend import build, open_store
from service.index.build import Progress
from service.index.manifest import IndexManifest, read_manifest
from service.index.state import Store
from service.jobs import Jobs
from service.settings import Settings
from service.threads import use_one_thread

_REPORT_INTERVAL: Final = 0.5  # seconds
_GRACE: Final = 0.5  # seconds that the work gets to end by itself when nobody wants it any more
_PATIENCE: Final = 60.0  # seconds that the switch waits for another one to be over
_STOPPED: Final = "it was told to stop; the index stayed as it was"
_INTERRUPTED: Final = "it was interrupted; the index stayed as it was"
_CANCELLED: Final = "it was cancelled; the index stayed as it was"
_FORGOTTEN: Final = "it was given up meanwhile; the index stayed as it was"
_GIVEN_UP: Final = 3  # exit status of a process that is no longer wanted

_log = logging.getLogger("service.reindex")  # also where this is __main__


def choose_checkpoint(settings: Settings, store: Store, named: Path | None = None) -> Path:
    """What to build with: the one named, else configured, else the model of the version in use, else the shipped one.

    Raises:
        CheckpointError: the first of these that there is cannot be used.
    """
    return find_checkpoint(named or settings.checkpoint or _model_in_use(store) or Path(PRETRAINED)).absolute()


def choose_index_kind(store: Store, named: IndexKind | None = None) -> IndexKind:
    """How to search what is built: as named, else as the version in use is, else exactly."""
    if named is not None:
        return named
    try:
        current = store.current()
        return FLAT if current is None else parse_index_kind(read_manifest(store.directory(current)).index)
    except (IndexVersionError, ValueError, TypeError):
        return FLAT


def _model_in_use(store: Store) -> Path | None:
    try:
        current = store.current()
        return None if current is None else find_checkpoint(store.directory(current) / "model")
    except (IndexVersionError, CheckpointError):
        raise CheckpointError(
            "the index is damaged, so its model cannot be used again; name another, with --checkpoint RUN or as "
            f"`checkpoint` of POST /reindex, or set SCENERANK_CHECKPOINT; {PRETRAINED} comes with SceneRank"
        ) from None


def run_reindex(
    job_id: str,
    *,
    jobs: Jobs,
    catalogue: Catalogue,
    store: Store,
    progress: Progress,
    parent: int | None = None,
    encoded: Path | None = None,
) -> IndexManifest:
    """Do the work of an enqueued job and record how it ends.

    On SIGTERM it ends soon, and the job has failed; on Ctrl-C, or when the job is cancelled, it ends soon too, and the
    job is cancelled.

    Args:
        job_id: the job.
        jobs: where the job is.
        catalogue: the images.
        store: where index versions live.
        progress: told how many images are done, of how many.
        parent: the process that wants the result; without it the work ends.
        encoded: parts of a bulk encoding, whose vectors are taken where they are right.

    Raises:
        SceneRankError: it failed; the job says so too.
        KeyboardInterrupt: Ctrl-C.
    """
    if not jobs.start(job_id):
        raise ReindexError(f"job {job_id} is not to be run any more")
    try:
        # The right to switch is kept until old versions are removed.
        with contextlib.ExitStack() as switching, _signals() as stop:
            reporting = _reporting(job_id, jobs=jobs, store=store, progress=progress, parent=parent, stop=stop)
            with reporting as (report, confirm):

                def confirm_alone(version: str) -> None:
                    switching.enter_context(store.switching(_PATIENCE))
                    confirm(version)

                job = jobs.get(job_id)
                manifest = build(
                    catalogue=catalogue,
                    store=store,
                    checkpoint=Path(job.checkpoint),
                    progress=report,
                    confirm=confirm_alone,
                    kind=parse_index_kind(job.index_kind),
                    encoded=encoded,
                )
            jobs.succeed(job_id, manifest.version)
    except SceneRankError as error:
        if str(error) == _INTERRUPTED:
            _cancel(jobs, job_id)
            raise KeyboardInterrupt(_INTERRUPTED) from None
        jobs.fail(job_id, str(error))
        raise
    except KeyboardInterrupt:  # Ctrl-C again
        _cancel(jobs, job_id)
        raise
    except BaseException as error:
        jobs.fail(job_id, refusal(error) or type(error).__name__ if isinstance(error, Exception) else "it was stopped")
        raise
    return manifest


def _cancel(jobs: Jobs, job_id: str) -> None:
    with contextlib.suppress(JobEndedError):
        jobs.cancel(job_id)


@contextlib.contextmanager
def _reporting(
    job_id: str, *, jobs: Jobs, store: Store, progress: Progress, parent: int | None, stop: "_Stop"
) -> Iterator[tuple[Progress, Callable[[str], None]]]:
    """Report twice a second from another thread, which ends the work, or the process, when nobody wants it any more.

    From the moment that the switch to the new version is confirmed it is not ended: what it said would be false.
    """
    state = [0, 0]
    ended, switching = threading.Event(), threading.Event()
    deciding = threading.Lock()

    def report(done: int, total: int) -> None:
        stop.obey()
        state[:] = done, total
        progress(done, total)

    def unwanted() -> str | None:
        if parent is not None and os.getppid() != parent:
            return "the service that started it has ended; the index stayed as it was"
        if not jobs.report(job_id, done=state[0], total=state[1]):
            return _CANCELLED if jobs.get(job_id).state == "cancelled" else _FORGOTTEN
        return None

    def confirm(version: str) -> None:
        with deciding:
            stop.obey()
            if (reason := unwanted()) or not jobs.switch(job_id, version):
                raise ReindexError(reason or _FORGOTTEN)
            switching.set()

    def beat() -> None:
        while not ended.wait(_REPORT_INTERVAL):
            try:
                with deciding:
                    reason = unwanted()
                    if not reason or switching.is_set() or ended.is_set():
                        continue
                    stop.reason = reason
                    jobs.fail(job_id, reason)
            except Exception as error:  # noqa: BLE001 (the database is away for a moment: the next report may get through)
                _log.error("job %s cannot report: %s", job_id, refusal(error) or repr(error))
                continue
            if not ended.wait(_GRACE):
                _log.error("job %s stops: %s", job_id, reason)
                store.discard_staged()
                os._exit(_GIVEN_UP)
            return

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield report, confirm
    finally:
        ended.set()
        thread.join()


class _Stop:
    """Why the work is to end, if it is; looked at between two pieces of it."""

    reason: str | None = None

    def obey(self) -> None:
        """End the work if it is to end."""
        if self.reason is not None:
            raise ReindexError(self.reason)


@contextlib.contextmanager
def _signals() -> Iterator[_Stop]:
    """Set by SIGTERM and by Ctrl-C. Nothing is interrupted: database drivers do not bear that within a statement.

    The second Ctrl-C interrupts nevertheless. A process that ignores Ctrl-C goes on to.
    """
    stop = _Stop()

    def terminate(_signal: int, _frame: object) -> None:
        stop.reason = _STOPPED

    def interrupt(_signal: int, _frame: object) -> None:
        stop.reason = _INTERRUPTED
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGTERM, terminate), signal.getsignal(signal.SIGINT)
    if before[1] != signal.SIG_IGN:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])


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
            store=open_store(settings),
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
