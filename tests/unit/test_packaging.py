"""What goes into a wheel: all packages, and of the page what was built, not what it was built with."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_every_directory_with_modules_is_a_package() -> None:
    modules = [path for name in ("model", "training", "service") for path in (ROOT / name).rglob("*.py")]
    directories = {path.parent for path in modules if "node_modules" not in path.parts}
    assert {str(one) for one in directories if not (one / "__init__.py").is_file()} == set()
    # Else python files of npm packages would be modules of ours.
    assert SETUPTOOLS["packages"]["find"]["namespaces"] is False


def test_of_the_page_only_what_is_served_is_packaged() -> None:
    patterns = SETUPTOOLS["package-data"]["service"]
    packaged = {path for pattern in patterns for path in (ROOT / "service").glob(pattern) if path.is_file()}
    web = ROOT / "service" / "web"
    assert web / "unbuilt.html" in packaged
    assert {path for path in (web / "dist").rglob("*") if path.is_file()} <= packaged
    assert {path for path in packaged if (web / "dist") not in path.parents} == {web / "unbuilt.html"}
