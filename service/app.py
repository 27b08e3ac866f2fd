"""The web application: its parts, its routes, and every error as a problem document."""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from anyio.to_thread import current_default_thread_limiter
from fastapi import Depends, FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from model.errors import Problem, SceneRankError
from model.graph_reader import MAX_PROBLEMS
from service import tracing
from service.admission import Admission, AdmissionMiddleware, Places
from service.catalogue import Catalogue
from service.database import open_database
from service.dependencies import Services, is_one_of, require_search
from service.engine import Engine
from service.errors import HTTP_KINDS, INTERNAL_DETAIL, Kind, ProblemDocument, RequestInvalidError, problem_of, refusal
from service.index.backend import close_store, open_store, settings_for_others
from service.invalid_fields import message_of_field, problem_of_field
from service.jobs import Jobs
from service.limits import Buckets, RateLimiter, RateLimitMiddleware
from service.logs import log_request
from service.metrics import Metrics
from service.middleware import PROBLEM_JSON, BodyLimitMiddleware, RequestIdMiddleware, encode_problem
from service.openapi import PROBLEM_RESPONSES, describe
from service.overload import Refusals
from service.reindex_processes import ReindexProcesses
from service.routes import health, images, index, reindex, search, vocabulary
from service.routes import jobs as job_routes
from service.routes.page import add_page
from service.search_lane import SearchLane
from service.settings import Settings
from service.vocabulary_search import VocabularySearch

_SEARCH_ROUTERS: Final = (search.router, vocabulary.router, images.router)
_OTHER_ROUTERS: Final = (reindex.router, job_routes.router, index.router, health.router)
_THREADS: Final = 40  # of all workers together, for what needs the database; anyio's own number
_BODY_METHODS: Final = ("POST", "PUT", "PATCH")

_log = logging.getLogger(__name__)


