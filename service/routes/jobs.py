"""Jobs: how far they are, and their end."""

from uuid import UUID

from fastapi import APIRouter, Depends

from service.dependencies import ServicesDep, require_admin
from service.jobs import JobRecord
from service.schemas import JobProgress, JobResponse

router = APIRouter(tags=["index"])


@router.get("/jobs/{job_id}", summary="How far a job is")
def get_job(job_id: UUID, services: ServicesDep) -> JobResponse:
    """The job's state, progress and times, and why it failed if it did."""
    return job_response(services.jobs.get(str(job_id)))


@router.post("/jobs/{job_id}/cancel", summary="End a job", dependencies=[Depends(require_admin)])
def cancel_job(job_id: UUID, services: ServicesDep) -> JobResponse:
    """The job is cancelled at once, the index stays as it is, and another reindex may begin.

    The process that worked on it ends within about a second, wherever it runs. A job that has ended, or is putting its
    version to use this moment, is answered with 409.
    """
    return job_response(services.jobs.cancel(str(job_id)))


def job_response(job: JobRecord) -> JobResponse:
    """A job as an answer."""
    return JobResponse(
        id=job.id,
        kind=job.kind,
        state=job.state,
        index=job.index_kind,
        progress=JobProgress(done=job.done, total=job.total),
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        index_version=job.index_version,
        error=job.error,
    )
