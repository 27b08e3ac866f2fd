"""Who may ask how often; that pictures are counted apart, and that this opens no way around the limit."""

import asyncio

import httpx
import pytest
from starlette.responses import PlainTextResponse

from service import limits
from service.errors import RateLimitedError, problem_of
from service.limits import RateLimiter, RateLimitMiddleware, network_of


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def allowed(limiter: RateLimiter, client: str, tries: int) -> int:
    """How many of so many requests at once get through."""
    count = 0
    for _ in range(tries):
        try:
            limiter.take(client)
        except RateLimitedError:
            continue
        count += 1
    return count


@pytest.mark.parametrize(("rate", "burst"), [(1, 1), (10, 5), (0.1, 2), (1000, 1000)])
def test_as_many_pass_as_a_token_bucket_lets(rate: float, burst: int) -> None:
    clock = Clock()
    limiter = RateLimiter(rate, burst, clock)
    tokens = float(burst)
    for wait in (0, 0.5, 0.5, 3, 100, 0.0, 7, 1):
        clock.now += wait / rate
        tokens = min(burst, tokens + wait)
        passed = allowed(limiter, "a", 2 * burst)
        assert passed == int(tokens)
        tokens -= passed
    assert allowed(limiter, "b", 2 * burst) == burst, "each client has its own"


def test_the_refusal_says_when_to_ask_again() -> None:
    clock = Clock()
    limiter = RateLimiter(0.25, 1, clock)
    limiter.take("a")
    clock.now += 0.5
    with pytest.raises(RateLimitedError) as caught:
        limiter.take("a")
    assert problem_of(caught.value).headers["Retry-After"] == "4"
    clock.now += 4
    limiter.take("a")


def test_what_costs_less_is_let_through_more_often() -> None:
    clock = Clock()
    limiter = RateLimiter(1, 2, clock)
    for _ in range(4):
        limiter.take("a", 0.25)
    limiter.take("a")
    with pytest.raises(RateLimitedError):
        limiter.take("a", 0.25)
    clock.now += 0.25
    limiter.take("a", 0.25)
    with pytest.raises(RateLimitedError) as caught:
        limiter.take("a")
    assert problem_of(caught.value).headers["Retry-After"] == "1"


def passing(requests: list[tuple[str, str, str | None]], rate: float = 0.001, burst: int = 2) -> list[bool]:
    """Which of these requests, each a method, a path and a key, are let through one after the other."""
    app = RateLimitMiddleware(PlainTextResponse("there"), RateLimiter(rate, burst, Clock()), {"sesame"}.__contains__)

    async def ask() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            answers = [
                await client.request(method, path, headers={} if key is None else {"X-API-Key": key})
                for method, path, key in requests
            ]
        return [answer.status_code for answer in answers]

    statuses = asyncio.run(ask())
    assert set(statuses) <= {200, 429}
    return [status == 200 for status in statuses]


SEARCH = ("POST", "/search")
PICTURE = ("GET", "/images/a/b%0Ac/picture")


@pytest.mark.parametrize("key", [None, "sesame"])
def test_each_search_that_is_let_through_may_show_its_pictures(key: str | None) -> None:
    asked = [(*SEARCH, key), *[(*PICTURE, key)] * 24] * 3
    assert passing(asked) == [True] * 50 + [False] * 25


def test_pictures_leave_searches_alone_and_each_client_has_its_own() -> None:
    pictures = [*[(*PICTURE, None)] * 24, *[("GET", "/images/a/thumbnail.svg", None)] * 25]
    assert passing([*pictures, *[(*SEARCH, None)] * 3]) == [True] * 48 + [False] + [True] * 2 + [False]
    assert passing([*pictures, (*PICTURE, "sesame")])[-2:] == [False, True]


@pytest.mark.parametrize(
    ("method", "path", "key"),
    [
        (*PICTURE, "guessed"),  # else keys could be tried out 24 times as fast
        ("PUT", "/images/a/picture", "sesame"),
        ("GET", "/images/a", None),
        ("GET", "/images/a/picture/", None),
        ("GET", "/vocabulary/images/a/picture", None),
    ],
)
def test_nothing_else_is_counted_as_a_picture(method: str, path: str, key: str | None) -> None:
    assert passing([(method, path, key)] * 3) == [True, True, False]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_CLIENTS", 10)
    limiter = RateLimiter(1, 1, Clock())
    for number in range(1000):
        limiter.take(str(number))
    assert len(limiter._due) == 10


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
    ],
)
def test_an_ipv6_subscriber_is_one_client(address: str, network: str) -> None:
    assert network_of(address) == network
