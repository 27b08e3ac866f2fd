"""Ports for services that tests start."""

import contextlib
import os
import socket
from itertools import count
from typing import Final

# Each process of pytest-xdist has ports of its own, below those that the system gives out: nobody else can take one
# between its being found free and a service's listening at it.
_PORTS: Final = count(20_000 + 3_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")))


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at; another one each time."""
    while True:
        port = next(_PORTS)
        with socket.socket() as attempt, contextlib.suppress(OSError):
            attempt.bind(("127.0.0.1", port))
            return port
