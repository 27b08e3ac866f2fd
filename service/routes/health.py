"""Whether the process lives, and whether it can work."""

from typing import Final

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from service.dependencies import AdmissionDep, MetricsDep, ServicesDep
from service.errors import CatalogueError, DrainingError
from service.schemas import Health

router = APIRouter(tags=["health"])

_OUTDATED: Final = "the newest state cannot be used, so an older one answers; the service's log tells why"


@router.head("/livez", include_in_schema=False)
@router.get("/livez", summary="Is the process up?", response_model_exclude_none=True)
async def livez() -> Health:
    """200 as long as the process answers at all."""
    return Health(status="alive")


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", summary="Can it answer searches?", response_model_exclude_none=True)
def readyz(services: ServicesDep, admission: AdmissionDep) -> Health:
    """200 if database, model and index are usable; else 503, and which of them is not.

    With `problem` set the service answers from the last good index version, because the newest one cannot be used.
    """
    if admission.draining:
        raise DrainingError("the service has been told to end; it answers what has reached it, but send nothing new")
    try:
        with services.database.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError:
        raise CatalogueError("the database does not answer; see SCENERANK_DATABASE_URL") from None
    snapshot = services.engine.require_snapshot()
    # Anybody may ask, so what is wrong in detail, with its paths, stands in the log alone.
    problem = _OUTDATED if services.engine.problem is not None else None
    return Health(status="ready", index_version=snapshot.name, problem=problem)


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def get_metrics(metrics: MetricsDep) -> Response:
    """Times of requests and of a search's stages, requests and refusals, queue, warnings, index version."""
    return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)
