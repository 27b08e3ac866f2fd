"""The training loop: from a data set and a recipe to a run directory.

RUN/run.json                    recipe, data set, versions
RUN/best/, RUN/last/            checkpoints: of the best validation score, and of the last epoch
RUN/metrics.json                figures of each epoch
RUN/tensorboard/                the same as curves
RUN/training_state.safetensors  what --resume goes on from
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
import torch
from rich.console import Console
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from model.atomic import write_atomically
from model.batch import PackedGraphs
from model.checkpoint import save_checkpoint
from model.dataset import SceneGraphDataset
from model.encoder import SceneGraphEncoder
from model.errors import ConfigError, DataError
from training.config import TrainingConfig
from training.initial import new_encoder
from training.objective import Encode, StepLoss, TripleObjective
from training.progress import TrainingProgress
from training.run_state import RunState, has_state, load_state, restore, save_state
from training.similarity import CaptionSimilarity, supervised_images
from training.validation import PRIMARY, validate

_FIGURES_EVERY: Final = 20  # steps between readings of the loss: each reading waits for a GPU

_MAY_CHANGE: Final = ("epochs", "device")  # what --resume may change without making another run of it


def train(
    config: TrainingConfig,
    dataset: SceneGraphDataset,
    out: Path,
    *,
    resume: bool = False,
    minutes: float | None = None,
    console: Console | None = None,
) -> RunState:
    """Train an encoder on the captioned images of a data set.

    Without `minutes` the same recipe and data give the same weights on a CPU, bit by bit. A time budget gives that up:
    where it ends depends on the machine.

    Args:
        config: the recipe.
        dataset: the data set.
        out: the run directory; new, or with `resume` that of an interrupted run.
        resume: go on from the last finished epoch; the weights come out as if there had been no interruption.
        minutes: stop after this much training time, that of earlier epochs of a resumed run included, validation and
            writing not; even within an epoch, which is then validated and saved like any other. A run resumed with
            more time goes on with the next epoch.
        console: where progress is shown.

    Returns:
        The final state, with the history: losses, validation scores, `seconds` of training, and `complete`, which is 0
        for an epoch that the time budget cut short.

    Raises:
        DataError: too few captioned training images, an `out` that is in use, or nothing to resume.
        ConfigError: no such device, a resumed run with other values, no time, or a loss that is not finite.
    """
    if minutes is not None and not minutes > 0:
        raise ConfigError(f"a time budget of {minutes} minutes leaves no time to train; give more, or leave it out")
    budget = math.inf if minutes is None else 60 * minutes
    device = choose_device(config.device)
    objective = _objective(config, dataset, device)
    encoder = new_encoder(config, dataset).to(device)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=config.learning_rate)
    state = RunState(config=config.to_json(), dataset=dataset.fingerprint)
    if resume and not (out / "run.json").is_file():
        raise DataError(f"{out} is not a training run, so there is nothing to resume; leave --resume out")
    if resume and has_state(out):
        state = _resume(out, state, encoder, optimizer)
    elif not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is in use; go on with --resume, or name another --out")
    out.mkdir(parents=True, exist_ok=True)
    _write_json(out / "run.json", _description(config, dataset, device))

    encode = _encode(encoder, device, config)
    progress = TrainingProgress(console or Console(quiet=True), config.epochs, len(objective.graphs))
    with progress, SummaryWriter(str(out / "tensorboard"), purge_step=state.epoch + 1) as board:
        for epoch in range(state.epoch + 1, config.epochs + 1):
            if state.seconds >= budget:
                break
            encoder.train()
            figures = _train_epoch(
                encode, optimizer, objective, epoch=epoch, seconds=budget - state.seconds, progress=progress
            )
            figures |= validate(encoder, dataset, config)
            state.history.append(figures)
            for name, value in figures.items():
                board.add_scalar(name, value, epoch)
            # Without validation images the last epoch is the best there is to be had.
            if figures.get(PRIMARY, float("inf")) > state.best_score or PRIMARY not in figures:
                state.best_epoch, state.best_score = epoch, figures.get(PRIMARY, 0.0)
                _save(out / "best", encoder, dataset, state)
            _save(out / "last", encoder, dataset, state)
            _write_json(out / "metrics.json", state.history)
            save_state(out, state, encoder, optimizer)
            progress.epoch_done(epoch, figures, best=state.best_epoch == epoch)
    return state


def choose_device(name: str) -> torch.device:
    """The device that a recipe names; "auto" is CUDA where there is one.

    Raises:
        ConfigError: no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {name!r} cannot be used here ({reason}); use --set device=cpu or auto") from None
    return device


