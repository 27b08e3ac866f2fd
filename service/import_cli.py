"""`scenerank import`: fill the catalogue from a data set or from files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from model.files import Opener


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("import", rich_help_panel="Online")(import_)


def import_(
    graphs: Annotated[
        Path,
        typer.Argument(
            help="A data set directory of `scenerank prepare`, a directory in Visual Genome format, GQA's scene graphs "
            "(train_sceneGraphs.json), or a .jsonl file with one graph in any form and its image_id a line; files may "
            "be packed (.gz, .zip)."
        ),
    ],
    split: Annotated[
        Literal["train", "val", "test"] | None, typer.Option(help="Only this part of a data set: train, val or test.")
    ] = None,
) -> None:
    """Fill the catalogue with images and their scene graphs.

    Can be repeated: images of the same id are replaced, and of several with one id the last counts. What is imported is
    searchable within a second if there is an index, else after `scenerank index build`. The database is
    SCENERANK_DATABASE_URL, by default SQLite in SCENERANK_DATA_DIR (./data).

    Example: scenerank import data/vg --split test

    Example: scenerank import train_sceneGraphs.json

    Example: scenerank import graphs.jsonl.gz
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from model.collection import read_collection
    from service.catalogue import Catalogue
    from service.database import open_database
    from service.settings import Settings

    columns = (
        TextColumn("Importing"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[images]} images"),
        TimeRemainingColumn(),
    )
    kept = 0
    settings = Settings.load()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("Importing", total=None, images=0)
        collection = read_collection(graphs, split=split, opener=_opener(progress))
        catalogue = Catalogue(open_database(settings.database))

        def report(done: int) -> None:
            nonlocal kept
            kept += done
            progress.update(task, images=kept)
            if collection.total is not None:
                progress.update(task, completed=kept, total=collection.total)

        try:
            count = catalogue.upsert(collection, report)
        except KeyboardInterrupt:
            progress.stop()
            typer.echo(
                f"Stopped: {kept} images are in the catalogue; give the same command again to go on, images that are "
                "there already do no harm.",
                err=True,
            )
            raise typer.Exit(130) from None
    said = [f"{count} images read"]
    if collection.repeated:
        said.append(f"{collection.repeated} of them again with the id of an earlier one, which they replace")
    if collection.skipped:
        said.append(f"{collection.skipped} without objects left out")
    typer.echo(f"{', '.join(said)}; {catalogue.count()} in the catalogue.")


def _opener(progress: "Progress") -> "Opener":
    """Opens files so that the bar shows how much of them has been read."""
    (task,) = progress.task_ids
    return lambda path: progress.open(path, "rb", task_id=task)
