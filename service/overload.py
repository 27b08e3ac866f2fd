"""Searches over the bound are refused before anything else is done for them.

Under overload most requests are refusals, and what each costs the searches that were let in do not get.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from service.admission import SEARCHES, Admission
from service.errors import OverloadedError, problem_of
from service.middleware import PROBLEM_JSON, REQUEST_ID, encode_problem, request_id_of

_TOLD_EVERY: Final = 1.0  # seconds: a line for each would cost as much as all else

_log = logging.getLogger(__name__)


class OverloadMiddleware:
    """Refuses searches with 503 while as many wait as may.

    `AdmissionMiddleware` has the last word: places can be taken while the body of a search comes.

    Args:
        app: the application.
        admission: the bounds.
        count: told of each that is refused.
    """

    def __init__(self, app: ASGIApp, admission: Admission, count: Callable[[], None]) -> None:
        self._app = app
        self._admission = admission
        self._count = count
        self._refused = 0  # that the log has not been told of
        refusal = problem_of(OverloadedError())
        self._status = refusal.kind.status
        self._bodies = {path: encode_problem(refusal.to_json(path)) for path in SEARCHES}
        self._headers = [
            *((name.lower().encode(), value.encode()) for name, value in refusal.headers.items()),
            (b"content-type", PROBLEM_JSON.encode()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if (
            scope["type"] != "http"
            or scope["method"] != "POST"
            or scope["path"] not in SEARCHES
            or self._admission.draining  # then connections are closed
            or not self._admission.is_full()
        ):
            await self._app(scope, receive, send)
            return
        body = self._bodies[scope["path"]]
        given = [(REQUEST_ID.lower().encode(), request_id_of(scope).encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers + given})
        await send({"type": "http.response.body", "body": body})
        self._count()
        if not self._refused:
            asyncio.get_running_loop().call_later(_TOLD_EVERY, self._tell)
        self._refused += 1

    def _tell(self) -> None:
        _log.warning("%d searches were refused within a second: as many wait as may", self._refused)
        self._refused = 0
