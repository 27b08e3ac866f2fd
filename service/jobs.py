"""Long work as rows of the database: at most one reindex at a time, and none that is running for ever."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

from sqlalchemy import Connection, CursorResult, Engine, case, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from service.errors import JobEndedError, NotFoundError, ReindexError, ReindexRunningError
from service.tables import Job

JobState = Literal["enqueued", "running", "succeeded", "failed", "cancelled"]

_SLOT: Final = "reindex"
_ACTIVE: Final = ("enqueued", "running")
_DIED: Final = "its process died before it was done; the index stayed as it was, ask for another reindex"
_DIED_SWITCHING: Final = (
    "its process died while it put the new version to use; GET /index tells which one is in use, and if it is "
    "another, ask for another reindex"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A job as its row has it; `done` of `total` images are encoded."""

    id: str
    kind: str
    state: JobState
    checkpoint: str
    index_kind: str
    done: int
    total: int
    index_version: str | None
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class Jobs:
    """The jobs in the database.

    A running job's process reports at least once a second; one that has not for `timeout` seconds is dead, and its job
    is marked failed by whoever looks next.

    Args:
        engine: the database.
        timeout: see above. Units: seconds.
    """

    def __init__(self, engine: Engine, timeout: float) -> None:
        self._engine = engine
        self._timeout = timeout

    def enqueue(
        self, *, checkpoint: str, index_kind: str = "flat", idempotency_key: str | None = None
    ) -> tuple[JobRecord, bool]:
        """Enter a reindex.

        Args:
            checkpoint: what to build with.
            index_kind: how the new version is to be searched, as `parse_index_kind` reads it.
            idempotency_key: a second request with the same key gets the first one's job.

        Returns:
            The job, and whether it is new.

        Raises:
            ReindexRunningError: another one is under way.
        """
        for _ in range(3):
            if idempotency_key is not None and (job := self._find(idempotency_key=idempotency_key)) is not None:
                return job, False
            self.expire()
            job_id = str(uuid.uuid4())
            row = {
                "id": job_id,
                "kind": "reindex",
                "state": "enqueued",
                "slot": _SLOT,
                "idempotency_key": idempotency_key,
                "checkpoint": checkpoint,
                "index_kind": index_kind,
                "created_at": datetime.now(UTC),
            }
            try:
                with self._engine.begin() as connection:
                    connection.execute(insert(Job).values(row | {"heartbeat_at": _now(connection)}))
            except IntegrityError:
                # The slot is taken, or the key has just been used: the next turn finds that one.
                running = self._find(slot=_SLOT)
                if running is not None and (
                    idempotency_key is None or self._find(idempotency_key=idempotency_key) is None
                ):
                    raise ReindexRunningError(running.id) from None
            else:
                return self.get(job_id), True
        raise ReindexError("the job could not be entered, others keep coming between; try again")

    def active(self) -> JobRecord | None:
        """The reindex that is enqueued or running, if there is one."""
        self.expire()
        return self._find(slot=_SLOT)

    def get(self, job_id: str) -> JobRecord:
        """A job.

        Raises:
            NotFoundError: there is none of this id.
        """
        self.expire()
        job = self._find(id=job_id)
        if job is None:
            raise NotFoundError(f"there is no job {job_id[:50]!r}")
        return job

    def start(self, job_id: str) -> bool:
        """Mark an enqueued job as running; False if it is not to be run any more."""
        return self._change(job_id, ("enqueued",), state="running", started_at=datetime.now(UTC))

    def report(self, job_id: str, *, done: int, total: int) -> bool:
        """Tell that the job's process lives and how far it is; False if the job has been given up."""
        return self._change(job_id, ("running",), done=done, total=total)

    def switch(self, job_id: str, index_version: str) -> bool:
        """Tell that this version is about to be put to use; False if the job has been given up."""
        return self._change(job_id, ("running",), index_version=index_version)

    def succeed(self, job_id: str, index_version: str) -> None:
        """Mark a running job as done."""
        self._end(job_id, "succeeded", index_version=index_version)

    def fail(self, job_id: str, error: str) -> bool:
        """Mark a job as failed unless it has already ended; whether it had not."""
        return self._end(job_id, "failed", error=error)

    def cancel(self, job_id: str) -> JobRecord:
        """Cancel a job that is enqueued or running; from now on it cannot put a version to use, and another may begin.

        Its process asks `switch` right before it puts its version to use, and this and that change the same row: one
        comes first, and the other finds the job in a state in which it may not.

        Raises:
            NotFoundError: there is none of this id.
            JobEndedError: it has ended, or its version is being put to use this moment.
        """
        self.expire()
        if not self._end(job_id, "cancelled", before_switch=True):
            job = self.get(job_id)
            raise JobEndedError(job.id, job.state)
        return self.get(job_id)

    def expire(self) -> None:
        """Mark jobs as failed whose process has died."""
        ended: dict[str, Any] = {
            "state": "failed",
            "slot": None,
            "finished_at": datetime.now(UTC),
            "error": case((Job.index_version.is_(None), _DIED), else_=_DIED_SWITCHING),
        }
        with self._engine.connect() as connection:
            dead = (Job.state.in_(_ACTIVE), Job.heartbeat_at < _now(connection) - self._timeout)
            # Looking first: a write would make readers wait for each other.
            if connection.scalar(select(Job.id).where(*dead)) is None:
                return
        with self._engine.begin() as connection:
            connection.execute(update(Job).where(*dead).values(ended))

    def _end(self, job_id: str, state: JobState, *, before_switch: bool = False, **values: object) -> bool:
        values |= {"state": state, "slot": None, "finished_at": datetime.now(UTC)}
        return self._change(job_id, _ACTIVE, before_switch=before_switch, **values)

    def _change(
        self, job_id: str, states: tuple[JobState, ...], *, before_switch: bool = False, **values: object
    ) -> bool:
        """Change a job that is in one of these states, which is a sign of life too; whether it was."""
        with self._engine.begin() as connection:
            change = update(Job).where(Job.id == job_id, Job.state.in_(states))
            if before_switch:
                change = change.where(Job.index_version.is_(None))
            result = connection.execute(change.values(**values, heartbeat_at=_now(connection)))
            assert isinstance(result, CursorResult)
            return result.rowcount > 0

    def _find(self, **where: str) -> JobRecord | None:
        names = list(JobRecord.__dataclass_fields__)
        query = select(*(getattr(Job, name) for name in names)).filter_by(**where)
        with self._engine.connect() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            return None
        assert row["state"] in get_args(JobState)
        return JobRecord(**row)


def _now(connection: Connection) -> float:
    """The time by the database's clock, because those of the hosts that share it differ. Units: seconds."""
    now: datetime = connection.execute(select(func.now())).scalar_one()
    return now.replace(tzinfo=now.tzinfo or UTC).timestamp()
