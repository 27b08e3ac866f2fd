"""Losses of a small run of every loss and sampler: a change that is meant to change nothing leaves them as they are.

After a change that is meant to change them: SCENERANK_RENEW_GOLDEN=1 pytest tests/unit/training/test_golden_losses.py
"""

import json
import os
from itertools import product
from pathlib import Path

import pytest

from model.atomic import write_atomically
from tests.small_dataset import small_dataset
from training.config import load_recipe
from training.trainer import train

GOLDEN = Path(__file__).parents[2] / "golden" / "losses.json"
LOSSES, SAMPLERS = ("ranking", "triplet", "infonce"), ("random", "extreme", "probability", "reject")


def test_losses_are_what_they_were(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path / "dataset")
    losses: dict[str, list[float]] = {}
    for loss, sampler in product(LOSSES, SAMPLERS):
        settings = [
            f"loss={loss}",
            f"sampler={sampler}",
            "epochs=2",
            "layers=2",
            "hidden=12",
            "batch_size=8",
            "device=cpu",
        ]
        history = train(load_recipe("paper", settings), dataset, tmp_path / f"{loss}-{sampler}").history
        losses[f"{loss} {sampler}"] = [round(epoch["loss"], 6) for epoch in history]
    if os.environ.get("SCENERANK_RENEW_GOLDEN"):
        write_atomically(GOLDEN, (json.dumps(losses, indent=1) + "\n").encode())
    golden = json.loads(GOLDEN.read_text())
    assert losses.keys() == golden.keys()
    for name, values in losses.items():
        assert values == pytest.approx(golden[name], abs=2e-5), name
