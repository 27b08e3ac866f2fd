"""The demo through its own command: the whole path once; then starts that build nothing anew, or only what is gone."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.integration.conftest import PATIENCE, until
from tests.ports import free_port


def command(directory: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "scenerank", "demo", "--dir", str(directory), *options]


def check(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    arguments = command(directory, "--check", *options)
    return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=900)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Where the demo is, and what its first start said."""
    directory = tmp_path_factory.mktemp("demo") / "demo"
    return directory, check(directory, "--port", "0")


@pytest.fixture
def built(first: tuple[Path, subprocess.CompletedProcess[str]]) -> Path:
    """A demo that has been built."""
    directory, result = first
    assert result.returncode == 0, result.stdout + result.stderr
    return directory


def test_the_demo_finds_what_it_asks_for(first: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, result = first
    assert result.returncode == 0, result.stdout + result.stderr
    for step in ("demo-world", "prepare", "train", "import", "index build"):
        assert f"$ scenerank {step}" in result.stdout
    assert "dog on couch" in result.stdout
    assert "Admin key" in result.stdout


def test_the_demo_starts_again_where_it_ended(built: Path) -> None:
    weights = [path.stat().st_mtime_ns for path in (built / "run" / "best").iterdir()]
    again = check(built, "--port", "0")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "$ scenerank" not in again.stdout
    assert [path.stat().st_mtime_ns for path in (built / "run" / "best").iterdir()] == weights


def test_what_is_gone_is_made_anew_and_what_comes_after_it(built: Path) -> None:
    (built / "data").rename(built / "elsewhere")
    again = check(built, "--port", "0")
    assert again.returncode == 0, again.stdout + again.stderr
    steps = [line for line in again.stdout.splitlines() if line.startswith("$ scenerank")]
    assert [line.split()[2] for line in steps] == ["import", "index"]


def test_another_service_on_the_port_is_not_taken_for_the_demos(built: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        refused = check(built, "--port", str(other.getsockname()[1]))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Error: port ")
    assert "--port" in refused.stderr


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_demo_that_is_stopped_stops_its_service(built: Path, end: signal.Signals) -> None:
    address, process = started(built)
    with process:
        process.send_signal(end)
        assert process.wait(PATIENCE) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/livez")


def test_a_demo_whose_service_ends_says_so(built: Path) -> None:
    _, process = started(built)
    with process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        subprocess.run(["kill", "-KILL", *children], check=True)
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "Error: the service ended by itself, with status -9" in said


def started(directory: Path) -> tuple[str, subprocess.Popen[str]]:
    """A demo that serves, and its address."""
    port = free_port()
    arguments = command(directory, "--port", str(port))
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    until(lambda: "Admin key" in str(process.stdout.readline()), "the demo serves")  # type: ignore[union-attr]
    return f"http://127.0.0.1:{port}", process
