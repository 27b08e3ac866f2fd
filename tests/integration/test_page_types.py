"""The page is compiled against the calls that the service has."""

import subprocess
from pathlib import Path

from tests.conftest import skip_or_fail
from tests.integration.conftest import Place

WEB = Path(__file__).parents[2] / "service" / "web"


def test_the_pages_types_are_those_of_the_openapi_document(tmp_path: Path) -> None:
    program = WEB / "node_modules" / ".bin" / "openapi-typescript"
    if not program.exists():
        skip_or_fail("browser", "the page's npm packages are not installed: make page")
    place = Place(database_url=f"sqlite:///{tmp_path}/scenerank.db", data_dir=tmp_path)
    assert place.run("openapi", "--out", str(tmp_path / "openapi.json")).returncode == 0
    subprocess.run([program, "openapi.json", "-o", "schema.d.ts"], cwd=tmp_path, check=True, capture_output=True)
    fresh = (tmp_path / "schema.d.ts").read_text()
    assert (WEB / "src" / "api" / "schema.d.ts").read_text() == fresh, "the calls have changed: run `make types`"
