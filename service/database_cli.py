"""`scenerank database`: the revision of the database's tables, shown and changed."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sqlalchemy import Engine


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    database = typer.Typer(no_args_is_help=True, help="See and change the revision of the database's tables.")
    for command in (upgrade, downgrade, status):
        database.command()(command)
    app.add_typer(database, name="database", rich_help_panel="Online")


def upgrade() -> None:
    """Bring the database's tables to the revision of this program.

    Every command and the service do so by themselves when they start; a deployment may want it done before.

    Example: scenerank database upgrade
    """
    from service.database import open_database
    from service.settings import Settings

    _show(open_database(Settings.load().database))


def downgrade(revision: Annotated[str, typer.Argument(help="The revision to go back to, say 0001.")]) -> None:
    """Bring the database's tables back to an earlier revision, for an earlier release.

    Images stay, but what that revision has no place for is lost, so make a copy first, and end all services: this
    program's upgrade the tables again when they start.

    Example: scenerank database downgrade 0001
    """
    from service.database import connected
    from service.schema import downgrade_schema
    from service.settings import Settings

    with connected(Settings.load().database) as engine:
        downgrade_schema(engine, revision)
        _show(engine)


def status() -> None:
    """Show which revision the database's tables have; changes nothing.

    Example: scenerank database status
    """
    from service.database import connected
    from service.settings import Settings

    with connected(Settings.load().database) as engine:
        _show(engine)


def _show(engine: "Engine") -> None:
    from sqlalchemy import inspect

    from service.schema import schema_revision
    from service.tables import SCHEMA_REVISION

    with engine.connect() as connection:
        revision = schema_revision(connection)
        is_empty = not inspect(connection).has_table("images")
    shown = engine.url.render_as_string(hide_password=True)
    found = "no tables yet" if is_empty else f"revision {revision}" if revision else "tables of an earlier release"
    todo = "" if revision == SCHEMA_REVISION else f"; this program's is {SCHEMA_REVISION}: `scenerank database upgrade`"
    typer.echo(f"{shown}: {found}{todo}")
    engine.dispose()
