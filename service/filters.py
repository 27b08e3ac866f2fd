"""Filters: which images may be in a ranking at all, decided before it, over the whole catalogue."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from model.resolution import NameResolver, Substitution
from model.vocabulary import normalize_name
from service.index.postings import FilterIndex
from service.index.vector_index import Rows

MAX_CONDITIONS: Final = 64
"""Conditions of a filter; each is a look at every image where it is broad."""

ConditionKind = Literal["object", "attribute", "triple"]


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that an image has or has not.

    Args:
        kind: what it speaks of.
        names: the object's name; or the object's name and its attribute; or subject, predicate and object of a
            relationship. None stands for anything.
    """

    kind: ConditionKind
    names: tuple[str | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What images must have, each of it, and must not have, none of it."""

    must: tuple[Condition, ...] = ()
    must_not: tuple[Condition, ...] = ()

    def to_json(self) -> dict[str, list[dict[str, object]]]:
        """The filter as a request writes it."""

        def written(conditions: tuple[Condition, ...]) -> list[dict[str, object]]:
            return [{one.kind: one.names[0] if one.kind == "object" else list(one.names)} for one in conditions]

        return {"must": written(self.must), "must_not": written(self.must_not)}


@dataclass(frozen=True, slots=True)
class Selection:
    """What a filter leaves, and the filter itself.

    Shapes:
        rows: (allowed,) rising rows of the index.
        substitutions: names of the filter that were not taken as they stand; pointers are relative to it.
    """

    rows: Rows
    substitutions: tuple[Substitution, ...]
    filter: Filter


_PLACES: Final[dict[ConditionKind, tuple[str, ...]]] = {
    "object": ("objects",),
    "attribute": ("objects", "attributes"),
    "triple": ("objects", "predicates", "objects"),
}
_KINDS: Final[dict[ConditionKind, str]] = {"object": "objects", "attribute": "attributes", "triple": "triples"}


def select(index: FilterIndex, wanted: Filter, resolver: NameResolver) -> Selection:
    """The images that a filter allows.

    Names are taken as in a query: exactly, then in another case, by alias or plural; then a name that images really
    have though the model does not know it, so that *zebra* finds zebras; then the nearest known name. A name that
    nothing is found for is in no image.
    """
    mask = np.ones(index.images, np.bool_)
    substitutions: list[Substitution] = []
    for clause, conditions in (("must", wanted.must), ("must_not", wanted.must_not)):
        for position, condition in enumerate(conditions):
            taken = list(_resolve(index, condition, resolver, f"/{clause}/{position}"))
            substitutions += [found for _, found in taken if found is not None]
            numbers = [number for number, _ in taken]
            nowhere = -1 in numbers
            has = np.zeros(index.images, np.bool_) if nowhere else index.mask(_KINDS[condition.kind], numbers)
            mask &= has if clause == "must" else ~has
    return Selection(np.flatnonzero(mask).astype(np.int64), tuple(substitutions), wanted)


def _resolve(
    index: FilterIndex, condition: Condition, resolver: NameResolver, pointer: str
) -> Iterator[tuple[int | None, Substitution | None]]:
    """The number of each name in the filter index, -1 where no image has it, and what it was taken for."""
    for place, (kind, name) in enumerate(zip(_PLACES[condition.kind], condition.names, strict=True)):
        if name is None:
            yield None, None
            continue
        where = f"{pointer}/{condition.kind}" + (f"/{place}" if len(condition.names) > 1 else "")
        numbers = index.names[kind]
        if kind == "attributes":
            normal = normalize_name(name)
            number = numbers.get(normal, -1)
            yield number, None if number >= 0 else Substitution(pointer=where, word=name, taken_for=None, how="unknown")
            continue
        names = resolver.objects if kind == "objects" else resolver.predicates
        canonical = names.canonical(name)
        found = names.find(name)
        if found.how in ("nearest", "unknown") and canonical in numbers:
            yield numbers[canonical], None
        elif found.how == "unknown":
            yield -1, Substitution(pointer=where, word=name, taken_for=None, how="unknown")
        else:
            known = resolver.vocabulary.objects if kind == "objects" else resolver.vocabulary.predicates
            taken_for = known[found.id]
            yield (
                numbers.get(taken_for, -1),
                None
                if found.how == "exact"
                else Substitution(pointer=where, word=name, taken_for=taken_for, how=found.how),
            )
