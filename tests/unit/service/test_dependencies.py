import pytest
from pydantic import SecretStr

from service.dependencies import is_one_of

KEYS = tuple(map(SecretStr, ("first", "second", "schlüssel")))


@pytest.mark.parametrize("key", ["first", "second", "schlüssel"])
def test_each_admin_key_opens(key: str) -> None:
    assert is_one_of(key, KEYS)


@pytest.mark.parametrize("key", ["", "firs", "firstt", "FIRST", "first,second", "\udcff", "é"])
def test_nothing_else_opens(key: str) -> None:
    assert not is_one_of(key, KEYS)


def test_without_keys_nothing_opens() -> None:
    assert not is_one_of("", ())
