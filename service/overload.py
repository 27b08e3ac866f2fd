"""Searches over the bound are refused where their bytes arrive, before anything else is done for them.

Under overload most requests are refusals, and what each costs the searches that were let in do not get.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from service.admission import SEARCHES, Admission
from service.errors import OverloadedError, problem_of
from service.middleware import PROBLEM_JSON, REQUEST_ID, encode_problem, request_id_of

_TOLD_EVERY: Final = 1.0  # seconds: a line for each would cost as much as all else

_log = logging.getLogger(__name__)


class Refusals:
    """Which requests are refused because as many searches wait as may, and the answer to them.

    Args:
        admission: the bounds.
        count: told of each that is refused.
        max_body: bytes of a body that is read for nothing; more is left to what ends such connections.
    """

    def __init__(self, admission: Admission, count: Callable[[], None], max_body: int) -> None:
        self._admission = admission
        self._count = count
        self._max_body = max_body
        self._untold = 0  # that the log has not been told of
        self._answers = {path.encode(): _answer(path) for path in SEARCHES}

    def concern(self, method: bytes, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Whether this request is to be refused.

        False for some that are searches over the bound too: in chunks, or in a service about to end, where connections
        are closed. `AdmissionMiddleware` refuses those.

        Args:
            method: as it came.
            url: likewise: the path and a query, if there is one.
            headers: names are in lower case.
        """
        if url not in self._answers or method != b"POST" or self._admission.draining or not self._admission.is_full():
            return False
        length = next((value for name, value in headers if name == b"content-length"), b"")
        return length.isdigit() and int(length) <= self._max_body  # of digits the parser lets through 20 at most

    def answer(self, url: bytes, headers: Sequence[tuple[bytes, bytes]], *, keep_alive: bool) -> bytes:
        """All bytes of the answer; counts it, too.

        Args:
            url: of a request that is to be refused.
            headers: its own.
            keep_alive: whether the connection stays.
        """
        self._count()
        if not self._untold:
            asyncio.get_running_loop().call_later(_TOLD_EVERY, self._tell)
        self._untold += 1
        own_id = request_id_of({"type": "http", "headers": headers}).encode()
        before, after = self._answers[url]
        return b"".join([before, own_id, b"" if keep_alive else b"\r\nconnection: close", after])

    def _tell(self) -> None:
        _log.warning("%d searches were refused within a second: as many wait as may", self._untold)
        self._untold = 0


class RefusingProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP, but for searches over the bound: for those there is no task and no application.

    Args:
        config: uvicorn's, with an application that has `Refusals`.
        server_state: as for uvicorn's own, like all that follows.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        assert isinstance(config.app, FastAPI)
        self._refusals: Refusals = config.app.state.refusals
        self._refusing = False

    def on_headers_complete(self) -> None:
        """The head of a request is there."""
        first = getattr(self.cycle, "response_complete", True)  # else its answer has to wait for that to the last one
        # A client that does not read its answers waits for each in the application, so that they do not pile up.
        reads = not self.flow.write_paused
        if first and reads and not self.expect_100_continue and not self.parser.should_upgrade():
            self._refusing = self._refusals.concern(self.parser.get_method(), self.url, self.headers)
        if not self._refusing:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Part of a request's body is there."""
        if not self._refusing:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """All of a request is there."""
        if not self._refusing:
            super().on_message_complete()
            return
        self._refusing = False
        keep_alive = self.parser.should_keep_alive()
        self.transport.write(self._refusals.answer(self.url, self.headers, keep_alive=keep_alive))
        if not keep_alive:
            self.transport.close()
        self.on_response_complete()


def _answer(path: str) -> tuple[bytes, bytes]:
    """The answer to a search there: what comes before the request's id, and what after."""
    refusal = problem_of(OverloadedError())
    body = encode_problem(refusal.to_json(path))
    fields = {**refusal.headers, "Content-Type": PROBLEM_JSON, "Content-Length": str(len(body)), REQUEST_ID: ""}
    lines = (f"{name.lower()}: {value}" for name, value in fields.items())
    return STATUS_LINE[refusal.kind.status] + "\r\n".join(lines).encode(), b"\r\n\r\n" + body
