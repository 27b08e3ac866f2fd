"""`scenerank search`: ask a running service."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from service.search_schemas import ResultExplanation


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(rich_help_panel="Online")(search)


def search(
    url: Annotated[str, typer.Option(help="The service's address.")] = "http://localhost:8000",
    graph: Annotated[
        Path | None, typer.Option(help="A JSON file with a scene graph in any of the four forms; - is standard input.")
    ] = None,
    triple: Annotated[
        list[str] | None,
        typer.Option(
            help="'man riding horse', or 'man, next to, tennis racket'; * is anything, man#2 a second man. Can be "
            "repeated: equal names are one object."
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="A scene in one line: 'man riding horse; horse on beach; not car'.")
    ] = None,
    like: Annotated[str | None, typer.Option(help="The id of an image: search for others like it.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many images.")] = 10,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what of the scene each image has, and lacks.")
    ] = False,
    key: Annotated[str | None, typer.Option(envvar="SCENERANK_KEY", help="A key, if the service wants one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")] = False,
) -> None:
    """Ask a running service for the images that match a scene.

    Example: scenerank search --text "man riding horse; horse on beach; not car"

    Example: scenerank search --triple "man riding horse" --triple "horse on beach" --explain
    """
    from rich.console import Console
    from rich.table import Table

    from service.client import SceneRankClient
    from service.triples import graph_of_triples, parse_triple

    if [graph is None, not triple, text is None, like is None].count(False) != 1:
        raise typer.BadParameter(
            "give one of --graph FILE, --triple 'man riding horse', --text 'man riding horse; not car' and --like IMAGE"
        )
    with SceneRankClient(url, key=key) as client:
        if text is not None:
            answer = client.search_text(text, limit=limit, explain=explain)
        elif like is not None:
            answer = client.search_like(like, limit=limit, explain=explain)
        else:
            document = _read_json(graph) if graph is not None else graph_of_triples(map(parse_triple, triple or ()))
            answer = client.search(document, limit=limit, explain=explain)
    if as_json:
        typer.echo(answer.model_dump_json(indent=2, exclude_unset=True))
        return
    for warning in answer.warnings:
        typer.echo(f"Note: {warning.message}", err=True)
    table = Table("rank", "image", "score", *(["has", "lacks"] if explain else []), "url", box=None)
    for result in answer.results:
        told = () if result.explanation is None else _told(result.explanation, answer.query)
        table.add_row(str(result.rank), result.image_id, f"{result.score:.3f}", *told, result.url or "")
    # What another program reads is not folded.
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 10_000)
    console.print(table, markup=False, highlight=False)


def _told(explanation: "ResultExplanation", query: dict[str, Any]) -> tuple[str, str]:
    """What of a query an image has and what it lacks: relationships, and objects that have none."""
    ends = {edge[role] for edge in query["relationships"] for role in ("subject", "object")}
    told = []
    for triples, there in ((explanation.matched, True), (explanation.missing, False)):
        parts = [" ".join(name or "*" for name in triple) for triple in triples]
        alone = (item for item in query["objects"] if item["id"] not in ends)
        parts += [item["name"] or "*" for item in alone if (explanation.objects[item["id"]] is not None) == there]
        told.append("; ".join(parts))
    return told[0], told[1]


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file, or from standard input."""
    import json

    from model.errors import DataError

    try:
        document = json.loads(sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise DataError(f"{path} must hold a JSON object: a scene graph")
    return document
