"""The index in use, the versions there are, and going back to one of them."""

from contextlib import suppress
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Body, Depends

from service.dependencies import ServicesDep, require_admin
from service.errors import IndexVersionError
from service.index.manifest import IndexManifest
from service.rollback import roll_back
from service.schemas import IndexResponse, IndexVersionResponse, IndexVersionsResponse, RollbackRequest

router = APIRouter(tags=["index"])


@router.get("/index", summary="The index version in use")
def get_index(services: ServicesDep) -> IndexResponse:
    """Which version searches are answered from, and how large it and the catalogue are."""
    snapshot = services.engine.require_snapshot()
    manifest = snapshot.version.manifest
    return IndexResponse(
        version=manifest.version,
        model_version=manifest.model_digest,
        dimension=manifest.dimension,
        count=snapshot.count,
        changed=snapshot.changed,
        removed=snapshot.removed,
        metric=manifest.metric,
        index=manifest.index,
        recall=manifest.recall,
        created_at=datetime.fromisoformat(manifest.created_at),
        catalogue_count=services.catalogue.count(),
    )


@router.get("/index/versions", summary="All index versions there are")
def list_versions(services: ServicesDep) -> IndexVersionsResponse:
    """Newest first. The newest SCENERANK_INDEX_VERSIONS_KEPT of them stay, and the one in use."""
    current = None
    with suppress(IndexVersionError):  # what names it is damaged; /readyz tells
        current = services.store.current()
    versions = [_listed(name, manifest, current) for name, manifest in services.store.manifests().items()]
    return IndexVersionsResponse(versions=versions)


@router.post("/index/rollback", summary="Go back to an older index version", dependencies=[Depends(require_admin)])
def rollback(
    services: ServicesDep,
    body: Annotated[RollbackRequest | None, Body(openapi_examples={"default": {"value": {}}})] = None,
) -> IndexVersionResponse:
    """Verifies the version and switches all searches to it, in this process at once, in others within a second.

    Changes of the catalogue since are in what it answers: it is its model that comes back. Without `version` it is the
    newest usable one that is older than the one in use. 409 while a reindex runs, with that job's address, and when
    there is nothing to go back to.
    """
    manifest = roll_back(services.store, services.jobs, None if body is None else body.version)
    services.engine.refresh()
    return _listed(manifest.version, manifest, manifest.version)


def _listed(name: str, manifest: IndexManifest | None, current: str | None) -> IndexVersionResponse:
    if manifest is None:
        return IndexVersionResponse(version=name, usable=False, in_use=name == current)
    return IndexVersionResponse(
        version=name,
        usable=True,
        in_use=name == current,
        model_version=manifest.model_digest,
        dimension=manifest.dimension,
        count=manifest.count,
        index=manifest.index,
        recall=manifest.recall,
        created_at=datetime.fromisoformat(manifest.created_at),
    )
