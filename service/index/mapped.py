"""Files that are mapped into memory and altered or cut short by somebody: no answer is made of them, and nobody dies.

What is mapped is what the file holds at this moment, not what was verified. So whoever has read from a mapping asks
afterwards whether the files are as they were. Reading beyond the end of a file that was cut short, or what the disk
cannot give any more, is a SIGBUS, which ends a process; with `survive_lost_pages` such pages read as zeros instead,
and the files count as altered from then on.
"""

import ctypes
import mmap
import os
import signal
import sys
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from service.errors import IndexVersionError

_lost = [0]  # how often pages could not be read


class WatchedFiles:
    """Files as they are now, to be compared with what they are later.

    Args:
        paths: they stay open, so that what is compared are these files, whatever is at their paths.

    Raises:
        OSError: one cannot be opened.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = list(paths)
        self._descriptors: list[int] = []
        self._close = weakref.finalize(self, _close, self._descriptors)
        for path in self._paths:
            self._descriptors.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        self._before = self._state()

    def require_intact(self) -> None:
        """See that nothing was written to them since, and nothing could not be read.

        Raises:
            IndexVersionError: it was.
        """
        if self._state() != self._before:
            raise IndexVersionError(
                "files of the index version in use were altered; put back what was there, reindex, or go back to "
                "another version with POST /index/rollback"
            )

    def missing(self) -> Path | None:
        """The first path at which there is no file any more; what is mapped stays as it is."""
        return next((path for path in self._paths if not path.exists()), None)

    def _state(self) -> list[object]:
        states: list[object] = [_lost[0]]
        for descriptor in self._descriptors:
            status = os.fstat(descriptor)
            states.append((status.st_size, status.st_mtime_ns))
        return states


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


class _SignalAction(ctypes.Structure):
    """struct sigaction of Linux's C libraries."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ubyte * 128),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


_SA_SIGINFO: Final = 4
_MAP_FIXED: Final = 0x10
_ADDRESS_IN_SIGINFO: Final = 16  # bytes, with pointers of 64 bits
_kept: list[Any] = []  # a handler that the garbage collector took would be called nevertheless


def survive_lost_pages() -> None:
    """Let pages of files that cannot be read any more read as zeros in this process. On Linux; elsewhere nothing.

    The handler is Python, which a signal's handler must not be in general. This signal comes where a mapping is read,
    never in the middle of the interpreter's or an allocator's work; and without it the process ends for certain.
    """
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_void_p) != 8 or _kept:
        return
    library = ctypes.CDLL(None)
    library.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = (
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long
    )  # fmt: skip

    def handle(number: int, information: int, _context: int) -> None:
        address = ctypes.c_size_t.from_address(information + _ADDRESS_IN_SIGINFO).value
        end, is_file = _read_only_mapping(address)
        if end is not None and not is_file:
            return  # another thread has come to the same page and been faster
        first = address - address % mmap.PAGESIZE
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED
        _lost[0] += 1
        if end is None or library.mmap(first, end - first, mmap.PROT_READ, flags, -1, 0) != first:
            library.signal(number, None)  # the default: the next try to read ends the process

    handler = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_size_t, ctypes.c_size_t)(handle)
    action = _SignalAction(handler=ctypes.cast(handler, ctypes.c_void_p).value, flags=_SA_SIGINFO)
    library.sigaction(int(signal.SIGBUS), ctypes.byref(action), None)
    _kept.append(handler)


def _read_only_mapping(address: int) -> tuple[int | None, bool]:
    """Where the mapping ends that an address is in, and whether it is a file's; None if it is not for reading alone."""
    with Path("/proc/self/maps").open() as maps:
        for line in maps:
            span, rights, _, _, inode, *_ = line.split()
            start, end = (int(edge, 16) for edge in span.split("-"))
            if start <= address < end:
                return (end if rights.startswith("r--") else None), inode != "0"
    return None, False