def create_app(settings: Settings, *, buckets: Buckets | None = None, places: Places | None = None) -> FastAPI:
    """The application; it opens the database and the index when it starts, not before.

    Args:
        settings: what can be set.
        buckets: of the rate limits, if other processes have the same.
        places: for searches, likewise.
    """
    admission, metrics = Admission(settings.max_queue, settings.request_timeout, places), Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        threads = max(_THREADS // (settings.workers or 1), 1)
        current_default_thread_limiter().total_tokens = threads
        database = open_database(settings.database, threads=threads)
        jobs = Jobs(database, settings.job_timeout)
        jobs.expire()
        store, catalogue = await run_in_threadpool(open_store, settings), Catalogue(database)
        services = Services(
            settings=settings,
            database=database,
            catalogue=catalogue,
            jobs=jobs,
            store=store,
            engine=Engine(
                store,
                catalogue,
                poll_interval=settings.index_poll_interval,
                batch_wait=settings.batch_wait,
                observe=metrics.count_batch,
            ),
            processes=ReindexProcesses(settings_for_others(settings, store), jobs),
        )
        app.state.services = services
        metrics.follow(services.engine, admission)
        try:
            async with services.engine.running():
                yield
        finally:
            services.processes.close()
            close_store(store)
            database.dispose()
            if end_traces is not None:
                await run_in_threadpool(end_traces)

    app = FastAPI(
        title="SceneRank",
        version=_version(),
        summary="Semantic image retrieval by scene graph.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=PROBLEM_RESPONSES,
    )
    # Not declared where no key is asked for: clients made from the OpenAPI document would ask for one.
    closed = [Depends(require_search)] if settings.search_keys else []
    for router in _SEARCH_ROUTERS:
        app.include_router(router, dependencies=closed)
    for router in _OTHER_ROUTERS:
        app.include_router(router)
    add_page(app)
    app.state.admission, app.state.metrics, app.state.vocabulary = admission, metrics, VocabularySearch()
    # The one added last is passed first: a body has arrived whole before its search takes a place in the queue.
    app.add_middleware(SearchLane)
    app.add_middleware(AdmissionMiddleware, admission=admission)
    app.add_middleware(BodyLimitMiddleware, limit=settings.max_body_bytes)
    if settings.rate_limit is not None:
        app.add_middleware(
            RateLimitMiddleware,
            limiter=RateLimiter(settings.rate_limit, settings.rate_burst, buckets),
            known=partial(is_one_of, keys=(*settings.admin_keys, *settings.search_keys)),
        )

    def report(request: Mapping[str, Any]) -> None:
        seconds = request["ms"] / 1000
        metrics.count_request(
            method=request["method"], route=request["route"], status=request["status"], seconds=seconds
        )
        log_request(request)

    app.add_middleware(RequestIdMiddleware, report=report)
    app.state.refusals = Refusals(admission, metrics.count_refused_search, settings.max_body_bytes)
    app.add_exception_handler(SceneRankError, _known_error)
    app.add_exception_handler(OperationalError, _known_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    end_traces = tracing.instrument(app) if tracing.asked_for() else None
    describe(app, settings)
    return app


async def _known_error(request: Request, error: Exception) -> Response:
    document = problem_of(error)
    if document.kind.status == 500:
        raise error  # the middleware logs it and answers
    if isinstance(error, OperationalError):
        _log.error("%s", refusal(error))
    return _respond(request, document)


async def _http_error(request: Request, error: Exception) -> Response:
    """What the framework refuses: no such route, wrong method, unreadable body."""
    assert isinstance(error, HTTPException)
    kind = HTTP_KINDS.get(error.status_code) or Kind(error.status_code, f"http-{error.status_code}", str(error.detail))
    details = {
        400: "the body cannot be read; it must be JSON in UTF-8, not nested too deeply, without excessive numbers",
        404: f"there is nothing at {request.url.path}; /docs lists all calls",
        405: f"{request.method} is not possible here",
        500: INTERNAL_DETAIL,
    }
    detail = details.get(error.status_code, str(error.detail))
    headers = dict(error.headers or {})
    if error.status_code == 405:  # the framework names the methods of the first route of this path alone
        headers |= {"Allow": ", ".join(sorted(methods))} if (methods := _methods_at(request)) else {}
    return _respond(request, ProblemDocument(kind=kind, detail=detail, headers=headers))


def _methods_at(request: Request) -> set[str]:
    """All methods of the first path that a request's matches."""
    routes = [route for router in (*_SEARCH_ROUTERS, *_OTHER_ROUTERS) for route in router.routes]
    shown = [one for one in routes if isinstance(one, Route) and one.include_in_schema]
    matched = [one for one in shown if one.matches(request.scope)[0] != Match.NONE]
    return {method for one in matched if one.path == matched[0].path for method in one.methods or ()}


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors: Sequence[dict[str, Any]] = error.errors()
    in_body = any(item["loc"][0] == "body" for item in errors)
    if in_body and request.method in _BODY_METHODS and not _is_json(request) and await request.body():
        detail = "send the body as JSON, with the header Content-Type: application/json"
        return _respond(request, ProblemDocument(kind=HTTP_KINDS[415], detail=detail))
    if broken := next((item for item in errors if item["type"] == "json_invalid"), None):
        reason = broken.get("ctx", {}).get("error", "")
        detail = f"the body is not JSON: {reason} at character {broken['loc'][-1]}"
        return _respond(request, ProblemDocument(kind=HTTP_KINDS[400], detail=detail))
    # One more than an answer names, so that it says that there are more.
    return _respond(request, problem_of(RequestInvalidError(*map(_problem, errors[: MAX_PROBLEMS + 1]))))


def _problem(item: dict[str, Any]) -> Problem:
    """What pydantic found wrong in a request: with a JSON pointer in its body, with the name of any other parameter."""
    place, *path = item["loc"]
    if place == "body":
        return problem_of_field(item | {"loc": path})
    return Problem("", f"{place} parameter {'.'.join(map(str, path))}: {message_of_field(item)}")


def _is_json(request: Request) -> bool:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return content_type.startswith("application/") and content_type.removeprefix("application/").endswith("json")


def _respond(request: Request, document: ProblemDocument) -> Response:
    content = encode_problem(document.to_json(request.url.path))
    return Response(content, document.kind.status, document.headers, PROBLEM_JSON)


def _version() -> str:
    try:
        return version("scenerank")
    except PackageNotFoundError:  # run from a checkout
        return "0+unknown"
