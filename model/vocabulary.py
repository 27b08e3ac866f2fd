"""The names an encoder knows, and the number of each."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from model.errors import DataError

IMAGE: Final = "__image__"  # the node that every graph gets, joined to each of its objects
IN_IMAGE: Final = "__in_image__"  # the predicate of those joining edges
UNKNOWN: Final = "__unknown__"  # a name outside the vocabulary, and the wildcard

IMAGE_ID: Final = 0  # number of IMAGE among the object names
IN_IMAGE_ID: Final = 0  # number of IN_IMAGE among the predicates
UNKNOWN_ID: Final = 1  # number of UNKNOWN in both lists

_SPACE = re.compile(r"\s+")


def normalize_name(text: str) -> str:
    """A name as vocabularies hold it: lower case, single spaces, none at the ends."""
    return _SPACE.sub(" ", text).strip().lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Object names and predicates by number; the special names come first.

    Args:
        objects: object names; number 0 is `__image__`, number 1 the learned unknown object.
        predicates: predicates; number 0 is `__in_image__`, number 1 the learned unknown predicate.
        object_aliases: other names for objects, such as "tv" for "television".
        predicate_aliases: other names for predicates.
    """

    objects: tuple[str, ...]
    predicates: tuple[str, ...]
    object_aliases: Mapping[str, str] = field(default_factory=dict)
    predicate_aliases: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.objects[:2] != (IMAGE, UNKNOWN) or self.predicates[:2] != (IN_IMAGE, UNKNOWN):
            raise DataError("a vocabulary starts with the special names; build it with Vocabulary.of_names")
        if len(set(self.objects)) != len(self.objects) or len(set(self.predicates)) != len(self.predicates):
            raise DataError("a vocabulary holds each name once; remove the repeated ones")

    @classmethod
    def of_names(
        cls,
        objects: Iterable[str],
        predicates: Iterable[str],
        *,
        object_aliases: Mapping[str, str] | None = None,
        predicate_aliases: Mapping[str, str] | None = None,
    ) -> Self:
        """A vocabulary of these (normalized) names, with the special names put before them."""
        return cls(
            objects=(IMAGE, UNKNOWN, *objects),
            predicates=(IN_IMAGE, UNKNOWN, *predicates),
            object_aliases=dict(object_aliases or {}),
            predicate_aliases=dict(predicate_aliases or {}),
        )

    def to_json(self) -> dict[str, Any]:
        """The vocabulary as a JSON document."""
        return {
            "objects": list(self.objects),
            "predicates": list(self.predicates),
            "object_aliases": dict(self.object_aliases),
            "predicate_aliases": dict(self.predicate_aliases),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The vocabulary that `to_json` wrote."""
        return cls(
            objects=tuple(document["objects"]),
            predicates=tuple(document["predicates"]),
            object_aliases=dict(document["object_aliases"]),
            predicate_aliases=dict(document["predicate_aliases"]),
        )
