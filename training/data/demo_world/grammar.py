"""The grammar of the demo world, as scenes.toml, things.toml and icons.toml write it down; they explain their keys."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """A kind of object; the keys of things.toml."""

    name: str
    size: tuple[float, float] = (1.0, 1.0)
    icon: str = ""
    colors: str = ""
    paint: str = ""
    also: Sequence[str] = ()
    said: Sequence[str] = ()
    plural: str = ""
    number: str = "count"
    seat: float = 0.08
    room: int = 1
    slots: Sequence[Sequence[float]] = ()
    held: float = 0.5
    stands: str = "on"
    far: bool = False
    alive: bool = False
    stood: bool = False
    upright: bool = False
    base: str = ""

    @property
    def tall(self) -> bool:
        """Higher than wide, as people are and animals are not: it sits up and lies down."""
        return self.size[1] > self.size[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicate:
    """A kind of relationship: its geometry, its weight and words in captions, and what its subject's body does."""

    rule: str
    weight: float
    said: Sequence[str] = ()
    pose: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """A pattern that holds `mean` times an image: one of the subjects, of the predicates and of the objects."""

    mean: float
    subjects: Sequence[str]
    predicates: Sequence[str]
    objects: Sequence[str]
    home: str


@dataclass(frozen=True, slots=True)
class SceneKind:
    """A kind of scene. `regions` are (name, upper edge in parts of the height), downwards; the last is the ground."""

    name: str
    place: Sequence[str]
    setting: Sequence[str]
    regions: Sequence[tuple[str, float]]
    facts: Sequence[Fact]


@dataclass(frozen=True, slots=True)
class Grammar:
    """All kinds of scenes and what they are made of."""

    kinds: Sequence[SceneKind]
    things: dict[str, Thing]
    predicates: dict[str, Predicate]
    palettes: dict[str, list[str]]
    colors: dict[str, str]
    icons: dict[str, list[str]] = field(repr=False)


def load_grammar() -> Grammar:
    """The grammar that lies beside this module."""
    tables, scenes, icons = (_toml(name) for name in ("things.toml", "scenes.toml", "icons.toml"))
    things = {name: Thing(name=name, **keys) for name, keys in tables["things"].items()}
    predicates = {name: Predicate(**keys) for name, keys in tables["predicates"].items()}
    kinds = [_scene_kind(name, table, tables["groups"]) for name, table in scenes.items()]
    for kind in kinds:
        for fact in kind.facts:
            for name in (*fact.subjects, *fact.objects, fact.home):
                assert name in things, f"scenes.toml [{kind.name}] speaks of {name!r}, which things.toml does not know"
            assert predicates.keys() >= set(fact.predicates), f"scenes.toml [{kind.name}]: unknown predicate in {fact}"
    for thing in things.values():
        assert thing.base or (thing.icon or thing.name) in icons, f"icons.toml has no drawing for {thing.name!r}"
    return Grammar(kinds, things, predicates, tables["palettes"], tables["colors"], icons)


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of the options, all alike; much faster than `rng.choice`."""
    return options[int(rng.integers(len(options)))]


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))


def _scene_kind(name: str, table: dict[str, Any], groups: dict[str, list[str]]) -> SceneKind:
    def names(text: str) -> list[str]:
        return [member for word in text.split(", ") for member in groups.get(word, [word])]

    regions = [(region, top / 100) for region, top in table["regions"]]
    ground = regions[-1][0]
    facts = [
        Fact(mean, names(subjects), predicates.split(", "), names(objects), home[0] if home else ground)
        for mean, subjects, predicates, objects, *home in table["facts"]
    ]
    return SceneKind(name, table["place"], table["setting"], regions, facts)
