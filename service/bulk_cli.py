"""The command that encodes on many machines: `scenerank bulk-encode`."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("bulk-encode", rich_help_panel="Online")(bulk_encode)


def bulk_encode(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Files of scene graphs, .jsonl, .jsonl.gz or .parquet, or directories of such; each file is a part."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Directory for the parts: Parquet files of ids, vectors and records.")],
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="A training run or checkpoint. Default: SCENERANK_CHECKPOINT, else `pretrained`."),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="The Ray cluster: `auto` for the one this machine is in. Default: this machine alone."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Let a record that cannot be read fail its file.")] = False,
) -> None:
    """Encode files of scene graphs on all machines of a Ray cluster, which share a storage.

    What is done already is not done again, so a run that broke off is simply repeated. Records that cannot be read are
    left out, and told in OUT/*.bad.jsonl. `scenerank index build --encoded OUT` makes an index version of the parts.

    Example: scenerank bulk-encode /mnt/graphs --out /mnt/encoded --address auto
    """
    from rich.console import Console
    from rich.progress import Progress

    from model.checkpoint import PRETRAINED
    from service.bulk import bulk_encode, find_sources
    from service.bulk_part import PartReport
    from service.settings import Settings

    found = find_sources(sources)
    chosen = checkpoint or Settings.load().checkpoint or Path(PRETRAINED)
    console = Console(stderr=True)
    with Progress(console=console) as progress:
        task = progress.add_task("Encoding", total=len(found))

        def report(part: PartReport, done: int, _total: int) -> None:
            progress.update(task, completed=done)
            if part.error is not None:
                console.print(part.error, style="red", markup=False, highlight=False, soft_wrap=True)
            elif part.bad:
                console.print(
                    f"{part.source}: {part.bad} records cannot be read", markup=False, highlight=False, soft_wrap=True
                )

        parts = bulk_encode(found, out, chosen, progress=report, strict=strict, address=address)
    failed = sum(part.error is not None for part in parts)
    reused = sum(part.reused for part in parts)
    typer.echo(
        f"{sum(part.images for part in parts)} images in {len(parts) - failed} parts, of which {reused} were there; "
        f"{sum(part.skipped for part in parts)} left out, {sum(part.bad for part in parts)} cannot be read."
    )
    if failed:
        typer.echo(f"{failed} files could not be encoded; mend them and repeat the command.", err=True)
        raise typer.Exit(1)
