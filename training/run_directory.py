"""What a training run leaves on the disk.

RUN/run.json                    recipe, data set, versions
RUN/best/, RUN/last/            checkpoints: of the best validation score, and of the last epoch
RUN/metrics.json                figures of each epoch
RUN/tensorboard/                the same as curves
RUN/training_state.safetensors  what --resume goes on from
"""

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch.utils.tensorboard import SummaryWriter

from model.atomic import write_atomically
from model.checkpoint import save_checkpoint
from model.dataset import SceneGraphDataset
from model.encoders import Encoder
from training.config import TrainingConfig
from training.run_state import RunState, save_state


class RunDirectory:
    """Writes a run, epoch by epoch; to be used in a `with` statement.

    Args:
        out: the directory; it is made, and its run.json written.
        config: the recipe.
        dataset: the data set.
        device: what the run is computed on.
        finished: epochs that the run has already.
    """

    def __init__(
        self, out: Path, config: TrainingConfig, dataset: SceneGraphDataset, device: torch.device, *, finished: int
    ) -> None:
        self.out = out
        self.dataset = dataset
        out.mkdir(parents=True, exist_ok=True)
        _write_json(out / "run.json", _description(config, dataset, device))
        self.board = SummaryWriter(str(out / "tensorboard"), purge_step=finished + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.board.close()

    def epoch_done(self, state: RunState, encoder: Encoder, optimizer: torch.optim.Optimizer) -> None:
        """Write the epoch that a run has just finished."""
        for name, value in state.history[-1].items():
            self.board.add_scalar(name, value, state.epoch)
        if state.best_epoch == state.epoch:
            self._save("best", encoder, state, state.history[-1])
        self._save("last", encoder, state, state.history[-1])
        _write_json(self.out / "metrics.json", state.history)
        save_state(self.out, state, encoder, optimizer)

    def start_done(self, state: RunState, encoder: Encoder, figures: dict[str, float]) -> None:
        """Write the encoder that a run without epochs begins and ends with."""
        for name in ("best", "last"):
            self._save(name, encoder, state, figures)
        _write_json(self.out / "metrics.json", state.history)

    def _save(self, name: str, encoder: Encoder, state: RunState, figures: dict[str, float]) -> None:
        save_checkpoint(
            self.out / name,
            encoder=encoder,
            vocabulary=self.dataset.vocabulary,
            word_vectors=self.dataset.word_vectors,
            metadata={
                "config": state.config,
                "dataset": state.dataset,
                "epoch": state.epoch,
                "figures": figures,
            },
        )


def _description(config: TrainingConfig, dataset: SceneGraphDataset, device: torch.device) -> dict[str, Any]:
    return {
        "format_version": 1,
        "config": config.to_json(),
        "dataset": {"fingerprint": dataset.fingerprint, "images": len(dataset)},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
    }


def _write_json(path: Path, document: object) -> None:
    write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())
