"""Recipes: the flat list of values that decides a training run."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

from model.engines import EngineName
from model.errors import ConfigError

RECIPES: Final = Path(__file__).parent / "recipes"

Supervision = Literal["captions", "phrases", "sentences"]
LossName = Literal["ranking", "triplet", "infonce", "views"]
SamplerName = Literal["random", "extreme", "probability", "reject"]
Precision = Literal["fp32", "bf16"]
EncoderName = Literal["convolution", "triples"]
Start = Literal["words", "linear"]
BestBy = Literal["captions", "both"]

_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "supervision": get_args(Supervision),
    "loss": get_args(LossName),
    "sampler": get_args(SamplerName),
    "precision": get_args(Precision),
    "engine": get_args(EngineName),
    "encoder": get_args(EncoderName),
    "start": get_args(Start),
    "best_by": get_args(BestBy),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """A recipe with all its values; `training/recipes/paper.toml` says what each means.

    Raises:
        ConfigError: a value that is not of its key's type or outside its range.
    """

    supervision: Supervision
    loss: LossName
    sampler: SamplerName
    temperature: float
    margin: float
    identity_share: float
    encoder: EncoderName
    layers: int
    hidden: int
    pool_image_node: bool
    normalize: bool
    residual: bool
    caption_dimension: int
    identity_dimension: int
    identity_weight: float
    pooling_power: float
    start: Start
    shrinkage: float
    learning_rate: float
    batch_size: int
    epochs: int
    best_by: BestBy
    unknown_rate: float
    seed: int
    precision: Precision
    engine: EngineName
    device: str

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _CHOICES:
                if value not in _CHOICES[field.name]:
                    raise ConfigError(f"{field.name} is {value!r}; it must be one of {', '.join(_CHOICES[field.name])}")
            elif type(value) is not field.type:
                raise ConfigError(
                    f"{field.name} is {value!r}; it must be of type {getattr(field.type, '__name__', '')}"
                )
        for name in ("layers", "hidden", "batch_size", "identity_dimension"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("temperature", "learning_rate", "identity_weight", "shrinkage"):
            _require(0 < getattr(self, name) < float("inf"), name, getattr(self, name), "a positive number")
        _require(self.caption_dimension >= 2, "caption_dimension", self.caption_dimension, "at least 2")
        for name in ("identity_share", "pooling_power"):
            _require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "from 0 to 1")
        _require(self.margin >= 0, "margin", self.margin, "at least 0")
        convolution = self.encoder == "convolution"
        _require(not convolution or self.start == "words", "start", self.start, "'words' for the graph convolution")
        # The graph convolution has no closed form: without an epoch it would be untrained.
        least = 1 if convolution else 0
        _require(self.epochs >= least, "epochs", self.epochs, f"at least {least} for encoder = {self.encoder!r}")
        _require(0 <= self.unknown_rate < 1, "unknown_rate", self.unknown_rate, "at least 0 and below 1")
        _require(self.seed >= 0, "seed", self.seed, "at least 0")

    @classmethod
    def from_values(cls, values: Mapping[str, object]) -> Self:
        """A configuration from a recipe's values.

        Raises:
            ConfigError: a key is missing, unknown, or has an impossible value.
        """
        known = {field.name: field.type for field in fields(cls)}
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]}? " if near else ""
                raise ConfigError(f"there is no key {key!r}; {hint}keys are {', '.join(known)}")
        if missing := known.keys() - values.keys():
            raise ConfigError(f"the recipe does not say {', '.join(sorted(missing))}; copy the lines from paper.toml")
        # TOML and people write 1 for 1.0.
        widened: dict[str, Any] = {
            key: float(value) if known[key] is float and type(value) is int else value for key, value in values.items()
        }
        return cls(**widened)

    def to_json(self) -> dict[str, Any]:
        """The values as a JSON document."""
        return asdict(self)


def load_recipe(recipe: str, settings: list[str]) -> TrainingConfig:
    """A recipe by name or path, with `key=value` settings put over its values.

    Raises:
        ConfigError: no such recipe, not TOML, or a setting that is not `key=value` with a known key and a fitting
            value.
    """
    named = RECIPES / f"{recipe}.toml"
    path = named if named.is_file() else Path(recipe)
    try:
        values = tomllib.loads(path.read_text())
    except FileNotFoundError:
        shipped = ", ".join(sorted(file.stem for file in RECIPES.glob("*.toml")))
        raise ConfigError(f"no recipe {recipe!r}; shipped recipes are {shipped}, or name a TOML file") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"recipe {path} cannot be read: {error}") from None
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}: write it as key=value")
        values[key.strip()] = _value(text.strip())
    return TrainingConfig.from_values(values)


def _value(text: str) -> object:
    """A value as TOML reads it; a bare word is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _require(condition: bool, name: str, value: object, what: str) -> None:
    if not condition:
        raise ConfigError(f"{name} is {value!r}; it must be {what}")
