"""Which searches are let in, and how long they may take: a bounded queue, a deadline, and an end to what nobody awaits.

More searches than the engines' threads answer would otherwise pile up, until each waits longer than its
client does. A search counts from its whole body to its answer, so the queue is bounded wherever it forms.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from ctypes import Array, c_int
from dataclasses import dataclass, field
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import DeadlineError, OverloadedError, problem_of
from service.middleware import send_problem

SEARCHES: Final = ("/search", "/search/batch")

_SCARCE: Final = 1.0  # seconds from when all places were taken


@dataclass(frozen=True, slots=True)
class Places:
    """What several equal processes know of each other's searches.

    Args:
        taken: how many each process has, in memory that all share. Each writes its own number alone, so it needs no
            lock; two that take the last place at the same moment both get it.
        own: which of these is this process's.
    """

    taken: Array[c_int] = field(default_factory=c_int * 1)
    own: int = 0


class Admission:
    """How many searches there are and may be, and whether the service is about to end.

    Args:
        max_queue: searches at once, in all processes together.
        timeout: for one search. Units: seconds.
        places: of these processes.
    """

    def __init__(self, max_queue: int, timeout: float, places: Places | None = None) -> None:
        self.max_queue = max_queue
        self.timeout = timeout
        self._places = places or Places()
        self._scarce_until = 0.0
        self.waiting = 0
        """Searches under way or waiting in this process."""
        self.observe: Callable[[int], object] = lambda _: None
        """Is told `waiting` whenever it changes."""
        self.draining = False
        """The service has been told to end."""

    def is_full(self) -> bool:
        """Whether there is no place for another search in this process.

        All are taken, by searches of whichever process; or they were a moment ago, and this process has its share:
        places that come free at one of them would else pile up at another, where searches wait much longer.
        """
        now = time.monotonic()
        if sum(self._places.taken) >= self.max_queue:
            self._scarce_until = now + _SCARCE
            return True
        return now < self._scarce_until and self.waiting * len(self._places.taken) >= self.max_queue

    def enter(self) -> None:
        """Take a place.

        Raises:
            OverloadedError: all are taken.
        """
        if self.is_full():
            raise OverloadedError
        self._count(1)

    def leave(self) -> None:
        """Give the place back."""
        self._count(-1)

    def _count(self, more: int) -> None:
        self.waiting += more
        self._places.taken[self._places.own] = self.waiting
        self.observe(self.waiting)


class AdmissionMiddleware:
    """Refuses searches over the bound with 503, gives late ones up with 504, and drops those whose client has left.

    A search that is given up while it waits for the engine is never begun.

    Args:
        app: the application.
        admission: the bounds.
    """

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        self._app = app
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._admission.draining:
            send = _closing(send)
        if scope["method"] != "POST" or scope["path"] not in SEARCHES:
            await self._app(scope, receive, send)
            return
        try:
            self._admission.enter()
        except OverloadedError as error:
            await send_problem(problem_of(error), scope, send)
            return
        await self._supervise(scope, receive, send)

    async def _supervise(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Await a search, its client's leaving or its deadline, whichever comes first."""
        # The body, whole; what comes after it is the client's leaving.
        exchange = _Exchange(await receive(), send, self._admission.leave)
        search = asyncio.create_task(_run(self._app, scope, exchange))
        search.add_done_callback(exchange.ended)
        gone = asyncio.ensure_future(receive())
        try:
            await asyncio.wait({search, gone}, timeout=self._admission.timeout, return_when=asyncio.FIRST_COMPLETED)
            if search.done():
                search.result()
            elif not gone.done() and not exchange.started:
                exchange.closed = True
                late = DeadlineError(f"no answer within {self._admission.timeout:g} seconds; ask for less, or later")
                await send_problem(problem_of(late), scope, send)
        finally:
            exchange.closed = True
            search.cancel()
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone


class _Exchange:
    """What a search sees of its client: the body, then silence; after the end nothing of it is sent.

    Its place is free when its answer begins, for then the client may ask again at once; without one, when the work has
    ended, which may be long after its client was given another answer.
    """

    def __init__(self, body: Message, send: Send, leave: Callable[[], None]) -> None:
        self._body: Message | None = body
        self._send = send
        self._leave = leave
        self.started = False
        self.closed = False

    async def receive(self) -> Message:
        if self._body is None:
            await asyncio.Event().wait()  # until it is cancelled
        message, self._body = self._body, None
        assert message is not None
        return message

    async def send(self, message: Message) -> None:
        if not self.closed:
            if not self.started:
                self.started = True
                self._leave()
            await self._send(message)

    def ended(self, search: asyncio.Task[None]) -> None:
        """The work has."""
        if not self.started:
            self._leave()
        if not search.cancelled():
            search.exception()  # seen, so that what ends after its client has left is not reported as lost


async def _run(app: ASGIApp, scope: Scope, exchange: _Exchange) -> None:
    await app(scope, exchange.receive, exchange.send)


def _closing(send: Send) -> Send:
    """Tell clients to ask on another connection next time: on this one the end could cross their question."""

    async def send_and_close(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
        await send(message)

    return send_and_close
