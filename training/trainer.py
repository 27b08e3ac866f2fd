"""The training loop: from a data set and a recipe to a run directory (`training.run_directory` says what is in it)."""

import math
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter
from typing import Final

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from model.dataset import SceneGraphDataset
from model.encoders import Encoder
from model.engines import graph_engine
from model.errors import ConfigError, DataError
from training.config import TrainingConfig
from training.distributed import joined, own_device
from training.encoding import GraphEncoding
from training.initial import new_encoder
from training.objective import StepLoss, TripleObjective
from training.progress import TrainingProgress
from training.run_directory import RunDirectory
from training.run_state import RunState, has_state, load_state, restore
from training.similarity import CaptionSimilarity, supervised_images
from training.validation import primary, validate
from training.views import ViewsObjective

_FIGURES_EVERY: Final = 20  # steps between readings of the loss: each reading waits for a GPU

_MAY_CHANGE: Final = ("epochs", "engine", "device")  # what --resume may change without making another run of it


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

    A recipe without epochs has only a closed form to fit. Without `minutes` the same recipe and data give the same
    weights on a CPU, bit by bit. A time budget gives that up: where it ends depends on the machine.

    Args:
        config: the recipe.
        dataset: the data set.
        out: the run directory; new, or with `resume` that of an interrupted run.
        resume: go on from the last finished epoch; the weights come out as if there had been no interruption.
        minutes: stop after this much training time, that of earlier epochs of a resumed run included, validation and
            writing not; even within an epoch, which is then validated and saved like any other. A run resumed with
            more time goes on with the next epoch.
        console: where progress is shown.

    Under `torchrun` all processes call it together; only the first one validates, writes and shows progress.

    Returns:
        The final state, with the history: losses, validation scores, `seconds` of training, and `complete`, which is 0
        for an epoch that the time budget cut short.

    Raises:
        DataError: too few captioned training images, an `out` that is in use, or nothing to resume.
        ConfigError: no such device, no such engine on it, a resumed run with other values, no time, or a loss that is
            not finite.
    """
    if minutes is not None and not minutes > 0:
        raise ConfigError(f"a time budget of {minutes} minutes leaves no time to train; give more, or leave it out")
    device = choose_device(own_device(config.device))
    graph_engine(config.engine, torch.zeros(0, 2, dtype=torch.int64, device=device), 0)  # an error comes early
    with joined(device) as processes:
        objective = _objective(config, dataset, device)
        encoder = new_encoder(config, dataset).to(device)
        optimizer = new_optimizer(encoder.parameters(), config.learning_rate)
        state = _begin(out, RunState(config=config.to_json(), dataset=dataset.fingerprint), encoder, optimizer, resume)
        processes.wait()  # every process has seen `out` as it was before the first one writes
        run = RunDirectory(out, config, dataset, device, finished=state.epoch) if processes.first else None
        shown = console if console is not None and processes.first else Console(quiet=True)
        progress = TrainingProgress(shown, config.epochs, len(objective.graphs))
        encode = GraphEncoding(encoder, device, config.precision, processes)
        with progress, run or nullcontext():
            if run is not None and config.epochs == 0:
                figures = validate(encoder, dataset, config)
                run.start_done(state, encoder, figures)
                progress.start_done(figures)
            for epoch in range(state.epoch + 1, config.epochs + 1):
                if minutes is not None and processes.agree(state.seconds >= 60 * minutes, device):
                    break
                encoder.train()
                left = None if minutes is None else 60 * minutes - state.seconds
                figures = _train_epoch(encode, optimizer, objective, epoch=epoch, seconds=left, progress=progress)
                if run is not None:
                    figures |= validate(encoder, dataset, config)
                state.add(figures, primary(config))
                if run is not None:
                    run.epoch_done(state, encoder, optimizer)
                progress.epoch_done(epoch, figures, best=state.best_epoch == epoch)
        processes.wait()  # the first one is done with its files
    return state


def new_optimizer(parameters: Iterable[nn.Parameter], learning_rate: float) -> torch.optim.Adam:
    """Adam, each parameter in one pass over the memory instead of a dozen."""
    return torch.optim.Adam(parameters, lr=learning_rate, fused=True)


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


def _objective(
    config: TrainingConfig, dataset: SceneGraphDataset, device: torch.device
) -> TripleObjective | ViewsObjective:
    members, captions = supervised_images(dataset, "train", config.supervision)
    if len(members) < 3:
        raise DataError(
            f"only {len(members)} training images have {config.supervision}, and a triple takes three; "
            "prepare the data set with more captions, or try --set supervision=phrases"
        )
    similarity = CaptionSimilarity(torch.from_numpy(captions).to(device))
    if config.loss == "views":
        graphs = dataset.members("train")
        return ViewsObjective(config, dataset.graphs.select(graphs), np.searchsorted(graphs, members), similarity)
    return TripleObjective(config, dataset.graphs.select(members), similarity)


def _train_epoch(
    encode: GraphEncoding,
    optimizer: torch.optim.Optimizer,
    objective: TripleObjective | ViewsObjective,
    *,
    epoch: int,
    seconds: float | None,
    progress: TrainingProgress,
) -> dict[str, float]:
    """Take each graph once as the anchor, as far as the time reaches; the figures are means over the epoch."""
    config = objective.config
    random = np.random.default_rng([config.seed, epoch])
    generator = torch.Generator(encode.device).manual_seed(int(random.integers(2**63)))
    clamped_before, graphs_before = int(objective.similarity.clamped), encode.graphs
    started = perf_counter()
    total = torch.zeros(2, dtype=torch.float64, device=encode.device)
    anchors_done = 0
    for step, anchors in enumerate(_anchor_batches(len(objective.graphs), config.batch_size, random)):
        anchors = anchors.to(encode.device)  # noqa: PLW2901 (the same anchors, elsewhere)
        step_loss = objective(encode, anchors, generator, random)
        optimizer.zero_grad(set_to_none=True)
        step_loss.loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        optimizer.step()
        total += _figures(step_loss) * len(anchors)
        anchors_done += len(anchors)
        if step % _FIGURES_EVERY == 0:
            loss, excess = (total / anchors_done).tolist()
            speed = (encode.graphs - graphs_before) / (perf_counter() - started)
            progress.step(epoch, anchors_done, loss, excess, speed)
        if seconds is not None and encode.processes.agree(perf_counter() - started >= seconds, encode.device):
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
        "graphs_per_second": (encode.graphs - graphs_before) / spent,
        "clamped_similarities": float(int(objective.similarity.clamped) - clamped_before),
    }


def _anchor_batches(images: int, batch_size: int, random: np.random.Generator) -> Iterator[Tensor]:
    """All positions in random order, some at a time. Shapes: (B,) each."""
    order = torch.from_numpy(random.permutation(images))
    return (order[start : start + batch_size] for start in range(0, images, batch_size))


def _figures(step_loss: StepLoss) -> Tensor:
    return torch.stack([step_loss.loss.detach(), step_loss.excess]).double()


def _begin(out: Path, fresh: RunState, encoder: Encoder, optimizer: torch.optim.Optimizer, resume: bool) -> RunState:
    """The state that the run begins with: its last one if it is resumed, with weights and moments put back."""
    if not resume:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise DataError(f"{out} is in use; go on with --resume, or name another --out")
        return fresh
    if not (out / "run.json").is_file():
        raise DataError(f"{out} is not a training run, so there is nothing to resume; leave --resume out")
    if not has_state(out):
        return fresh
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
