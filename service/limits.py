"""Rate limits: so many requests a second for each key, or for each address that has none.

Pictures have a bucket of their own, in which as many as the page shows of one search count as one request: whoever may
search may also see what was found, and neither is in the other's way. One request may hold a hundred searches, which
are more work than those pictures, so nobody can have much more done than the limit is for.
"""

import ipaddress
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import RateLimitedError, problem_of
from service.middleware import send_problem

UNLIMITED: Final = frozenset({"/livez", "/readyz", "/metrics"})  # asked by machines that watch over the service
_PAGE: Final = re.compile(r"/|/docs|/static/.*", re.DOTALL)  # what a page is drawn with comes at once, and costs little
_PICTURE: Final = re.compile(r"/images/.*/(picture|thumbnail\.svg)", re.DOTALL)
_PICTURES: Final = 24  # that count as one request: what the page shows of one search
_CLIENTS: Final = 10_000  # remembered at once: about 2 MB


class RateLimiter:
    """The generic cell rate algorithm (ITU-T I.371): a token bucket that is one number a client.

    A client is forgotten when ten thousand others have asked since; it then starts with a full bucket.

    Args:
        rate: requests a second in the long run.
        burst: requests at once after a rest.
        clock: the time. Units: seconds.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = 1 / rate
        self._burst = burst
        self._clock = clock
        self._due: OrderedDict[str, float] = OrderedDict()

    def take(self, client: str, cost: float = 1.0) -> None:
        """Let a request of a client through.

        Args:
            client: whose bucket it is taken from.
            cost: how many requests it counts as, at most `burst`.

        Raises:
            RateLimitedError: it comes too early.
        """
        now = self._clock()
        due = max(self._due.get(client, now), now)
        early = due - now - (self._burst - cost) * self._interval
        if early > 1e-9:  # what is left by rounding
            raise RateLimitedError(math.ceil(early))
        self._due[client] = due + cost * self._interval
        self._due.move_to_end(client)
        if len(self._due) > _CLIENTS:
            self._due.popitem(last=False)


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
