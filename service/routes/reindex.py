"""Reindexing, its jobs, and the index in use."""

from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Header, Response, status

from model.checkpoint import PRETRAINED, find_checkpoint
from model.errors import CheckpointError, Problem
from service.dependencies import ServicesDep, require_admin
from service.errors import RequestInvalidError
from service.jobs import JobRecord
from service.reindex import choose_checkpoint
from service.schemas import IndexResponse, JobProgress, JobResponse, ReindexRequest
from service.settings import Settings

router = APIRouter(tags=["index"])

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="A second request with the same key gets the first one's job instead of a new one.",
    ),
]


@router.post(
    "/reindex",
    summary="Encode the whole catalogue into a new index version",
    status_code=status.HTTP_202_ACCEPTED,
    dependencies=[Depends(require_admin)],
)
def reindex(
    services: ServicesDep,
    response: Response,
    body: Annotated[ReindexRequest | None, Body(openapi_examples={"default": {"value": {}}})] = None,
    idempotency_key: IdempotencyKey = None,
) -> JobResponse:
    """Answers at once with a job, whose address is in `Location`.

    Searches go on in the old version meanwhile. The new one is tested (images must find themselves), then all searches
    switch to it in one step. While one reindex runs another is refused with 409 and that job's address.
    """
    checkpoint = choose_checkpoint(services.settings, services.store, _named(body, services.settings))
    job, is_new = services.jobs.enqueue(checkpoint=str(checkpoint), idempotency_key=idempotency_key)
    if is_new:
        services.processes.start(job.id)
    response.headers["Location"] = f"/jobs/{job.id}"
    return _job_response(job)


@router.get("/jobs/{job_id}", summary="How far a job is")
def get_job(job_id: UUID, services: ServicesDep) -> JobResponse:
    """The job's state, progress and times, and why it failed if it did."""
    return _job_response(services.jobs.get(str(job_id)))


@router.get("/index", summary="The index version in use")
def get_index(services: ServicesDep) -> IndexResponse:
    """Which version searches are answered from, and how large it and the catalogue are."""
    manifest = services.engine.require_version().manifest
    return IndexResponse(
        version=manifest.version,
        model_version=manifest.model_digest,
        dimension=manifest.dimension,
        count=manifest.count,
        metric=manifest.metric,
        created_at=datetime.fromisoformat(manifest.created_at),
        catalogue_count=services.catalogue.count(),
    )


def _named(body: ReindexRequest | None, settings: Settings) -> Path | None:
    """The checkpoint that a request names: a name within one directory, never a path."""
    if body is None or body.checkpoint is None:
        return None
    try:
        return find_checkpoint(settings.checkpoints_dir / body.checkpoint)
    except CheckpointError:
        if body.checkpoint == PRETRAINED:
            return Path(PRETRAINED)
        message = (
            f"there is no checkpoint {body.checkpoint!r} in the service's DATA_DIR/checkpoints; put it there first"
        )
        raise RequestInvalidError(Problem("/checkpoint", message)) from None


def _job_response(job: JobRecord) -> JobResponse:
    return JobResponse(
        id=job.id,
        kind=job.kind,
        state=job.state,
        progress=JobProgress(done=job.done, total=job.total),
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        index_version=job.index_version,
        error=job.error,
    )
