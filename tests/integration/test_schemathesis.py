"""Schemathesis against a running service: every operation of its OpenAPI document, with every check."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.integration.conftest import ADMIN_KEY, Place, serving

_PATIENCE: Final = 300.0

# Seeded, so that what it finds is found again.
_CONFIG: Final = f"""
seed = 20261124
headers = {{ "X-API-Key" = "{ADMIN_KEY}" }}
continue-on-failure = true
hooks = "{Path(__file__).with_name("schemathesis_checks.py")}"

[generation]
max-examples = 12
no-shrink = true

# Instead: refused_only_for_what_a_schema_cannot_say.
[checks.positive_data_acceptance]
enabled = false

[checks.negative_data_rejection]
# 413: a body that is wrong and too large as well.
expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "415", "422", "429"]

# A batch answers 200, and a search of it that is wrong has its problem in its place among the answers.
[[operations]]
include-path = "/search/batch"
checks.negative_data_rejection.enabled = false
"""


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    place = Place(database_url=f"sqlite:///{tmp_path}/scenerank.db", data_dir=tmp_path / "data")
    place.fill(50)
    place.build(place.checkpoint("first"))
    config = tmp_path / "schemathesis.toml"
    config.write_text(_CONFIG)
    with (tmp_path / "log").open("wb") as log, serving(place, stderr=log) as service:
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", "--no-color"]
        command += [f"{str(service.client.base_url).rstrip('/')}/openapi.json"]
        answer = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, timeout=_PATIENCE, check=False,
            env=os.environ | {"COLUMNS": "120"},
        )  # fmt: skip

    if answer.returncode:
        pytest.fail(answer.stdout[-20_000:] + answer.stderr[-2_000:])
