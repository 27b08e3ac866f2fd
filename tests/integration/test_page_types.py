"""The page is compiled against the calls that the service has."""

import json
import subprocess
from pathlib import Path

from service.app import create_app
from service.settings import Settings
from tests.conftest import skip_or_fail

WEB = Path(__file__).parents[2] / "service" / "web"


def test_the_pages_types_are_those_of_the_openapi_document(tmp_path: Path) -> None:
    program = WEB / "node_modules" / ".bin" / "openapi-typescript"
    if not program.exists():
        skip_or_fail("browser", "the page's npm packages are not installed: make page")
    (tmp_path / "openapi.json").write_text(json.dumps(create_app(Settings()).openapi()))
    subprocess.run([program, "openapi.json", "-o", "schema.d.ts"], cwd=tmp_path, check=True, capture_output=True)
    fresh = (tmp_path / "schema.d.ts").read_text()
    assert (WEB / "src" / "api" / "schema.d.ts").read_text() == fresh, "the calls have changed: run `make types`"
