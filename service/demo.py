"""`scenerank demo`: the whole path on an invented world, through the very commands a user would type.

DIR/world/     scenes, captions and word vectors in the official file formats, and their pictures
DIR/dataset/   what `scenerank prepare` made of them
DIR/run/       the encoder that `scenerank train` trained on it
DIR/data/      catalogue and index of the service (SCENERANK_DATA_DIR)
DIR/demo.json  which of these steps are done, so that the next `scenerank demo` starts where this one ended
"""

import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table

from model.atomic import write_atomically
from model.errors import SceneRankError

QUERY: Final = {
    "objects": [{"id": "d", "name": "dog"}, {"id": "c", "name": "couch"}],
    "relationships": [{"subject": "d", "predicate": "on", "object": "c"}],
}
"""A part of a scene: nothing is said of the room, the people or the furniture around."""

WANTED: Final = {"dog", "couch"}
_START_TIMEOUT: Final = 60.0  # seconds
_STATE: Final = "demo.json"


class DemoError(SceneRankError):
    """A step of the demo that failed; what the step itself said stands above."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A command of the path.

    Args:
        title: what it does.
        arguments: those of `scenerank`.
        fills: the directory in the demo's that it fills; emptied before.
        makes: a file in the demo's directory that is there once it is done.
    """

    title: str
    arguments: list[str]
    fills: str | None
    makes: str


