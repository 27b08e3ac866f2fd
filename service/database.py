"""The database: SQLite by default, or PostgreSQL."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Dialect, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry

from service.errors import CatalogueError
from service.schema import ensure_schema

_BUSY_TIMEOUT: Final = 30.0  # seconds that a writer waits for another one (SQLite)
# When a PostgreSQL server that is silent counts as gone: to whom connects, on the net, and while it is asked.
_GONE: Final = {"connect_timeout": "5", "keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "3",
                "tcp_user_timeout": "30000"}  # fmt: skip
_SPARE: Final = 5  # connections beyond one for each thread that answers requests: others keep the index up to date


def open_database(url: URL | str, *, threads: int = 40) -> Engine:
    """Connect, and bring the tables to the revision of this program.

    Args:
        url: of SQLAlchemy.
        threads: how many may use it at once.

    Raises:
        CatalogueError: the URL is no good, the database does not answer, or its tables are of a newer revision.
    """
    with connected(url, threads=threads) as engine:
        ensure_schema(engine)
    return engine


@contextmanager
def connected(url: URL | str, *, threads: int = 40) -> Iterator[Engine]:
    """The database as it is. What goes wrong within is told with its URL, and ends the connection.

    Raises:
        CatalogueError: the URL is no good, or the database does not answer.
    """
    parsed = _parse(url)
    shown = parsed.render_as_string(hide_password=True)
    engine: Engine | None = None
    try:
        engine = _engine(parsed, threads + _SPARE)
        yield engine
    except (DBAPIError, OSError) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise CatalogueError(f"the database {shown} cannot be opened ({reason}); see SCENERANK_DATABASE_URL") from None
    except ModuleNotFoundError as error:
        raise CatalogueError(f"the database {shown} needs the Python package {error.name}; install it") from None
    except CatalogueError as error:
        if engine is not None:
            engine.dispose()
        raise CatalogueError(f"{shown}: {error}") from None


def _parse(url: URL | str) -> URL:
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgres", "postgresql"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError):
        raise CatalogueError(
            "SCENERANK_DATABASE_URL is not a database URL that SQLAlchemy knows; write, say, "
            "sqlite:///data/scenerank.db or postgresql://user:password@host/database"
        ) from None
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise CatalogueError(f"the database must be SQLite or PostgreSQL, not {parsed.get_backend_name()}")
    return parsed


def _engine(url: URL, connections: int) -> Engine:
    if url.get_backend_name() != "sqlite":
        url = url.update_query_dict({name: value for name, value in _GONE.items() if name not in url.query})
        return create_engine(url, pool_pre_ping=True, pool_size=_SPARE, max_overflow=connections - _SPARE)
    if url.database in (None, "", ":memory:"):
        raise CatalogueError("SCENERANK_DATABASE_URL must name a file: indexing is another process, which reads it too")
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    file = Path(url.database)
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        file.touch()
    # IMMEDIATE: who means to write waits for its turn before it reads; a reader that turned writer could not wait.
    arguments = {"timeout": _BUSY_TIMEOUT, "isolation_level": "IMMEDIATE"}
    engine = create_engine(url, connect_args=arguments, pool_size=_SPARE, max_overflow=connections - _SPARE)
    _follow_file(engine, file.absolute())
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _follow_file(engine: Engine, file: Path) -> None:
    """Let connections be to the file that is there now: one that was moved away is not written to any more.

    A file that is missing is not made anew: it comes back, or somebody has to look after it.
    """

    def connect(_dialect: Dialect, _record: ConnectionPoolEntry, arguments: list[Any], named: dict[str, Any]) -> None:
        arguments[:] = [f"{file.as_uri()}?mode=rw"]
        named["uri"] = True

    def opened(connection: Any, record: ConnectionPoolEntry) -> None:  # noqa: ANN401, ARG001 (a driver's connection)
        record.info["file"] = _identity(file)

    def taken(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:  # noqa: ANN401, ARG001
        if record.info.get("file") != _identity(file):
            raise DisconnectionError

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "connect", opened)
    event.listen(engine, "checkout", taken)


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 (a driver's connection)
    """Readers beside a writer; what is committed survives a power failure."""
    cursor = connection.cursor()
    deadline = time.monotonic() + _BUSY_TIMEOUT
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError:  # another process turns it on: here SQLite itself does not wait
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()
