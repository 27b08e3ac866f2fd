"""Who may ask how often; that pictures are counted apart, and that this opens no way around the limit.

Also that processes with the same buckets have one limit, and that none which is killed or stopped holds up the others.
"""

import asyncio
import multiprocessing
import os
import secrets
import signal
import time
from collections.abc import Callable
from ctypes import Array, c_int
from multiprocessing.synchronize import Barrier

import httpx
import pytest
from starlette.responses import PlainTextResponse

from service import limits
from service.errors import RateLimitedError, problem_of
from service.limits import Buckets, RateLimiter, RateLimitMiddleware, network_of


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
    limiter = RateLimiter(rate, burst, clock=clock)
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
    limiter = RateLimiter(0.25, 1, clock=clock)
    limiter.take("a")
    clock.now += 0.5
    with pytest.raises(RateLimitedError) as caught:
        limiter.take("a")
    assert problem_of(caught.value).headers["Retry-After"] == "4"
    clock.now += 4
    limiter.take("a")


def test_what_costs_less_is_let_through_more_often() -> None:
    clock = Clock()
    limiter = RateLimiter(1, 2, clock=clock)
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
    app = RateLimitMiddleware(
        PlainTextResponse("there"), RateLimiter(rate, burst, clock=Clock()), {"sesame"}.__contains__
    )

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


def test_ten_thousand_clients_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "token_bytes", bytes)  # no chance which of them share a set
    limiter = RateLimiter(1, 1, clock=Clock())
    clients = [f"192.0.{number // 256}.{number % 256}" for number in range(10_000)]
    assert all(allowed(limiter, client, 1) for client in clients), "each has its own"
    assert not any(allowed(limiter, client, 1) for client in clients)


def test_who_is_full_soonest_is_forgotten_where_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_SETS", 1)
    clock = Clock()
    limiter = RateLimiter(0.01, 2, clock=clock)
    clients = [str(number) for number in range(limits._WAYS)]
    for client in clients:
        clock.now += 1
        limiter.take(client)
    limiter.take(clients[0])  # has come first, and will be full last
    limiter.take("another")
    assert [allowed(limiter, client, 2) for client in [clients[0], *clients[2:]]] == [0] + [1] * (limits._WAYS - 2)
    assert allowed(limiter, clients[1], 3) == 2, "forgotten, so its bucket is full"


def test_nobody_can_choose_who_shares_a_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def places(buckets: Buckets) -> list[int]:
        for client in "abcdefgh":  # enough of them that chance can't put all into the same sets again
            buckets.update(client, lambda due: due)
        return [place for place, name in enumerate(buckets._names) if name]

    assert places(Buckets(shared=False)) != places(Buckets(shared=False))
    monkeypatch.setattr(secrets, "token_bytes", bytes)
    assert places(Buckets(shared=False)) == places(Buckets(shared=False)), "it is the secret that decides"


_spawn = multiprocessing.get_context("spawn")
_RATE = 1 / 1024  # nothing is refilled during a test; and a power of two, for sums that are nearly exact


def spawned(work: Callable[..., None], *arguments: object) -> int | None:
    """The exit status of a process that does this; None if it has not ended long after it should have."""
    process = _spawn.Process(target=work, args=arguments, daemon=True)
    process.start()
    process.join(60)
    status = process.exitcode
    process.kill()
    return status


def ask_together(buckets: Buckets, start: Barrier, counts: Array[c_int], number: int) -> None:
    def slow_clock() -> float:
        time.sleep(1e-4)  # in the middle of a change, for others to come in if they could
        return time.monotonic()

    # A machine that is busy with something else may stop any of them for long.
    pytest.MonkeyPatch().setattr(limits, "_TRIES", 100_000)
    limiter = RateLimiter(_RATE, 300, buckets, slow_clock)
    start.wait(60)
    for _ in range(300):
        counts[number] += allowed(limiter, "a", 1)
        time.sleep(1e-4)


def test_processes_together_have_one_limit() -> None:
    buckets, start, counts = Buckets(), _spawn.Barrier(3), _spawn.RawArray(c_int, 3)
    processes = [_spawn.Process(target=ask_together, args=(buckets, start, counts, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert sum(counts) == 300
    assert allowed(RateLimiter(_RATE, 300, buckets), "a", 1) == 0, "this process has it too"


def die_in_there(buckets: Buckets) -> None:
    def die(due: float) -> float:
        os.kill(os.getpid(), signal.SIGKILL)
        return due

    buckets.update("a", die)


def use_up(buckets: Buckets) -> None:
    assert allowed(RateLimiter(_RATE, 5, buckets), "a", 10) == 5


def is_free(buckets: Buckets) -> bool:
    """Whether the lock can be had, and by one only."""
    had = [buckets._lock.acquire(False) for _ in range(3)]
    buckets._lock.release()
    return had == [True, False, False]


def test_a_process_that_is_killed_with_the_lock_holds_nobody_up() -> None:
    buckets = Buckets()
    assert spawned(die_in_there, buckets) == -signal.SIGKILL
    assert not buckets._lock.acquire(False), "it had the lock"
    assert spawned(use_up, buckets) == 0
    assert is_free(buckets)


def be_overtaken(buckets: Buckets) -> None:
    pauses: list[float] = []

    def stop(due: float) -> float:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "sleep", pauses.append)
            buckets.update("b", lambda _: 7.0)
        return due + 1

    buckets.update("a", stop)
    assert 0.01 < sum(pauses) < 0.2, "an event loop waits for it"


def test_a_process_that_stops_with_the_lock_is_overtaken() -> None:
    buckets = Buckets()
    assert spawned(be_overtaken, buckets) == 0
    assert is_free(buckets), "both have released it"


def test_what_fails_changes_nothing() -> None:
    buckets = Buckets(shared=False)
    with pytest.raises(ZeroDivisionError):
        buckets.update("a", lambda due: 1 / due)
    assert is_free(buckets)
    assert not any(buckets._names)


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
