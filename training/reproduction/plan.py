"""Which models an experiment compares: the paper's twelve, the default recipe, and variants of it."""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from model.errors import ConfigError
from training.config import LossName, SamplerName, TrainingConfig, load_recipe

Kind = Literal["paper", "default", "ablation"]

LOSSES: Final[tuple[LossName, ...]] = ("triplet", "infonce", "ranking")
SAMPLERS: Final[tuple[SamplerName, ...]] = ("random", "extreme", "probability", "reject")
"""In the order of the paper's tables."""

LOSS_TITLES: Final[Mapping[LossName, str]] = {"triplet": "Triplet", "infonce": "InfoNCE", "ranking": "Ranking"}
DEFAULT: Final = "default"
ABLATIONS: Final = Path(__file__).with_name("ablations.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A recipe that is trained, once per seed.

    Args:
        name: its directory under REPORT/runs.
        title: as tables show it.
        kind: what it is in the report.
        config: the recipe; each run puts its own seed into it.
        changes: for an ablation, what is other than in the default recipe.
    """

    name: str
    title: str
    kind: Kind
    config: TrainingConfig
    changes: Mapping[str, Any] = field(default_factory=dict)

    def with_seed(self, seed: int) -> TrainingConfig:
        """The recipe of one run."""
        return replace(self.config, seed=seed)


def paper_name(loss: LossName, sampler: SamplerName) -> str:
    """The name of one of the paper's models."""
    return f"{loss}-{sampler}"


def paper_models(settings: list[str], epochs: int | None) -> list[Model]:
    """The paper's 3 losses x 4 samplers.

    Args:
        settings: `key=value` put over the values of the `paper` recipe.
        epochs: of every run, if other than the recipe's.

    Raises:
        ConfigError: an impossible setting.
    """
    return [
        Model(
            name=paper_name(loss, sampler),
            title=f"{LOSS_TITLES[loss]}, {sampler.capitalize()}",
            kind="paper",
            config=_load("paper", [*settings, f"loss={loss}", f"sampler={sampler}"], epochs),
        )
        for loss in LOSSES
        for sampler in SAMPLERS
    ]


def default_model(settings: list[str], epochs: int | None) -> Model:
    """The `default` recipe with these settings and epochs.

    Raises:
        ConfigError: an impossible setting.
    """
    return Model(name=DEFAULT, title="default recipe", kind="default", config=_load(DEFAULT, settings, epochs))


def ablation_models(settings: list[str], epochs: int | None) -> list[Model]:
    """The variants that `ablations.toml` lists, each the default recipe but for some values.

    The file holds `[[variant]]` tables with a `title` and `set = {key = value, ...}`. Without the file there are none.

    Raises:
        ConfigError: the file is not of that form, or a value is impossible.
    """
    path = ABLATIONS
    try:
        variants = tomllib.loads(path.read_text()).get("variant", [])
        pairs = [(str(variant["title"]), dict(variant["set"])) for variant in variants]
    except FileNotFoundError:
        return []
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f'{path} is not of the form [[variant]] title = "..." set = {{...}} ({error!r})') from None
    models = [
        Model(
            name="ablation-" + re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-"),
            title=title,
            kind="ablation",
            # JSON's numbers, booleans and strings are TOML's too.
            config=_load(
                DEFAULT, [*settings, *(f"{key}={json.dumps(value)}" for key, value in changes.items())], epochs
            ),
            changes=changes,
        )
        for title, changes in pairs
    ]
    if len({model.name for model in models}) < len(models):
        raise ConfigError(f"{path} has two variants of one title; give each its own")
    return models


def _load(recipe: str, settings: list[str], epochs: int | None) -> TrainingConfig:
    """A recipe with so many epochs, unless it has none: what is fitted in closed form is not trained further."""
    config = load_recipe(recipe, settings)
    return config if epochs is None or config.epochs == 0 else replace(config, epochs=epochs)
