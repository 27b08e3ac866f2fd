"""The commands that fill, index, serve and ask: `scenerank import`, `index build`, `serve`, `search`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service import backup_cli, bulk_cli, database_cli, import_cli, search_cli

if TYPE_CHECKING:
    from service.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the service's commands to the command line."""
    import_cli.register(app)
    app.command(rich_help_panel="Online")(serve)
    app.command(rich_help_panel="Online")(openapi)
    search_cli.register(app)
    index = typer.Typer(no_args_is_help=True, help="Build the index that searches are answered from.")
    index.command("build")(index_build)
    app.add_typer(index, name="index", rich_help_panel="Online")
    database_cli.register(app)
    backup_cli.register(app)
    bulk_cli.register(app)


def index_build(
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="A training run or checkpoint. Default: SCENERANK_CHECKPOINT, else the model in use, else "
            "`pretrained`, which comes with SceneRank."
        ),
    ] = None,
    index: Annotated[
        str | None,
        typer.Option(
            help="flat: every search looks at all images. ivf1024 or ivf1024,nprobe=32, for large catalogues: into 32 "
            "of 1024 lists. Default: as the index in use, else flat."
        ),
    ] = None,
    encoded: Annotated[
        Path | None,
        typer.Option(help="What `scenerank bulk-encode` made; images that are in it as they are need not be encoded."),
    ] = None,
) -> None:
    """Encode the whole catalogue into a new index version, and switch to it.

    A running service switches by itself within a second.

    Example: scenerank index build --checkpoint runs/paper
    """
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from service.catalogue import Catalogue
    from service.database import open_database
    from service.index.approximate import parse_index_kind
    from service.index.backend import open_store
    from service.jobs import Jobs
    from service.reindex import choose_checkpoint, choose_index_kind, run_reindex

    settings = _settings()
    try:
        named = None if index is None else parse_index_kind(index)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--index") from None
    store = open_store(settings)
    chosen = choose_checkpoint(settings, store, checkpoint)
    typer.echo(f"Encoding with {chosen}.", err=True)
    database = open_database(settings.database)
    jobs = Jobs(database, settings.job_timeout)
    job, _ = jobs.enqueue(checkpoint=str(chosen), index_kind=str(choose_index_kind(store, named)))
    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("Encoding", total=None)
        try:
            manifest = run_reindex(
                job.id,
                jobs=jobs,
                catalogue=Catalogue(database),
                store=store,
                progress=lambda done, total: progress.update(task, completed=done, total=total),
                encoded=encoded,
            )
        except KeyboardInterrupt as reason:
            typer.echo(f"Stopped: {reason}" if str(reason) else "Stopped.", err=True)
            raise typer.Exit(130) from None
    typer.echo(f"Index version {manifest.version} is in use: {manifest.count} images.")
    if manifest.recall is not None:
        typer.echo(f"{manifest.index} finds {manifest.recall:.1%} of the exact first 10 for single relationships.")


def serve(
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.", min=0, max=65535)] = 8000,
) -> None:
    """Answer searches over HTTP; /docs shows how.

    Example: SCENERANK_ADMIN_KEYS=change-me scenerank serve --port 8000
    """
    from service import logs, tracing, workers
    from service.database import open_database

    settings = _settings()
    logs.configure(settings.log_format)
    # What is wrong with these is better said here than from within the server.
    open_database(settings.database).dispose()
    tracing.asked_for()
    if not settings.admin_keys:
        typer.echo("SCENERANK_ADMIN_KEYS is not set: admin calls (POST /reindex) are refused.", err=True)
    typer.echo(f"SceneRank at http://{host}:{port}, its interface at http://{host}:{port}/docs", err=True)
    count = settings.workers or workers.default_workers()
    if count > 1:
        workers.serve(settings, host=host, port=port, workers=count)
        return
    from service.app import create_app
    from service.index.backend import close_store, open_store
    from service.listeners import reserve
    from service.server import run_server

    close_store(open_store(settings))  # the same
    run_server(create_app(settings), reserve(host, port), drain_time=settings.drain_time)


def openapi(
    out: Annotated[Path | None, typer.Option(help="The file to write; without it the document is printed.")] = None,
) -> None:
    """Write the OpenAPI document of the service: every call, for programs.

    Example: scenerank openapi --out openapi.json
    """
    import json

    from model.atomic import write_atomically
    from service.app import create_app

    document = json.dumps(create_app(_settings()).openapi(), indent=2) + "\n"
    if out is None:
        typer.echo(document, nl=False)
    else:
        write_atomically(out, document.encode())


def _settings() -> "Settings":
    from service.settings import Settings

    return Settings.load()
