"""Rate limits: so many requests a second for each key, or for each address that has none.

Pictures have a bucket of their own, in which as many as the page shows of one search count as one request: whoever may
search may also see what was found, and neither is in the other's way. One request may hold a hundred searches, which
are more work than those pictures, so nobody can have much more done than the limit is for.
"""

import contextlib
import hashlib
import ipaddress
import math
import multiprocessing
import re
import secrets
import time
from collections.abc import Callable
from ctypes import c_double, c_uint64
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import RateLimitedError, problem_of
from service.middleware import send_problem

UNLIMITED: Final = frozenset({"/livez", "/readyz", "/metrics"})  # asked by machines that watch over the service
_PAGE: Final = re.compile(r"/|/docs|/static/.*", re.DOTALL)  # what a page is drawn with comes at once, and costs little
_PICTURE: Final = re.compile(r"/images/.*/(picture|thumbnail\.svg)", re.DOTALL)
_PICTURES: Final = 24  # that count as one request: what the page shows of one search
_SETS: Final = 8192
_WAYS: Final = 8  # clients a set has room for: with 10,000 at once about 1 set in 200,000 has more
_TRIES: Final = 500  # to get the lock
_PAUSE: Final = 1e-4  # seconds between them


class Buckets:
    """When each client's bucket will be full, in memory that equal processes share: 1 MB, however many clients.

    A set-associative table: a client's hash says which set it belongs to, and is its name there. In a full set the one
    is forgotten whose bucket is full soonest, and if it comes back, it starts with a full one.

    Can be an argument of a process that is spawned; it is pickled for nothing else.

    Args:
        shared: whether other processes will have it too.
    """

    def __init__(self, *, shared: bool = True) -> None:
        # Secret, so that no stranger can choose addresses that are in another's set.
        self._secret = secrets.token_bytes(32)
        self._names = multiprocessing.RawArray(c_uint64, _SETS * _WAYS)
        self._due = multiprocessing.RawArray(c_double, _SETS * _WAYS)
        # The same lock either way; one that can be spawned with costs a process that watches over its name.
        self._lock = multiprocessing.get_context("spawn" if shared else "fork").Lock()

    def update(self, client: str, change: Callable[[float], float]) -> None:
        """Change a client's number, and let no other process do so meanwhile.

        Args:
            client: who.
            change: makes its new number of the old one, which is 0 for who is not known. What it raises is passed on,
                and nothing has changed.
        """
        name = int.from_bytes(hashlib.blake2b(client.encode(), digest_size=8, key=self._secret).digest())
        start = name % _SETS * _WAYS
        self._acquire()
        try:
            names = self._names[start : start + _WAYS]
            if name in names:
                slot = start + names.index(name)
                self._due[slot] = change(self._due[slot])
            else:
                dues = self._due[start : start + _WAYS]
                slot = start + dues.index(min(dues))
                self._due[slot] = change(0.0)
                self._names[slot] = name
        finally:
            with contextlib.suppress(ValueError):  # who took it over has released it
                self._lock.release()

    def _acquire(self) -> None:
        """Get the lock, or take it over: a process that is killed while it has it must not stop the others.

        It is had for microseconds, so who has it for a tenth of a second is dead; at worst it leaves a client with the
        time of another. Or it was only stopped, and then its change and ours may undo each other, which lets one
        request more through. The lock is right again when both have released it, for what is free can't be released.

        Tried again and again rather than waited for: who waits gives up the GIL, and who is woken has the lock but not
        the GIL, for which other threads may let it wait for milliseconds, and it all other processes.
        """
        for _ in range(_TRIES):
            if self._lock.acquire(False):
                return
            time.sleep(_PAUSE)


class RateLimiter:
    """The generic cell rate algorithm (ITU-T I.371): a token bucket that is one number a client.

    Args:
        rate: requests a second in the long run.
        burst: requests at once after a rest.
        buckets: those of other processes with the same rate and burst, so that the limit is for all together; without,
            its own.
        clock: the time. That of `time.monotonic` is the same in all processes of a machine. Units: seconds.
    """

    def __init__(
        self, rate: float, burst: int, buckets: Buckets | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = 1 / rate
        self._burst = burst
        self._buckets = buckets or Buckets(shared=False)
        self._clock = clock

    def take(self, client: str, cost: float = 1.0) -> None:
        """Let a request of a client through.

        Args:
            client: whose bucket it is taken from.
            cost: how many requests it counts as, at most `burst`.

        Raises:
            RateLimitedError: it comes too early.
        """

        def with_request(due: float) -> float:
            now = self._clock()
            due = max(due, now)
            early = due - now - (self._burst - cost) * self._interval
            if early > 1e-9:  # what is left by rounding
                raise RateLimitedError(math.ceil(early))
            return due + cost * self._interval

        self._buckets.update(client, with_request)


class RateLimitMiddleware:
    """Answers 429 to clients that ask too often.

    Args:
        app: the application.
        limiter: how often they may.
        known: whether a key is one of the service's. Others count for nothing, else a stranger who invents a new one
            each time would never be limited.
    """

    def __init__(self, app: ASGIApp, limiter: RateLimiter, known: Callable[[str], bool]) -> None:
        self._app = app
        self._limiter = limiter
        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] == "http" and scope["path"] not in UNLIMITED and not _PAGE.fullmatch(scope["path"]):
            try:
                self._limiter.take(*self._bucket(scope))
            except RateLimitedError as error:
                await send_problem(problem_of(error), scope, send)
                return
        await self._app(scope, receive, send)

    def _bucket(self, scope: Scope) -> tuple[str, float]:
        """Which bucket a request is taken from, and how much of it."""
        key = Headers(scope=scope).get("x-api-key", "")
        known = key != "" and self._known(key)
        peer = scope.get("client")
        client = f"key {key}" if known else network_of(peer[0]) if peer else "-"
        # A wrong key makes it a request like any other: nobody is to try more keys on pictures than on searches.
        if scope["method"] == "GET" and _PICTURE.fullmatch(scope["path"]) and (known or key == ""):
            return f"pictures {client}", 1 / _PICTURES
        return client, 1.0


def network_of(address: str) -> str:
    """What an address counts as: itself, or for IPv6 the /64 that one subscriber has all addresses of."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(parsed), 64), strict=False))
    return address
