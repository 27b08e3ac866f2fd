"""What all tests share: where the real data is, and which missing parts are a failure rather than a skip."""

import os
from pathlib import Path
from typing import NoReturn

import pytest
import torch

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


def skip_or_fail(part: str, why: str) -> NoReturn:
    """Skip a test whose surroundings are missing, unless SCENERANK_TEST_REQUIRE names the part: then it fails."""
    required = os.environ.get("SCENERANK_TEST_REQUIRE", "").replace(" ", "").split(",")
    if part in required:
        pytest.fail(f"{why} (required: SCENERANK_TEST_REQUIRE names {part!r})")
    pytest.skip(why)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Graphs of tests are small: several threads would mostly wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The directory with the real data sets vg-open and vrd."""
    if not SHARED_DATA.is_dir():
        skip_or_fail("data", f"no real data at {SHARED_DATA}")
    return SHARED_DATA
