import socket

import pytest

from model.errors import ConfigError
from service.listeners import own_listener, reserve


def test_each_process_listens_at_the_same_address_with_a_socket_of_its_own() -> None:
    (reserved,) = reserve("127.0.0.1", 0)
    address = reserved.getsockname()
    with reserved, own_listener(reserved) as first, own_listener(reserved) as second:
        assert first.getsockname() == second.getsockname() == address
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address).close()  # nobody is ready yet
        first.listen()
        second.listen()
        first.setblocking(False)
        second.setblocking(False)
        clients = [socket.create_connection(address) for _ in range(64)]
        taken = {one: drained(one) for one in (first, second)}
        for client in clients:
            client.close()
    assert sum(taken.values()) == 64
    assert min(taken.values()) > 0, "the system divides them"


def test_all_addresses_of_a_name_are_had_with_one_port() -> None:
    reserved = reserve("localhost", 0)
    ports = {one.getsockname()[1] for one in reserved}
    families = {one.family for one in reserved}
    for one in reserved:
        one.close()
    assert len(ports) == 1
    assert families == {family for family, *_ in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}


def test_a_name_may_have_addresses_that_this_machine_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 0)) for host in ("192.0.2.1", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    (reserved,) = reserve("both.example", 0)
    with reserved:
        assert reserved.getsockname()[0] == "127.0.0.1"


def test_an_address_that_cannot_be_had_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ConfigError, match="end what uses it"):
        reserve("127.0.0.1", other.getsockname()[1])
    with pytest.raises(ConfigError, match=r"port 80 of 192\.0\.2\.1 cannot be had"):
        reserve("192.0.2.1", 80)
    with pytest.raises(ConfigError, match=r"port 80 of no\.such\.name\.invalid cannot"):
        reserve("no.such.name.invalid", 80)


def drained(listener: socket.socket) -> int:
    """How many connections have come."""
    count = 0
    while True:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return count
        connection.close()
        count += 1