def _objective(config: TrainingConfig, dataset: SceneGraphDataset, device: torch.device) -> TripleObjective:
    members, captions = supervised_images(dataset, "train", config.supervision)
    if len(members) < 3:
        raise DataError(
            f"only {len(members)} training images have {config.supervision}, and a triple takes three; "
            "prepare the data set with more captions, or try --set supervision=phrases"
        )
    similarity = CaptionSimilarity(torch.from_numpy(captions).to(device))
    return TripleObjective(config, dataset.graphs.select(members), similarity)


def _encode(encoder: SceneGraphEncoder, device: torch.device, config: TrainingConfig) -> Encode:
    """How the objective reaches the encoder."""

    def encode(graphs: PackedGraphs) -> Tensor:
        batch = graphs.to_batch().to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            embeddings: Tensor = encoder(batch)
        return embeddings

    return encode


def _train_epoch(
    encode: Encode,
    optimizer: torch.optim.Optimizer,
    objective: TripleObjective,
    *,
    epoch: int,
    seconds: float,
    progress: TrainingProgress,
) -> dict[str, float]:
    """Take each image once as the anchor, as far as the time reaches; the figures are means over the epoch."""
    config = objective.config
    random = np.random.default_rng([config.seed, epoch])
    device = objective.similarity.vectors.device
    generator = torch.Generator(device).manual_seed(int(random.integers(2**63)))
    clamped_before = int(objective.similarity.clamped)
    started = perf_counter()
    total = torch.zeros(2, dtype=torch.float64, device=device)
    anchors_done = 0
    for step, anchors in enumerate(_anchor_batches(len(objective.graphs), config.batch_size, random)):
        anchors = anchors.to(device)  # noqa: PLW2901 (the same anchors, elsewhere)
        step_loss = objective(encode, anchors, generator, random)
        optimizer.zero_grad(set_to_none=True)
        step_loss.loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        optimizer.step()
        total += _figures(step_loss) * len(anchors)
        anchors_done += len(anchors)
        if step % _FIGURES_EVERY == 0:
            loss, excess = (total / anchors_done).tolist()
            progress.step(epoch, anchors_done, loss, excess, 3 * anchors_done / (perf_counter() - started))
        if perf_counter() - started >= seconds:
            break
    loss, excess = (total / anchors_done).tolist()
    if not math.isfinite(loss):
        raise ConfigError(f"the loss is {loss} in epoch {epoch}; begin a new run with a lower --set learning_rate=...")
    spent = perf_counter() - started
    return {
        "loss": loss,
        "excess_loss": excess,
        "seconds": spent,
        "complete": float(anchors_done == len(objective.graphs)),
        "graphs_per_second": 3 * anchors_done / spent,
        "clamped_similarities": float(int(objective.similarity.clamped) - clamped_before),
    }


def _anchor_batches(images: int, batch_size: int, random: np.random.Generator) -> Iterator[Tensor]:
    """All positions in random order, some at a time. Shapes: (B,) each."""
    order = torch.from_numpy(random.permutation(images))
    return (order[start : start + batch_size] for start in range(0, images, batch_size))


def _figures(step_loss: StepLoss) -> Tensor:
    return torch.stack([step_loss.loss.detach(), step_loss.excess]).double()


def _resume(out: Path, fresh: RunState, encoder: SceneGraphEncoder, optimizer: torch.optim.Optimizer) -> RunState:
    state, tensors = load_state(out)
    if state.dataset != fresh.dataset:
        raise DataError(f"{out} was trained on other data; resume with the data set it began with")
    changed = [
        f"{key} was {state.config.get(key)!r} and is {value!r}"
        for key, value in fresh.config.items()
        if key not in _MAY_CHANGE and state.config.get(key) != value
    ]
    if changed:
        raise ConfigError(f"a resumed run keeps its recipe ({'; '.join(changed)}); begin a new --out to change it")
    restore(tensors, encoder, optimizer)
    state.config = fresh.config
    return state


def _save(directory: Path, encoder: SceneGraphEncoder, dataset: SceneGraphDataset, state: RunState) -> None:
    save_checkpoint(
        directory,
        encoder=encoder,
        vocabulary=dataset.vocabulary,
        word_vectors=dataset.word_vectors,
        metadata={
            "config": state.config,
            "dataset": state.dataset,
            "epoch": state.epoch,
            "figures": state.history[-1],
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
