"""The paper's experiments in one report: trains what is not trained yet, scores it, and writes tables and figures.

REPORT/report.html, report.md, report.json   the report, for people and for programs
REPORT/runs/<model>/seed<k>/                 the runs
REPORT/baselines.json                        scores that no training changes
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from model.checkpoint import load_checkpoint
from model.dataset import SceneGraphDataset, Split
from model.errors import ConfigError, DataError
from training.evaluation.evaluate import Benchmark, protocol
from training.reproduction.baseline_scores import score_baselines
from training.reproduction.plan import Model, ablation_models, default_model, paper_models, paper_name
from training.reproduction.report import Report, write_report
from training.reproduction.results import Result
from training.reproduction.runs import Study, check_settings, finish, is_finished

FORMAT_VERSION: Final = 1
_VALIDATION: Final = "val_row_kendall_tau"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to train and how often.

    Args:
        seeds: of the default recipe and of the best paper model: 0 .. seeds - 1.
        other_seeds: of the eleven other paper models.
        epochs: of every run whose recipe has any; None: the recipe's.
        minutes: training time of every run; None: by epochs.
        settings: `key=value` for all recipes.
        ablations: whether to train the variants of the default recipe.
    """

    seeds: int
    other_seeds: int
    epochs: int | None
    minutes: float | None
    settings: Sequence[str]
    ablations: bool

    def __post_init__(self) -> None:
        if self.epochs is not None and self.minutes is not None:
            raise ConfigError("--epochs and --minutes are two ways to say how long a run takes; give one of them")
        for name, value in (("--seeds", self.seeds), ("--other-seeds", self.other_seeds)):
            if value < 1:
                raise ConfigError(f"{name} is {value}; it must be at least 1")

    @property
    def budget(self) -> str:
        """How long a run takes, in words."""
        if self.minutes is not None:
            return f"{self.minutes:g} minutes of training"
        return f"{self.epochs} epochs" if self.epochs is not None else "as many epochs as its recipe says"


def reproduce(
    dataset: SceneGraphDataset,
    out: Path,
    plan: Plan,
    *,
    split: Split,
    seed: int,
    extras: Mapping[str, SceneGraphDataset],
    features: Path | None,
    command: str,
    console: Console,
) -> Path:
    """Train, score and report; what an earlier call finished is kept, and an interrupted run goes on.

    Args:
        dataset: what to train and score on.
        out: the report's directory.
        plan: what to train.
        split: which images to score on.
        seed: decides which edges the queries lose.
        extras: other data sets to score retrieval on, by name.
        features: a file of image features to compare agreement with.
        command: the command line, for the report.
        console: where progress is shown.

    Returns:
        The path of the HTML report.

    Raises:
        ConfigError: an impossible plan, or runs in `out` that were made with other settings.
        DataError: too few images, or a file of features that does not fit.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "runs").is_dir())):
        raise DataError(f"{out} exists and is not a report; name another --out")
    benchmark = Benchmark.of_split(dataset, split, seed)
    study = Study(
        dataset=dataset,
        benchmark=benchmark,
        extras={name: (extra, Benchmark.of_all(extra, split, seed)) for name, extra in extras.items()},
        out=out,
        minutes=plan.minutes,
        console=console,
    )
    settings = list(plan.settings)
    papers, default = paper_models(settings, plan.epochs), default_model(settings, plan.epochs)
    ablations = ablation_models(settings, plan.epochs) if plan.ablations else []
    first = [(model, k) for model in papers for k in range(plan.other_seeds)]
    rest = [(default, k) for k in range(plan.seeds)] + [(model, 0) for model in ablations]
    for model, k in (*first, *rest):
        check_settings(study, model, k)
    (out / "runs").mkdir(parents=True, exist_ok=True)

    baselines = score_baselines(study, features)
    counter = _Counter(console, len(first) + len(rest) + max(plan.seeds - plan.other_seeds, 0))
    runs = {(model.name, k): _run(study, model, k, counter) for model, k in first}
    best = best_paper_model(papers, {model.name: runs[model.name, 0]["training"]["validation"] for model in papers})
    console.print(f"Best paper model on validation images: {best.title}", highlight=False, soft_wrap=True)
    more = [(best, k) for k in range(plan.other_seeds, plan.seeds)]
    for model, k in more:
        check_settings(study, model, k)
    runs |= {(model.name, k): _run(study, model, k, counter) for model, k in (*more, *rest)}

    def result(model: Model) -> Result:
        own = [runs[name, k] for name, k in sorted(runs) if name == model.name]
        return Result.of_runs(model.name, model.title, model.kind, own, model.changes)

    document = {
        "format_version": FORMAT_VERSION,
        "command": command,
        "protocol": protocol(dataset, benchmark),
        "settings": _settings(dataset, plan),
    }
    report = Report(
        document=document,
        papers=[result(model) for model in papers],
        best=best.name,
        default=result(default),
        baselines=baselines,
        ablations=[result(model) for model in ablations],
    )
    encoders = {model.title: load_checkpoint(study.directory(model, 0)) for model in (default, best)}
    return write_report(report, study, encoders)


def best_paper_model(papers: Sequence[Model], validation: Mapping[str, Mapping[str, float]]) -> Model:
    """The paper model with the best row tau on validation images; Ranking + Probability, the paper's, without any.

    Args:
        papers: the models.
        validation: validation scores of seed 0 of each, by name. Test scores must not decide this.
    """
    scored = [model for model in papers if _VALIDATION in validation[model.name]]
    if not scored:
        return next(model for model in papers if model.name == paper_name("ranking", "probability"))
    return max(scored, key=lambda model: validation[model.name][_VALIDATION])


def _run(study: Study, model: Model, seed: int, counter: "_Counter") -> dict[str, Any]:
    trained = is_finished(study, model, seed)
    counter.begin(f"{model.title}, seed {seed}", trained=trained)
    report = finish(study, model, seed)
    counter.end(trained=trained)
    return report


def _settings(dataset: SceneGraphDataset, plan: Plan) -> dict[str, Any]:
    training = dataset.members("train")
    return {
        "training_images": len(training),
        "training_images_with_captions": int((dataset.caption_counts[training] > 0).sum()),
        "budget": plan.budget,
        "minutes": plan.minutes,
        "set": " ".join(plan.settings),
        "seeds": plan.seeds,
        "other_seeds": plan.other_seeds,
    }


class _Counter:
    """Says before each run which of how many it is, and how long all will take.

    Args:
        console: where.
        total: how many runs there are.
    """

    def __init__(self, console: Console, total: int) -> None:
        self.console, self.total = console, total
        self.done, self.trained, self.seconds, self.started = 0, 0, 0.0, 0.0

    def begin(self, title: str, *, trained: bool) -> None:
        """A run begins, or is found to be trained."""
        left = self.seconds / max(self.trained, 1) * (self.total - self.done) / 60
        about = f" (about {left:.0f} min left)" if self.trained and not trained else ""
        text = f"run {self.done + 1} of {self.total}: {title}{', trained already' if trained else about}"
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)
        self.started = time.perf_counter()

    def end(self, *, trained: bool) -> None:
        """It is done."""
        self.done += 1
        if not trained:
            self.trained += 1
            self.seconds += time.perf_counter() - self.started
