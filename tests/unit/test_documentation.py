"""What the documents promise and the code has must be the same."""

import re
from pathlib import Path

import pytest

from service.settings import ENV_PREFIX, Settings

ROOT = Path(__file__).parents[2]


def test_readme_lists_every_setting_and_no_other() -> None:
    rows = re.findall(rf"^\| `{ENV_PREFIX}(\w+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(name.upper() for name in Settings.model_fields)


@pytest.mark.parametrize("package", ["model", "training", "service"])
def test_architecture_names_every_file(package: str) -> None:
    map_of_code = (ROOT / "ARCHITECTURE.md").read_text()
    names = {
        path.stem
        for path in (ROOT / package).rglob("*.py")
        if path.stem not in ("__init__", "cli") and path.parent.name not in ("routes", "demo_world", "evaluation")
    }
    assert {name for name in names if f"`{name}`" not in map_of_code and f"/{name}`" not in map_of_code} == set()


def test_documents_link_only_to_what_exists() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
