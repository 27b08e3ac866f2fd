"""`scenerank search`: ask a running service."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from service.client import SearchOptions
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
    must: Annotated[
        list[str] | None,
        typer.Option(
            help="Only images with this: 'car', 'horse, white' (an object and its attribute), or a relationship as in "
            "--triple. Can be repeated: all of them.",
        ),
    ] = None,
    must_not: Annotated[
        list[str] | None,
        typer.Option(help="Only images without this, written as in --must. Can be repeated."),
    ] = None,
    min_score: Annotated[float | None, typer.Option(min=-1, max=1, help="Leave out images with a lower score.")] = None,
    rerank: Annotated[
        Literal["triples"] | None,
        typer.Option(help="Order the best 200 anew, by what of the scene they really have too."),
    ] = None,
    offset: Annotated[int, typer.Option(min=0, help="How many images to leave out before the first.")] = 0,
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

    Example: scenerank search --text "horse on beach" --must "man riding *" --must-not car --must-not "horse, white"
    """
    from rich.console import Console
    from rich.table import Table

    from service.client import SceneRankClient
    from service.triples import graph_of_triples, parse_triple

    if [graph is None, not triple, text is None, like is None].count(False) != 1:
        raise typer.BadParameter(
            "give one of --graph FILE, --triple 'man riding horse', --text 'man riding horse; not car' and --like IMAGE"
        )
    options: SearchOptions = {"limit": limit, "offset": offset, "explain": explain}
    if must or must_not:
        options["filter"] = {
            "must": [parse_condition(text, "--must") for text in must or ()],
            "must_not": [parse_condition(text, "--must-not") for text in must_not or ()],
        }
    if min_score is not None:
        options["min_score"] = min_score
    if rerank is not None:
        options["rerank"] = rerank
    with SceneRankClient(url, key=key) as client:
        if text is not None:
            answer = client.search_text(text, **options)
        elif like is not None:
            answer = client.search_like(like, **options)
        else:
            document = _read_json(graph) if graph is not None else graph_of_triples(map(parse_triple, triple or ()))
            answer = client.search(document, **options)
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


def parse_condition(text: str, option: str) -> dict[str, Any]:
    """A condition of a filter as a person types it, in the form of a request.

    Without commas one word or two are an object, and more are a triple, as `parse_triple` reads it; with them two parts
    are an object and its attribute, and three a triple.

    Args:
        text: `car`, `tennis racket`, `horse, white`, `man riding *` or `man, next to, tennis racket`.
        option: where it was given, for the error.

    Raises:
        typer.BadParameter: it is none of these.
    """
    from service.connection import ServiceError
    from service.triples import parse_triple

    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 1 and len(text.split()) < 3:
        if parts[0] not in ("", "*"):
            return {"object": parts[0]}
    elif len(parts) == 2:
        if all(parts):
            return {"attribute": parts}
    else:
        with suppress(ServiceError):
            return {"triple": list(parse_triple(text))}
    raise typer.BadParameter(
        f"{text!r} is no condition; write an object, 'car', an object and its attribute, 'horse, white', or a "
        "relationship, 'man riding *' or 'man, next to, tennis racket'",
        param_hint=option,
    )


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
