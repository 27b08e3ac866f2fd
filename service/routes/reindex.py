"""Reindexing."""

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Header, Response, status

from model.checkpoint import PRETRAINED, find_checkpoint
from model.errors import CheckpointError, Problem
from service.dependencies import ServicesDep, require_admin
from service.errors import RequestInvalidError
from service.index.approximate import parse_index_kind
from service.reindex import choose_checkpoint, choose_index_kind
from service.routes.jobs import job_response
from service.schemas import JobResponse, ReindexRequest
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
    kind = choose_index_kind(services.store, parse_index_kind(body.index) if body and body.index else None)
    job, is_new = services.jobs.enqueue(
        checkpoint=str(checkpoint), index_kind=str(kind), idempotency_key=idempotency_key
    )
    if is_new:
        services.processes.start(job.id)
    response.headers["Location"] = f"/jobs/{job.id}"
    return job_response(job)


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
