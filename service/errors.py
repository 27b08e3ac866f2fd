"""Errors as RFC 9457 problem documents: one table from exception class to status.

SceneRankError (model.errors)
├── RequestInvalidError       fields of a request that are wrong: a list of problems with JSON pointers
├── SubstitutionError         strict search, and a name is not in the vocabulary
├── NotFoundError             no such image, job or index version
├── KeyRequiredError          a key is missing or wrong
├── AdminDisabledError        no admin key is configured
├── RateLimitedError          a client that asks too often
├── OverloadedError           more searches wait than may
├── DeadlineError             a search that took longer than it may
├── DrainingError             the service is about to end
├── ReindexRunningError       another reindex is under way; names its job
├── JobEndedError             a job that cannot be cancelled any more
├── RollbackError             no older version to go back to, or not now
├── NoIndexError              nothing to search in yet
├── IndexVersionError         an index version that is missing, damaged, or made for another model
├── ReindexError              a new index version could not be built
├── VectorStoreError          Milvus is unreachable, or refuses what it is asked
└── CatalogueError            the database is missing, unreachable, or of another version
    └── ForgottenError        changes since a revision that is too long ago
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from model.errors import CheckpointError, ConfigError, DataError, GraphError, Problem, QueryTextError, SceneRankError
from model.graph_reader import MAX_PROBLEMS, MORE_PROBLEMS


class RequestInvalidError(SceneRankError):
    """Fields of a request that are wrong; the pointers are relative to the request's body."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("; ".join(map(str, problems)))


class SubstitutionError(RequestInvalidError):
    """A strict search with a name that is not in the vocabulary as it stands."""


class NotFoundError(SceneRankError):
    """What a request names does not exist."""


class KeyRequiredError(SceneRankError):
    """A key is missing or wrong."""


class AdminDisabledError(SceneRankError):
    """No admin key is configured, so nobody may make admin calls."""


class RateLimitedError(SceneRankError):
    """A client asks more often than it may."""

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(f"too many requests; ask again in {retry_after} s, and less often than SCENERANK_RATE_LIMIT")


class OverloadedError(SceneRankError):
    """As many searches wait as may; this one is refused."""

    def __init__(self) -> None:
        super().__init__("as many searches wait as may; ask again later")


class DeadlineError(SceneRankError):
    """A search that was given up because it took longer than it may."""


class DrainingError(SceneRankError):
    """The service is about to end: it still answers, but nothing new should be sent to it."""


class ReindexRunningError(SceneRankError):
    """Another reindex is under way."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"a reindex is under way as job {job_id}; wait until it has ended, then ask again")


class JobEndedError(SceneRankError):
    """A job that cannot be cancelled any more."""

    def __init__(self, job_id: str, state: str) -> None:
        ended = f"job {job_id} has ended as {state}"
        if state in ("enqueued", "running"):
            ended = f"job {job_id} is putting its version to use this moment"
        super().__init__(f"{ended}, so it cannot be cancelled; POST /index/rollback goes back to an older version")


class RollbackError(SceneRankError):
    """There is no version to go back to, or it cannot be put to use, or not now."""


class NoIndexError(SceneRankError):
    """There is no index to search in yet."""


class IndexVersionError(SceneRankError):
    """An index version that is missing, damaged, or made for another model."""


class ReindexError(SceneRankError):
    """A new index version could not be built; the old one stays."""


class VectorStoreError(SceneRankError):
    """Milvus is unreachable, or refuses what it is asked."""


class CatalogueError(SceneRankError):
    """The database is missing, unreachable, or of another version."""


class ForgottenError(CatalogueError):
    """Some changes since a revision are not known any more."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem.

    Args:
        status: HTTP status.
        name: `type` is urn:scenerank:problem:<name>.
        title: the same for every occurrence.
        retry_after: when asking again makes sense. Units: seconds.
    """

    status: int
    name: str
    title: str
    retry_after: int | None = None


KINDS: Final[Mapping[type[Exception], Kind]] = {
    GraphError: Kind(422, "invalid-graph", "The scene graph is not valid"),
    RequestInvalidError: Kind(422, "invalid-request", "The request is not valid"),
    QueryTextError: Kind(422, "invalid-request", "The request is not valid"),
    SubstitutionError: Kind(422, "unknown-names", "Names are not in the vocabulary"),
    CheckpointError: Kind(422, "unusable-checkpoint", "The checkpoint cannot be used"),
    NotFoundError: Kind(404, "not-found", "Not found"),
    KeyRequiredError: Kind(401, "key-required", "A key is required"),
    AdminDisabledError: Kind(403, "admin-disabled", "Admin calls are switched off"),
    RateLimitedError: Kind(429, "rate-limited", "Too many requests"),
    OverloadedError: Kind(503, "overloaded", "Too many searches at once", retry_after=1),
    DeadlineError: Kind(504, "deadline-exceeded", "The search took too long", retry_after=1),
    DrainingError: Kind(503, "draining", "The service is about to end", retry_after=5),
    ReindexRunningError: Kind(409, "reindex-running", "A reindex is under way"),
    JobEndedError: Kind(409, "job-ended", "The job cannot be cancelled any more"),
    RollbackError: Kind(409, "no-rollback", "Cannot go back to that version"),
    NoIndexError: Kind(503, "no-index", "There is no index yet", retry_after=5),
    IndexVersionError: Kind(503, "index-unusable", "The index cannot be used", retry_after=30),
    VectorStoreError: Kind(503, "vector-store-unavailable", "The vectors cannot be searched now", retry_after=5),
    CatalogueError: Kind(503, "database-unavailable", "The database cannot be used", retry_after=5),
    ForgottenError: Kind(503, "database-unavailable", "The database cannot be used", retry_after=5),
    OperationalError: Kind(503, "database-unavailable", "The database cannot be used", retry_after=5),
    # Meant for whoever runs the service, so they are logged, and a stranger learns nothing of them.
    DataError: Kind(500, "internal-error", "Internal error"),
    ConfigError: Kind(500, "internal-error", "Internal error"),
    ReindexError: Kind(500, "internal-error", "Internal error"),
    SceneRankError: Kind(500, "internal-error", "Internal error"),
}

HTTP_KINDS: Final[Mapping[int, Kind]] = {
    400: Kind(400, "malformed-request", "The request cannot be read"),
    404: Kind(404, "not-found", "Not found"),
    405: Kind(405, "method-not-allowed", "Method not allowed"),
    413: Kind(413, "too-large", "The request is too large"),
    415: Kind(415, "not-json", "The request is not JSON"),
    422: KINDS[RequestInvalidError],
    500: KINDS[SceneRankError],
}
"""Problems that HTTP itself has a word for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemDocument:
    """A problem, ready to be sent."""

    kind: Kind
    detail: str
    problems: tuple[Problem, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)

    def to_json(self, instance: str) -> dict[str, Any]:
        """The document; `instance` is the path of the request."""
        document: dict[str, Any] = {
            "type": f"urn:scenerank:problem:{self.kind.name}",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "instance": instance,
        }
        if self.kind.status == 422:
            document["errors"] = [{"pointer": item.pointer, "detail": item.message} for item in self.problems]
        return document


