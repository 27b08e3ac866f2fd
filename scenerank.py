"""SceneRank's command line: the commands of the offline and the online part, and one way to report errors."""

import sys

import service.cli
import typer

import training.cli
from model.errors import SceneRankError

app = typer.Typer(
    name="scenerank",
    help="Semantic image retrieval by scene graph: describe a scene, or a part of it, and get the images that match.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
training.cli.register(app)
service.cli.register(app)


def main() -> None:
    """Run the command line; an error that the user can mend is its message alone."""
    try:
        app()
    except SceneRankError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
