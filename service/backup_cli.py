"""`scenerank backup` and `scenerank restore`."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from service.index.versions import IndexStore
    from service.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(rich_help_panel="Online")(backup)
    app.command(rich_help_panel="Online")(restore)


def backup(
    out: Annotated[str, typer.Option(help="The file to write, replacing it when all is well; - is standard output.")],
) -> None:
    """Write the catalogue and the index version in use into one file, while the service goes on.

    It can be restored into SQLite and PostgreSQL alike. Vectors in Milvus are not in it.

    Example: scenerank backup --out scenerank.tar
    """
    import os
    import sys
    from pathlib import Path

    from service.backup import write_backup
    from service.database import open_database
    from service.settings import Settings

    settings = Settings.load()
    engine, store = open_database(settings.database), _files(settings)
    if out == "-":
        if sys.stdout.isatty():
            raise typer.BadParameter("standard output is a terminal; name a file, or send it into one")
        summary = write_backup(engine, store, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        path = Path(out)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            with partial.open("xb") as file:
                summary = write_backup(engine, store, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    index = f"index version {summary.index_version}" if summary.index_version else "no index"
    typer.echo(f"{summary.images} images of catalogue revision {summary.catalogue_revision}, and {index}.", err=True)


def restore(
    file: Annotated[str, typer.Argument(help="A file of `scenerank backup`; - is standard input.")],
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Lose what is there; end all services before."),
    ] = False,
) -> None:
    """Fill an empty catalogue and index from a backup.

    A running service shows them within a second. If anything is wrong with the backup nothing changes.

    Example: scenerank restore scenerank.tar
    """
    import sys
    from pathlib import Path

    from service.database import open_database
    from service.jobs import Jobs
    from service.restore import restore_backup
    from service.settings import Settings

    settings = Settings.load()
    engine = open_database(settings.database)
    with sys.stdin.buffer if file == "-" else Path(file).open("rb") as source:
        jobs = Jobs(engine, settings.job_timeout)
        summary = restore_backup(engine, _files(settings), jobs, source, replace=replace)
    typer.echo(f"{summary.images} images restored.")
    if summary.index_version is not None:
        typer.echo(f"Index version {summary.index_version} is in use.")
    else:
        typer.echo("There is no index for them yet: scenerank index build")


def _files(settings: "Settings") -> "IndexStore | None":
    """The index versions that are files."""
    from service.index.versions import IndexStore

    return None if settings.index_url is not None else IndexStore(settings.index_dir, settings.index_versions_kept)
