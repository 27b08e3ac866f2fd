"""Jobs end once, and a job that has been cancelled never puts a version to use."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.database import open_database
from service.errors import JobEndedError, NotFoundError, ReindexRunningError
from service.jobs import Jobs

VERSION = "20260101T000000000000Z-00000000"


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    database = open_database(f"sqlite:///{tmp_path}/jobs.db")
    yield Jobs(database, timeout=30)
    database.dispose()


def enqueue(jobs: Jobs) -> str:
    return jobs.enqueue(checkpoint="checkpoint")[0].id


def test_a_cancelled_job_gives_its_place_up_and_can_do_nothing_more(jobs: Jobs) -> None:
    for started in (False, True):
        job_id = enqueue(jobs)
        assert jobs.active() == jobs.get(job_id)
        if started:
            assert jobs.start(job_id)
        cancelled = jobs.cancel(job_id)
        assert (cancelled.state, cancelled.error, jobs.active()) == ("cancelled", None, None)
        assert cancelled.finished_at is not None

        assert not jobs.start(job_id)
        assert not jobs.report(job_id, done=1, total=2)
        assert not jobs.switch(job_id, VERSION)
        assert not jobs.fail(job_id, "late")
        jobs.succeed(job_id, VERSION)
        assert jobs.get(job_id) == cancelled


def test_what_has_ended_or_switches_is_not_cancelled(jobs: Jobs) -> None:
    job_id = enqueue(jobs)
    jobs.start(job_id)
    assert jobs.switch(job_id, VERSION)
    with pytest.raises(JobEndedError, match="this moment"):
        jobs.cancel(job_id)
    with pytest.raises(ReindexRunningError):
        enqueue(jobs)
    jobs.succeed(job_id, VERSION)
    with pytest.raises(JobEndedError, match="ended as succeeded"):
        jobs.cancel(job_id)
    assert jobs.get(job_id).state == "succeeded"
    with pytest.raises(NotFoundError):
        jobs.cancel("none")


def test_of_cancel_and_switch_exactly_one_comes_first(jobs: Jobs) -> None:
    outcomes = set()
    with ThreadPoolExecutor(2) as pool:
        for _ in range(30):
            job_id = enqueue(jobs)
            jobs.start(job_id)
            together = threading.Barrier(2)

            def switch(job_id: str = job_id, together: threading.Barrier = together) -> bool:
                together.wait()
                return jobs.switch(job_id, VERSION)

            def cancel(job_id: str = job_id, together: threading.Barrier = together) -> bool:
                together.wait()
                try:
                    jobs.cancel(job_id)
                except JobEndedError:
                    return False
                return True

            switched, cancelled = pool.submit(switch), pool.submit(cancel)
            outcome = switched.result(), cancelled.result()
            assert outcome in {(True, False), (False, True)}
            assert jobs.get(job_id).state == ("cancelled" if outcome[1] else "running")
            outcomes.add(outcome)
            jobs.succeed(job_id, VERSION)
    assert outcomes
