"""What the routes need, made once when the application starts.

All are coroutines, because FastAPI gives each plain function a thread for every request.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, cast

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader
from pydantic import SecretStr
from sqlalchemy import Engine as Database

from service.admission import Admission
from service.catalogue import Catalogue
from service.engine import Engine
from service.errors import AdminDisabledError, KeyRequiredError
from service.index.state import Store
from service.jobs import Jobs
from service.metrics import Metrics
from service.reindex_processes import ReindexProcesses
from service.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts of a running service."""

    settings: Settings
    database: Database
    catalogue: Catalogue
    jobs: Jobs
    store: Store
    engine: Engine
    processes: ReindexProcesses


async def services_of(request: Request) -> Services:
    """The parts of the service that a request has come to."""
    return cast("Services", request.app.state.services)


ServicesDep = Annotated[Services, Depends(services_of)]


async def admission_of(request: Request) -> Admission:
    """What decides which searches are let in."""
    return cast("Admission", request.app.state.admission)


AdmissionDep = Annotated[Admission, Depends(admission_of)]


async def metrics_of(request: Request) -> Metrics:
    """The application's figures."""
    return cast("Metrics", request.app.state.metrics)


MetricsDep = Annotated[Metrics, Depends(metrics_of)]

ADMIN_SCHEME: Final = "AdminKey"

_key_header = APIKeyHeader(
    name="X-API-Key", auto_error=False, description="One of the keys in SCENERANK_ADMIN_KEYS.", scheme_name=ADMIN_SCHEME
)
_search_header = APIKeyHeader(
    name="X-API-Key",
    auto_error=False,
    description="One of the keys in SCENERANK_SEARCH_KEYS or SCENERANK_ADMIN_KEYS.",
    scheme_name="SearchKey",
)


async def require_admin(services: ServicesDep, key: Annotated[str | None, Security(_key_header)]) -> None:
    """Let only those in who have an admin key.

    Raises:
        AdminDisabledError: no key is configured.
        KeyRequiredError: the key is missing or wrong.
    """
    keys = services.settings.admin_keys
    if not keys:
        raise AdminDisabledError(
            "no admin key is configured, so admin calls are refused; start the service with SCENERANK_ADMIN_KEYS set"
        )
    if key is None:
        raise KeyRequiredError("this call needs an admin key in the header X-API-Key")
    if not is_one_of(key, keys):
        raise KeyRequiredError("the admin key in X-API-Key is not one of this service's")


async def require_search(services: ServicesDep, key: Annotated[str | None, Security(_search_header)]) -> None:
    """Let only those in who have a search key or an admin key.

    Raises:
        KeyRequiredError: the key is missing or wrong.
    """
    settings = services.settings
    if key is None:
        raise KeyRequiredError("this call needs a key in the header X-API-Key")
    if not is_one_of(key, (*settings.search_keys, *settings.admin_keys)):
        raise KeyRequiredError("the key in X-API-Key is not one of this service's")


def is_one_of(key: str, keys: Sequence[SecretStr]) -> bool:
    """Whether a key is among others, in a time that tells nothing about them."""
    digest = _digest(key)
    matches = [hmac.compare_digest(digest, _digest(other.get_secret_value())) for other in keys]
    return any(matches)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
