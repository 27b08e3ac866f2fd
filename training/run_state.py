"""What an interrupted run needs to go on as if it had not been: one safetensors file, replaced at each epoch's end."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from model.atomic import write_atomically
from model.encoders import Encoder
from model.errors import DataError

FORMAT_VERSION: Final = 1
FILE: Final = "training_state.safetensors"


@dataclass(slots=True, kw_only=True)
class RunState:
    """How far a run has come; random numbers are drawn anew from (seed, epoch), so no generator needs keeping.

    Args:
        config: the recipe's values.
        dataset: fingerprint of the data set.
        history: one record of figures per finished epoch, also of one that a time budget cut short.
        best_epoch: the epoch (from 1) of the best validation score so far; 0 before the first.
        best_score: that score.
    """

    config: dict[str, Any]
    dataset: str
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_score: float = float("-inf")

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return len(self.history)

    def add(self, figures: dict[str, float], primary: str) -> None:
        """Add a finished epoch's figures; without the primary one the last epoch is the best there is to be had."""
        self.history.append(figures)
        if figures.get(primary, float("inf")) > self.best_score or primary not in figures:
            self.best_epoch, self.best_score = self.epoch, figures.get(primary, 0.0)

    @property
    def seconds(self) -> float:
        """Training time of all epochs so far, without validation and writing. Units: seconds."""
        return sum(epoch.get("seconds", 0.0) for epoch in self.history)


def save_state(run: Path, state: RunState, encoder: Encoder, optimizer: torch.optim.Optimizer) -> None:
    """Write the state of a run over the last one, whole or not at all."""
    tensors = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in moments.items()}
    document = asdict(state) | {"format_version": FORMAT_VERSION}
    # JSON has no infinity; before the first validation there is no score.
    document["best_score"] = None if state.best_epoch == 0 else state.best_score
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(run / FILE, safetensors.torch.save(contiguous, {"state": json.dumps(document)}))


def has_state(run: Path) -> bool:
    """Whether the run finished an epoch."""
    return (run / FILE).is_file()


def load_state(run: Path) -> tuple[RunState, dict[str, torch.Tensor]]:
    """The state of a run and its tensors, for `restore`.

    Raises:
        DataError: it is damaged or of another format version.
    """
    path = run / FILE
    try:
        with safe_open(path, framework="pt") as file:
            document = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is not a mapping)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}); train again without --resume into a new --out") from None
    if (version := document.pop("format_version")) != FORMAT_VERSION:
        raise DataError(f"{path} has format version {version}, not {FORMAT_VERSION}; train again into a new --out")
    if document["best_score"] is None:
        document["best_score"] = float("-inf")
    return RunState(**document), tensors


def restore(tensors: dict[str, torch.Tensor], encoder: Encoder, optimizer: torch.optim.Optimizer) -> None:
    """Put the saved weights and moments back where they came from."""
    encoder.load_state_dict(
        {name.removeprefix("encoder."): tensor for name, tensor in tensors.items() if name.startswith("encoder.")}
    )
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, number, key = name.split(".")
            moments.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
