"""The demo through its own command: the whole path once, and the second time without building anew."""

import subprocess
import sys
from pathlib import Path


def demo(directory: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scenerank", "demo", "--dir", str(directory), "--port", "0", "--check"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)


def test_the_demo_finds_what_it_asks_for_and_starts_again_where_it_ended(tmp_path: Path) -> None:
    first = demo(tmp_path / "demo")
    assert first.returncode == 0, first.stdout + first.stderr
    for command in ("demo-world", "prepare", "train", "import", "index build"):
        assert f"$ scenerank {command}" in first.stdout
    assert "dog on couch" in first.stdout
    assert "Admin key" in first.stdout

    weights = [path.stat().st_mtime_ns for path in (tmp_path / "demo" / "run" / "best").iterdir()]
    second = demo(tmp_path / "demo")
    assert second.returncode == 0, second.stdout + second.stderr
    assert "$ scenerank" not in second.stdout
    assert [path.stat().st_mtime_ns for path in (tmp_path / "demo" / "run" / "best").iterdir()] == weights
