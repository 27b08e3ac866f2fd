"""Two processes under torchrun train as one process does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model.checkpoint import load_checkpoint
from tests.small_dataset import small_dataset
from training.config import load_recipe
from training.trainer import train

ROOT = Path(__file__).parents[2]
# Batches of 27 graphs and a last one of 15: no two processes have equal shares.
SETTINGS = ["hidden=12", "layers=2", "batch_size=9", "device=cpu", "learning_rate=0.001"]

PAPER = ["--recipe", "paper"]

# Batch norm takes a constant out again, so the gradients of these biases are rounding errors, which Adam makes as large
# as any others; the running means follow the biases. Embeddings of a whole batch show that it comes to nothing.
WITHOUT_EFFECT = ("edge_network.bias", "edge_head.bias", "node_network.0.bias", "running_mean")


# Batches of 9 wholes, 9 graphs with captions, and 9 parts.
VIEWS = ["caption_dimension=4", "identity_dimension=32", "batch_size=9", "device=cpu"]


def train_under_torchrun(dataset: Path, run: Path, settings: list[str], *options: str) -> str:
    """Train in two processes, and what they print."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(ROOT / "scenerank.py"), "train", str(dataset), "--out", str(run), *options]
    for setting in settings:
        command += ["--set", setting]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def test_two_processes_reach_the_losses_and_weights_of_one_also_when_resumed(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path / "dataset")
    alone = train(load_recipe("paper", [*SETTINGS, "epochs=3"]), dataset, tmp_path / "alone").history
    output = train_under_torchrun(
        tmp_path / "dataset", tmp_path / "together", [*SETTINGS, "epochs=2"], *PAPER, "--minutes", "100"
    )
    assert output.count("epoch 1/2") == 1  # only the first process prints
    train_under_torchrun(tmp_path / "dataset", tmp_path / "together", [*SETTINGS, "epochs=3"], *PAPER, "--resume")

    together = json.loads((tmp_path / "together" / "metrics.json").read_text())
    for figure in ("loss", "excess_loss"):
        assert [epoch[figure] for epoch in together] == pytest.approx([epoch[figure] for epoch in alone], abs=1e-5)
    for which in ("last", "best"):
        expected = load_checkpoint(tmp_path / "alone" / which).encoder
        actual = load_checkpoint(tmp_path / "together" / which).encoder
        actual_state = actual.state_dict()
        for name, tensor in expected.state_dict().items():
            if not name.endswith(WITHOUT_EFFECT):
                torch.testing.assert_close(actual_state[name], tensor, atol=1e-4, rtol=0, msg=name)
        batch = dataset.graphs.to_batch()
        torch.testing.assert_close(actual.train()(batch), expected.train()(batch), atol=1e-4, rtol=0)


def test_a_loss_over_the_whole_batch_is_the_same_for_two_processes(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path / "dataset")
    settings = [*VIEWS, "epochs=2"]
    alone = train(load_recipe("default", settings), dataset, tmp_path / "alone").history
    train_under_torchrun(tmp_path / "dataset", tmp_path / "together", settings)
    together = json.loads((tmp_path / "together" / "metrics.json").read_text())
    assert [epoch["loss"] for epoch in together] == pytest.approx([epoch["loss"] for epoch in alone], abs=1e-5)
    state = load_checkpoint(tmp_path / "together" / "last").encoder.state_dict()
    for name, tensor in load_checkpoint(tmp_path / "alone" / "last").encoder.state_dict().items():
        torch.testing.assert_close(state[name], tensor, atol=1e-4, rtol=0, msg=name)
