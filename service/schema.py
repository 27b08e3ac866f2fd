"""Which revision of the tables a database has, and bringing it to another.

Alembic is imported only where there is something to do: its import costs time at every start.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine, func, inspect, select, text

from service.errors import CatalogueError
from service.tables import SCHEMA_REVISION

if TYPE_CHECKING:
    from alembic.config import Config

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x5CE9E4A17  # any number that no other program takes for its own locks in this database
_FIRST_VERSION: Final = 1  # of releases before there were migrations; their tables are those of revision 0001


def schema_revision(connection: Connection) -> str | None:
    """The revision of the tables; None if they are not there, or those of a release before there were revisions."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def ensure_schema(engine: Engine) -> None:
    """Bring the tables to the revision of this program. Several processes may do so at once.

    Raises:
        CatalogueError: they are of a revision that this program does not know.
    """
    with engine.connect() as connection:
        if schema_revision(connection) == SCHEMA_REVISION:
            return
    from alembic import command  # noqa: PLC0415

    with _alone(engine) as connection:
        config, _ = _look(connection)
        command.upgrade(config, SCHEMA_REVISION)


def downgrade_schema(engine: Engine, revision: str) -> None:
    """Bring the tables back to an earlier revision; what it has no place for is lost.

    Raises:
        CatalogueError: there is no such revision before the one that the tables have.
    """
    from alembic import command  # noqa: PLC0415

    with _alone(engine) as connection:
        config, revisions = _look(connection)
        current = schema_revision(connection)
        before = revisions[: revisions.index(current)] if current is not None else []
        if revision not in before:
            raise CatalogueError(
                f"there is no revision {revision!r} to go back to; the database has {current or 'none'}, and before "
                f"it came {', '.join(before) or 'none'}"
            )
        command.downgrade(config, revision)


def _look(connection: Connection) -> tuple["Config", list[str]]:
    """What Alembic's commands want, and the revisions in their order, that of the database among them."""
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]
    current = schema_revision(connection)
    if current is None and inspect(connection).has_table("schema_version"):
        version: int | None = connection.scalar(text("SELECT version FROM schema_version"))
        if version not in (None, _FIRST_VERSION):
            current = str(version)
    if current is not None and current not in revisions:
        raise CatalogueError(
            f"the database has schema revision {current}, this program knows {SCHEMA_REVISION}; upgrade the program, "
            "or name another SCENERANK_DATABASE_URL"
        )
    return config, revisions


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A transaction that waits for others of its kind, and is done whole or not at all."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        yield connection