def run_demo(directory: Path, *, host: str, port: int, check: bool, console: Console) -> None:
    """Build the demo world, train, index, serve, ask a first question; then serve until Ctrl-C or SIGTERM.

    Args:
        directory: where everything goes; new, or an earlier demo's.
        host: address to serve at.
        port: port to serve at; 0 takes a free one.
        check: stop after the first answer, and fail if it does not show what was asked for.
        console: where to tell what happens.

    Raises:
        DemoError: a step failed, the service ended by itself, or with `check` the answer is wrong.
    """
    _refuse_foreign(directory)
    port = _free_port(host, port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the process that works for this one ends too
    directory.mkdir(parents=True, exist_ok=True)
    key = secrets.token_urlsafe(24)
    own = {name: value for name, value in os.environ.items() if not name.startswith("SCENERANK_")}
    environment = {
        **own,
        "SCENERANK_DATA_DIR": str(directory / "data"),
        "SCENERANK_ADMIN_KEYS": key,
        "SCENERANK_PICTURES_DIR": str(directory / "world" / "pictures"),
    }
    _build(directory, environment, console)

    base = f"http://{host}:{_free_port(host, port)}"  # building has taken a while
    console.rule("[bold]serve")
    service = subprocess.Popen([*_scenerank(), "serve", "--host", host, "--port", str(port)], env=environment)
    try:
        _wait_until_ready(base, service)
        answer = _ask(base)
        _show(answer, base, key, console)
        if check:
            _verify(answer)
            console.print("[bold green]The demo works.[/]")
        else:
            status = service.wait()
            raise DemoError(f"the service ended by itself, with status {status}; see what it says above")
    except KeyboardInterrupt:
        console.print("Stopped. `scenerank demo` starts it again, without building anew.")
    finally:
        service.terminate()
        service.wait()


def _steps(directory: Path) -> list[_Step]:
    world, dataset, run = str(directory / "world"), str(directory / "dataset"), str(directory / "run")
    return [
        _Step("invent a world of scenes", ["demo-world", "--out", world], "world", "world/captions.json"),
        _Step(
            "prepare a data set",
            [
                *("prepare", "--visual-genome", world, "--captions", f"{world}/captions.json"),
                *("--word-vectors", f"{world}/word_vectors.txt", "--min-count", "10", "--out", dataset),
            ],
            "dataset",
            "dataset/dataset.json",
        ),
        _Step(
            "train an encoder",
            ["train", dataset, "--out", run],
            "run",
            "run/best/checkpoint.json",
        ),
        _Step("import the images into the catalogue", ["import", dataset], "data", "data/scenerank.db"),
        _Step("build the index", ["index", "build", "--checkpoint", run], None, "data/index/current"),
    ]


def _build(directory: Path, environment: dict[str, str], console: Console) -> None:
    """Run the steps that are not done yet, or whose results are gone, and all after them."""
    state = directory / _STATE
    done: list[list[str]] = json.loads(state.read_text()) if state.is_file() else []
    for number, step in enumerate(_steps(directory)):
        if len(done) > number and done[number] == step.arguments and (directory / step.makes).is_file():
            continue
        done = done[:number]  # what comes after a step that is done anew is done anew
        write_atomically(state, json.dumps(done).encode())
        if step.fills is not None:
            shutil.rmtree(directory / step.fills, ignore_errors=True)
        console.rule(f"[bold]{step.title}")
        console.print(f"$ {shlex.join(['scenerank', *step.arguments])}", style="dim", highlight=False, soft_wrap=True)
        if subprocess.run([*_scenerank(), *step.arguments], env=environment, check=False).returncode != 0:
            raise DemoError(
                f"the demo stopped at: {step.title}; mend what is said above and run `scenerank demo` again"
            )
        done.append(step.arguments)
        write_atomically(state, json.dumps(done).encode())


def _refuse_foreign(directory: Path) -> None:
    """The demo clears what it builds anew, so it works in no directory but its own."""
    if (
        directory.exists()
        and not (directory / _STATE).is_file()
        and (not directory.is_dir() or any(directory.iterdir()))
    ):
        raise DemoError(f"{directory} is not empty and not an earlier demo's; name another with --dir")


def _scenerank() -> list[str]:
    # -P: a folder of the user's that is named like one of our packages must not be taken for it.
    return [sys.executable, "-P", "-m", "scenerank"]


def _free_port(host: str, port: int) -> int:
    """The port, or for 0 one that is free; another service on it would be taken for the demo's."""
    try:
        with socket.create_server((host, port)) as probe:
            free: int = probe.getsockname()[1]
            return free
    except OSError as error:
        reason = f"port {port} of {host} cannot be had ({error.strerror})"
        raise DemoError(f"{reason}; end what uses it, or name another with --port") from None


def _wait_until_ready(base: str, service: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline:
        if service.poll() is not None:
            raise DemoError("the service did not start; see what it says above")
        try:
            if httpx.get(f"{base}/readyz", timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise DemoError(f"the service was not ready after {_START_TIMEOUT:.0f} s; see what it says above")


def _ask(base: str) -> dict[str, Any]:
    try:
        response = httpx.post(f"{base}/search", json={"graph": QUERY, "limit": 8, "with_graph": True}, timeout=30)
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise DemoError(f"the first question was not answered ({error}); see what the service says above") from None
    answer: dict[str, Any] = response.json()
    return answer


def _show(answer: dict[str, Any], base: str, key: str, console: Console) -> None:
    table = Table("rank", "image", "score", "what the image says of a dog or a couch", "picture", title="dog on couch")
    for result in answer["results"]:
        table.add_row(
            str(result["rank"]),
            result["image_id"],
            f"{result['score']:.3f}",
            "; ".join(_sentences(result["graph"])),
            f"[link={result['url']}]{Path(result['url']).name}[/link]" if result["url"] else "",
        )
    console.print(table)
    body = json.dumps({"graph": QUERY})
    console.print(
        f"{answer['total']} images ranked in {answer['took_ms']['total']:.1f} ms. Ask yourself:\n", highlight=False
    )
    console.print(
        f"curl -s {base}/search -H 'Content-Type: application/json' -d '{body}'\n", style="cyan", soft_wrap=True
    )
    console.print(f"Page       {base}   (draw a scene, see the images)", highlight=False, soft_wrap=True)
    console.print(
        f"Admin key  {key}   (X-API-Key, for POST /reindex; new at each start)", highlight=False, soft_wrap=True
    )


def _sentences(graph: dict[str, Any]) -> list[str]:
    """The relationships that speak of what was asked for, as text."""
    names = {item["id"]: item["name"] for item in graph["objects"]}
    triples = [(names[edge["subject"]], edge["predicate"], names[edge["object"]]) for edge in graph["relationships"]]
    return [" ".join(triple) for triple in triples if WANTED & {triple[0], triple[2]}]


def _verify(answer: dict[str, Any]) -> None:
    """At least half of the first eight images show both of what was asked for."""
    both = sum({item["name"] for item in result["graph"]["objects"]} >= WANTED for result in answer["results"])
    if both < len(answer["results"]) / 2 or not answer["results"]:
        raise DemoError(f"only {both} of the first {len(answer['results'])} images show a dog and a couch")
