"""Writing a file so that it is, at every moment, the old one or the new one."""

import os
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside and rename, with the data on the disk before the name.

    Args:
        path: the file to write or to replace; its directory exists.
        data: the whole content.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
