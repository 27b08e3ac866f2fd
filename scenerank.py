"""SceneRank's command line: the commands of the offline and the online part, and one way to report errors."""

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

import service.cli
import training.cli
from model.errors import SceneRankError

app = typer.Typer(
    name="scenerank",
    help="Semantic image retrieval by scene graph: describe a scene, or a part of it, and get the images that match.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command(rich_help_panel="Start here")
def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Where the demo keeps everything it makes.")] = Path("demo"),
    host: Annotated[str, typer.Option(help="Address to serve at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to serve at; 0 takes a free one.")] = 8000,
    check: Annotated[
        bool, typer.Option("--check", help="Stop after the first answer; exit 0 if it shows what was asked for.")
    ] = False,
) -> None:
    """Build an invented world, train, index, serve it, and ask a first question. Takes some minutes the first time.

    Example: scenerank demo --dir demo
    """
    from rich.console import Console

    from service.demo import run_demo

    run_demo(directory, host=host, port=port, check=check, console=Console())


training.cli.register(app)
service.cli.register(app)


def main() -> None:
    """Run the command line; an error that the user can mend, or the machine makes, is its message alone."""
    # OpenMP's threads spin while they wait for each other, which beside any other busy process costs more than it
    # saves: benchmarks/training_threads.py. The value is read when PyTorch is imported, which the commands do later.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        app()
    except SceneRankError as error:
        _end(str(error))
    except Exception as error:
        from service.errors import refusal

        reason = refusal(error)
        if reason is None:
            raise
        _end(reason)


def _end(reason: str) -> NoReturn:
    typer.echo(f"Error: {reason}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
