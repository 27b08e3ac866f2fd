"""One run of an experiment: trained, scored, and written down so that it is never done twice.

REPORT/runs/<model>/seed<k>/             the training run
REPORT/runs/<model>/seed<k>/report.json  its settings, course and scores: the sign that it is finished
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from rich.console import Console

from model.atomic import write_atomically
from model.checkpoint import Checkpoint, load_checkpoint
from model.dataset import SceneGraphDataset
from model.errors import ConfigError
from training.evaluation.baselines import EncoderEmbedder
from training.evaluation.evaluate import FORMAT_VERSION as SCORES_VERSION
from training.evaluation.evaluate import Benchmark, score, score_shares
from training.reproduction.hardware import describe_hardware
from training.reproduction.plan import Model
from training.trainer import choose_device, train

FORMAT_VERSION: Final = 1
_MAY_DIFFER: Final = ("device",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What all runs of a report have in common.

    Args:
        dataset: trained and scored on.
        benchmark: the images scored, and the seed of what queries lose.
        extras: other data sets that retrieval is scored on, by name, with their images.
        out: the report's directory.
        minutes: training time of each run; None: as many epochs as the recipe says.
        console: where progress is shown.
    """

    dataset: SceneGraphDataset
    benchmark: Benchmark
    extras: Mapping[str, tuple[SceneGraphDataset, Benchmark]]
    out: Path
    minutes: float | None
    console: Console

    def directory(self, model: Model, seed: int) -> Path:
        """Where a run lives."""
        return self.out / "runs" / model.name / f"seed{seed}"

    def evaluation_key(self, *, extras: bool) -> dict[str, Any]:
        """What decides scores beside the method itself.

        Args:
            extras: whether the other data sets are scored on too.
        """
        fingerprints = {name: dataset.fingerprint for name, (dataset, _) in self.extras.items()} if extras else {}
        return {
            "split": self.benchmark.split,
            "seed": self.benchmark.seed,
            "extras": fingerprints,
            "scores_version": SCORES_VERSION,
        }


def check_settings(study: Study, model: Model, seed: int) -> None:
    """Refuse to mix runs of different settings in one report.

    Raises:
        ConfigError: the run was begun with another recipe, time, or data set.
    """
    directory = study.directory(model, seed)
    settings = _settings(study, model, seed)
    if (report := _read(directory / "report.json")) is not None:
        old = report["settings"]
    elif (run := _read(directory / "run.json")) is not None:
        old = {"config": run["config"], "dataset": run["dataset"]["fingerprint"], "minutes": settings["minutes"]}
    else:
        return
    changed = [
        f"{key} was {old['config'].get(key)!r} and is {value!r}"
        for key, value in settings["config"].items()
        if key not in _MAY_DIFFER and old["config"].get(key) != value
    ]
    if old["minutes"] != settings["minutes"]:
        changed.append(f"minutes was {old['minutes']} and is {settings['minutes']}")
    if old["dataset"] != settings["dataset"]:
        changed.append("the data set is another")
    if changed:
        raise ConfigError(
            f"{directory} was made with other settings ({'; '.join(changed)}); "
            f"go on with those, remove that run, or name another --out"
        )


def is_finished(study: Study, model: Model, seed: int) -> bool:
    """Whether the run is trained; its scores may still want renewing."""
    return (study.directory(model, seed) / "report.json").is_file()


def finish(study: Study, model: Model, seed: int) -> dict[str, Any]:
    """Train and score a run as far as that is not done yet; an interrupted run goes on.

    Returns:
        The document of its report.json: settings, evaluation, training, scores, extras.
    """
    directory = study.directory(model, seed)
    report = _read(directory / "report.json")
    with_extras = seed == 0 and model.kind != "ablation"
    key = study.evaluation_key(extras=with_extras)
    if report is not None and report["format_version"] == FORMAT_VERSION and report["evaluation"] == key:
        return report
    started = perf_counter()
    if report is None:
        train(
            model.with_seed(seed),
            study.dataset,
            directory,
            resume=(directory / "run.json").is_file(),
            minutes=study.minutes,
            console=study.console,
        )
    wall_seconds = perf_counter() - started
    checkpoint = load_checkpoint(directory)
    checkpoint.encoder.to(choose_device("auto" if model.config.device == "auto" else model.config.device))
    embedder = EncoderEmbedder(checkpoint.encoder)
    report = {
        "format_version": FORMAT_VERSION,
        "settings": _settings(study, model, seed),
        "evaluation": key,
        "checkpoint": checkpoint.digest,
        "training": _training(directory, checkpoint, wall_seconds) if report is None else report["training"],
        "scores": score(embedder, study.benchmark.numbered_for(checkpoint.resolver, study.dataset), study.benchmark),
        "extras": {
            name: score_shares(embedder, benchmark.numbered_for(checkpoint.resolver, dataset), benchmark)
            for name, (dataset, benchmark) in (study.extras.items() if with_extras else ())
        },
    }
    write_atomically(directory / "report.json", (json.dumps(report) + "\n").encode())
    return report


def _settings(study: Study, model: Model, seed: int) -> dict[str, Any]:
    return {
        "config": model.with_seed(seed).to_json(),
        "dataset": study.dataset.fingerprint,
        "minutes": study.minutes,
    }


def _training(directory: Path, checkpoint: Checkpoint, wall_seconds: float) -> dict[str, Any]:
    """The course of a run: time, epochs, the validation scores of the checkpoint that is used, and the machine."""
    history = json.loads((directory / "metrics.json").read_text())
    run = json.loads((directory / "run.json").read_text())
    figures = checkpoint.metadata["figures"]
    return {
        "seconds": sum(epoch.get("seconds", 0.0) for epoch in history),
        "wall_seconds": wall_seconds,
        "epochs": len(history),
        "best_epoch": checkpoint.metadata["epoch"],
        "validation": {name: value for name, value in figures.items() if name.startswith("val_")},
        "hardware": describe_hardware(run["device"]),
    }


def _read(path: Path) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ConfigError(f"{path} is damaged ({error}); remove it and run the command again") from None
    return document
