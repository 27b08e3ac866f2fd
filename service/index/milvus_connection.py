"""Connecting to Milvus, or to a file by milvus-lite, and its errors as those of this program."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from model.errors import ConfigError
from service.errors import VectorStoreError

TIMEOUT: Final = 10.0
"""Of a search and the like. Units: seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A connection to Milvus, with what is needed of pymilvus, which is imported only here.

    Args:
        client: pymilvus's.
        address: where other processes reach the same data.
        is_lite: whether milvus-lite answers.
        types: of fields.
        error: what pymilvus raises.
        loaded: the state of a collection that can be searched.
    """

    client: Any
    address: str
    is_lite: bool
    types: Any
    error: type[Exception]
    loaded: object


def connect(url: str) -> Connection:
    """Connect.

    Args:
        url: `http://USER:PASSWORD@HOST:PORT/DATABASE`, of which host and port are needed; or a path that ends in
            `.db`, which this process opens with milvus-lite.

    Raises:
        ConfigError: a Python package is missing, or the URL is no good.
        VectorStoreError: nothing answers there, or another process has the file.
    """
    # Else it would read a .env file from somewhere above into this process's environment.
    os.environ.setdefault("PYTHON_DOTENV_DISABLED", "1")
    try:
        import pymilvus  # noqa: PLC0415 (an extra that most do not need)
        from pymilvus.client.types import LoadState  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f"SCENERANK_INDEX_URL needs the Python package {error.name}; install scenerank[milvus], or unset it"
        ) from None
    # It logs each error with its traceback; here they become errors of this program.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    address = _open_lite(url) if url.endswith(".db") else url
    try:
        parts = urlsplit(address)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname  # IPv6
        server = f"{parts.scheme}://{host}:{parts.port or 19530}"
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("SCENERANK_INDEX_URL: write http://HOST:19530, or a path that ends in .db")
    with told_errors():
        client = pymilvus.MilvusClient(
            server,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            db_name=parts.path.strip("/"),
            timeout=TIMEOUT,
        )
        version: str = client.get_server_version(timeout=TIMEOUT)
    return Connection(
        client=client,
        address=address,
        is_lite=version.startswith("milvus_lite"),
        types=pymilvus.DataType,
        error=pymilvus.MilvusException,
        loaded=LoadState.Loaded,
    )


@contextmanager
def told_errors() -> Iterator[None]:
    """Errors of Milvus as those of this program.

    Raises:
        VectorStoreError: whatever Milvus or the way to it refuses.
    """
    import grpc  # noqa: PLC0415 (comes with pymilvus)
    import pymilvus  # noqa: PLC0415

    try:
        yield
    except (pymilvus.MilvusException, grpc.RpcError) as error:
        raise VectorStoreError(f"Milvus does not do its part ({_reason(error)}); see SCENERANK_INDEX_URL") from error


def _open_lite(path: str) -> str:
    """Have this process serve a file to itself, and to those that it tells the address."""
    try:
        from milvus_lite.server_manager import server_manager_instance  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f"SCENERANK_INDEX_URL names a file, which needs the Python package {error.name}; install scenerank[milvus]"
        ) from None
    # It logs with a traceback what it answers as an error, and what pymilvus asks that it does not know.
    for name in ("milvus_lite", "grpc._server"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    address = server_manager_instance.start_and_get_uri(path)
    if address is None:
        raise VectorStoreError(
            f"{path} cannot be opened, perhaps because another process has it; with several processes start "
            "`milvus-lite server --data-dir DIRECTORY --host 127.0.0.1` and set SCENERANK_INDEX_URL to its address"
        )
    return str(address)


def _reason(error: Exception) -> str:
    """What an error of pymilvus or of gRPC says, in one line."""
    details = getattr(error, "details", None)
    text = details() if callable(details) else getattr(error, "message", "") or error
    return str(text).partition("\n")[0][:300]
