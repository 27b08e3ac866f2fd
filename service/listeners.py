"""Sockets for several processes that answer at one address."""

import errno
import socket
import sys
from typing import Final

from model.errors import ConfigError

_DIVIDES: Final = sys.platform == "linux"
_ABSENT: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)  # as ::1, where IPv6 is switched off


def reserve(host: str, port: int) -> list[socket.socket]:
    """Sockets that have a host's addresses, so that nobody else takes them, and do not listen.

    Of a name with several addresses this machine need not have all.

    Raises:
        ConfigError: they cannot be had.
    """
    reserved: list[socket.socket] = []
    absent: OSError | None = None
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            at = (address[0], reserved[0].getsockname()[1] if reserved else port)  # for port 0 the same everywhere
            try:
                with _bound(family, kind, protocol, at, shared=False) as alone:  # with another service it is not shared
                    at = alone.getsockname()[:2]
                reserved.append(_bound(family, kind, protocol, at, shared=True))
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                absent = error
        if absent is not None and not reserved:
            raise absent
    except OSError as error:
        for one in reserved:
            one.close()
        reason = f"port {port} of {host} cannot be had ({error.strerror})"
        raise ConfigError(f"{reason}; end what uses it, or name another with --port") from None
    return reserved


def own_listener(reserved: socket.socket) -> socket.socket:
    """A socket at the address of one that is reserved.

    Linux divides connections among sockets of their own; of one socket that all listen at, the first process that wakes
    takes all connections that have come. Elsewhere there is only that.
    """
    if not _DIVIDES:
        return reserved
    return _bound(reserved.family, reserved.type, reserved.proto, reserved.getsockname(), shared=True)


def _bound(family: int, kind: int, protocol: int, at: tuple[object, ...], *, shared: bool) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has a socket of its own
        if shared and _DIVIDES:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(at)
    except OSError:
        made.close()
        raise
    return made
