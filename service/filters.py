"""Filters: which images may be in a ranking at all, decided before it, over the whole catalogue."""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from model.resolution import NameResolver, Substitution
from model.vocabulary import normalize_name
from service.index.postings import PARTS, FilterIndex, Mask

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


Entry = tuple[str, tuple[str | None, ...] | None]
"""A kind of postings and the names of an entry, None for any; None instead of an entry that no image can have."""


@dataclass(frozen=True, slots=True)
class ResolvedFilter:
    """A filter whose names are those that images have.

    Args:
        filter: the filter.
        must, must_not: for each condition what it looks for.
        substitutions: names that were not taken as they stand; pointers are relative to the filter.
    """

    filter: Filter
    must: tuple[Entry, ...]
    must_not: tuple[Entry, ...]
    substitutions: tuple[Substitution, ...]

    def mask(self, index: FilterIndex) -> Mask:
        """Which images the filter allows. Shape (images,)."""
        mask = np.ones(index.images, np.bool_)
        for entries, wanted in ((self.must, True), (self.must_not, False)):
            for kind, entry in entries:
                has = np.zeros(index.images, np.bool_) if entry is None else index.mask(kind, entry)
                mask &= has == wanted
        return mask


_NOBODYS: Final = "\0"  # instead of a name that no image has

_KINDS: Final[dict[ConditionKind, str]] = {"object": "objects", "attribute": "attributes", "triple": "triples"}


def resolve(wanted: Filter, names: Mapping[str, Container[str]], resolver: NameResolver) -> ResolvedFilter:
    """The filter by the names of images.

    Names are taken as in a query: exactly, then in another case, by alias or plural; then a name that images really
    have though the model does not know it, so that *zebra* finds zebras; then the nearest known name. A name that
    nothing is found for is in no image.

    Args:
        wanted: the filter.
        names: of objects, predicates and attributes that images have.
        resolver: of the model.
    """
    substitutions: list[Substitution] = []
    clauses: dict[str, list[Entry]] = {"must": [], "must_not": []}
    for clause, conditions in (("must", wanted.must), ("must_not", wanted.must_not)):
        for position, condition in enumerate(conditions):
            taken = list(_resolve(names, condition, resolver, f"/{clause}/{position}"))
            substitutions += [found for _, found in taken if found is not None]
            entry = tuple(name for name, _ in taken)
            clauses[clause].append((_KINDS[condition.kind], None if _NOBODYS in entry else entry))
    return ResolvedFilter(wanted, tuple(clauses["must"]), tuple(clauses["must_not"]), tuple(substitutions))


def _resolve(
    names: Mapping[str, Container[str]], condition: Condition, resolver: NameResolver, pointer: str
) -> Iterator[tuple[str | None, Substitution | None]]:
    """What images call each name, _NOBODYS where none has it, and what it was taken for."""
    for place, (kind, name) in enumerate(zip(PARTS[_KINDS[condition.kind]], condition.names, strict=True)):
        if name is None:
            yield None, None
            continue
        where = f"{pointer}/{condition.kind}" + (f"/{place}" if len(condition.names) > 1 else "")
        had = names[kind]
        if kind == "attributes":
            normal = normalize_name(name)
            if normal in had:
                yield normal, None
            else:
                yield _NOBODYS, Substitution(pointer=where, word=name, taken_for=None, how="unknown")
            continue
        known_names = resolver.objects if kind == "objects" else resolver.predicates
        canonical = known_names.canonical(name)
        found = known_names.find(name)
        if found.how in ("nearest", "unknown") and canonical in had:
            yield canonical, None
        elif found.how == "unknown":
            yield _NOBODYS, Substitution(pointer=where, word=name, taken_for=None, how="unknown")
        else:
            known = resolver.vocabulary.objects if kind == "objects" else resolver.vocabulary.predicates
            taken_for = known[found.id]
            yield (
                taken_for if taken_for in had else _NOBODYS,
                None
                if found.how == "exact"
                else Substitution(pointer=where, word=name, taken_for=taken_for, how=found.how),
            )