def problem_of(error: Exception) -> ProblemDocument:
    """The problem that an exception is to a client."""
    kind = next(KINDS[base] for base in type(error).__mro__ if base in KINDS)
    detail, problems = str(error), tuple[Problem, ...]()
    headers = {"Retry-After": str(kind.retry_after)} if kind.retry_after is not None else {}
    match error:
        case GraphError():
            problems = _first(Problem(f"/graph{item.pointer}", item.message) for item in error.problems)
            detail = _summary(problems)
        case RequestInvalidError():
            problems = _first(error.problems)
            detail = _summary(problems)
        case ReindexRunningError():
            headers["Location"] = f"/jobs/{error.job_id}"
        case RateLimitedError():
            headers["Retry-After"] = str(error.retry_after)
        case KeyRequiredError():
            headers["WWW-Authenticate"] = 'ApiKey realm="SceneRank", header="X-API-Key"'
        case OperationalError():
            detail = "the database does not do its part: it is away, locked or full; the service's log tells, try again"
        case _ if kind.status == 500:
            detail = INTERNAL_DETAIL
    return ProblemDocument(kind=kind, detail=detail, problems=problems, headers=headers)


def refusal(error: Exception) -> str | None:
    """What the operating system or the database refuses, in one line, without the statement and the rows in question.

    None for any other error: that is the program's own, and its traceback tells more.
    """
    match error:
        case DBAPIError():
            reason = str(error.orig).partition("\n")[0]  # PostgreSQL quotes rows from the second line on
        case SQLAlchemyError():
            reason = type(error).__name__
        case OSError():
            what = f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
            return f"{what or error}; mend that and try again"
        case _:
            return None
    return f"the database does not do its part ({reason}); see that it runs, is not locked and has room, and try again"


INTERNAL_DETAIL: Final = "something went wrong in the service; its log tells what, under this answer's X-Request-Id"


def _first(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """As many as an answer names; a long list is work for the event loop, and nobody reads it."""
    first = tuple(islice(problems, MAX_PROBLEMS + 1))
    return first if len(first) <= MAX_PROBLEMS else (*first[: MAX_PROBLEMS - 1], MORE_PROBLEMS)


def _summary(problems: tuple[Problem, ...]) -> str:
    """The first few problems in one line."""
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    more = "; and many more" if len(problems) == MAX_PROBLEMS else more
    texts = [f"{item.pointer}: {item.message}" if item.pointer else item.message for item in problems[:3]]
    return "; ".join(texts) + more
