"""The database: SQLite by default, any that SQLAlchemy knows by its URL."""

import time
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Engine, create_engine, event, insert, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from service.errors import CatalogueError
from service.tables import SCHEMA_VERSION, Base, CatalogueState, SchemaVersion

_BUSY_TIMEOUT: Final = 30.0  # seconds that a writer waits for another one (SQLite)
_CONNECTIONS: Final = 45  # at most: a few more than the threads that answer requests


def open_database(url: URL | str) -> Engine:
    """Connect, and make the tables if there are none.

    Raises:
        CatalogueError: the URL is no good, the database does not answer, or its tables are of a newer version.
    """
    parsed = _parse(url)
    shown = parsed.render_as_string(hide_password=True)
    try:
        engine = _engine(parsed)
        version = _make_tables(engine)
    except (DBAPIError, OSError) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise CatalogueError(f"the database {shown} cannot be opened ({reason}); see SCENERANK_DATABASE_URL") from None
    except ModuleNotFoundError as error:
        raise CatalogueError(f"the database {shown} needs the Python package {error.name}; install it") from None
    if version != SCHEMA_VERSION:
        engine.dispose()
        raise CatalogueError(
            f"the database {shown} has schema version {version}, this program knows {SCHEMA_VERSION}; "
            "upgrade the program, or name another SCENERANK_DATABASE_URL"
        )
    return engine


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
    return parsed


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True, max_overflow=_CONNECTIONS)
    if url.database in (None, "", ":memory:"):
        raise CatalogueError("SCENERANK_DATABASE_URL must name a file: indexing is another process, which reads it too")
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    # IMMEDIATE: who means to write waits for its turn before it reads; a reader that turned writer could not wait.
    arguments = {"timeout": _BUSY_TIMEOUT, "isolation_level": "IMMEDIATE"}
    engine = create_engine(url, connect_args=arguments, max_overflow=_CONNECTIONS)
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 (a driver's connection)
    """Readers beside a writer; what is committed survives a power failure."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _make_tables(engine: Engine) -> int:
    """Make what is missing; the version of what is there. Two processes may do this at the same time."""
    for attempt in range(5):
        try:
            with engine.begin() as connection:
                Base.metadata.create_all(connection)
                version = connection.scalar(select(SchemaVersion.version))
                if connection.scalar(select(CatalogueState.id)) is None:
                    connection.execute(insert(CatalogueState).values(id=1, revision=0))
                if version is None:
                    connection.execute(insert(SchemaVersion).values(id=1, version=SCHEMA_VERSION))
                    version = SCHEMA_VERSION
        except DBAPIError:  # the other process was first; what is really wrong is still wrong the next time
            if attempt == 4:
                raise
            time.sleep(0.1 * (attempt + 1))
        else:
            return version
    raise AssertionError("unreachable")
