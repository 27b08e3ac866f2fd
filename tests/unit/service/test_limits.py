import pytest

from service import limits
from service.errors import RateLimitedError, problem_of
from service.limits import RateLimiter, network_of


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
