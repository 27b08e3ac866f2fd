"""Collects a scene graph from a JSON document of any form, with every problem on the way."""

import re
import sys
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import Any, Final

from model.errors import GraphError, Problem
from model.scene_graph import Box, Relationship, SceneGraph, SceneObject

WILDCARD: Final = "*"

MAX_PROBLEMS: Final = 100
"""Problems that one answer names; where there are more, the last of them says so."""

MORE_PROBLEMS: Final = Problem("", "there are more problems than these; mend them first")

_SIDES: Final = frozenset("xywh")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # databases refuse NUL, and a lone surrogate has no UTF-8


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphLimits:
    """How large a document may be that a stranger sends; each by default without a limit.

    Args:
        objects: how many, wildcards that stand at the ends of relationships among them.
        relationships: how many.
        text_length: of an id, a name, a predicate or an attribute. Units: characters.
    """

    objects: int = sys.maxsize
    relationships: int = sys.maxsize
    text_length: int = sys.maxsize


class GraphReader:
    """Collects the objects, relationships and problems of one document.

    Args:
        limits: what is larger is refused as soon as it is noticed, before time is spent on it.
    """

    def __init__(self, limits: GraphLimits) -> None:
        self._limits = limits
        self._wildcards = 0  # where to look for the next wildcard's number
        self.objects: dict[str, SceneObject] = {}
        self.relationships: list[Relationship] = []
        self.problems: list[Problem] = []

    def graph(self) -> SceneGraph:
        """The graph collected, if nothing was wrong with it.

        Raises:
            GraphError: with every problem found.
        """
        if self.problems:
            raise GraphError(self.problems)
        return SceneGraph(tuple(self.objects.values()), tuple(self.relationships))

    def fail(self, pointer: str, message: str) -> None:
        """Note a problem and go on, so that one answer names them all, or the first of very many.

        Raises:
            GraphError: there are too many to go on.
        """
        if len(self.problems) == MAX_PROBLEMS - 1:
            raise GraphError([*self.problems, MORE_PROBLEMS])
        self.problems.append(Problem(pointer, message))

    def check_objects(self, objects: Sized) -> None:
        """Go no further with more objects than the limit.

        Raises:
            GraphError: there are more.
        """
        self._check("objects", len(objects), self._limits.objects)

    def check_relationships(self, relationships: Sized) -> None:
        """Go no further with more relationships than the limit.

        Raises:
            GraphError: there are more.
        """
        self._check("relationships", len(relationships), self._limits.relationships)

    def _check(self, what: str, count: int, limit: int) -> None:
        if count > limit:
            raise GraphError([Problem(f"/{what}", f"a graph may have {limit} {what} here, this one has more")])

    def has(self, item: dict[str, Any], keys: Sequence[str], pointer: str) -> bool:
        """Whether all the keys are there; null is there, and a wildcard."""
        missing = False
        for key in keys:
            if key not in item:
                missing = True
                self.fail(f"{pointer}/{key}", f'{key} is missing; where anything will do, write null or "*"')
        return not missing

    def items(self, document: dict[str, Any], key: str, pointer: str = "") -> Sequence[Any]:
        """The list under a key; absent or null is empty."""
        value = document.get(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.fail(f"{pointer}/{key}", f"must be a list, not {kind_of(value)}")
            return ()
        return value

    def entries(self, document: dict[str, Any], key: str, pointer: str = "") -> list[tuple[str, dict[str, Any]]]:
        """The JSON objects of the list under a key, with the pointer of each."""
        entries = []
        for index, item in enumerate(self.items(document, key, pointer)):
            if isinstance(item, dict):
                entries.append((f"{pointer}/{key}/{index}", item))
            else:
                self.fail(f"{pointer}/{key}/{index}", f"must be a JSON object, not {kind_of(item)}")
        return entries

    def add_object(self, key: str, name: str | None, source: dict[str, Any], pointer: str, id_key: str = "") -> None:
        """Add an object with the attributes and the box that `source` gives it."""
        if key in self.objects:
            self.fail(pointer + id_key, f"another object has the id {key!r}; ids must be unique")
            return
        attributes, box = self.attributes(source, pointer), self.box(source, pointer)
        self._keep(SceneObject(id=key, name=name, attributes=attributes, box=box))

    def add_wildcard(self) -> str:
        """An object that may be anything, for a relationship that leaves one of its ends open."""
        # The number only rises, so that all wildcards together pass each id of the document at most once.
        self._wildcards = max(self._wildcards, len(self.objects))
        while f"*{self._wildcards}" in self.objects:
            self._wildcards += 1
        key = f"*{self._wildcards}"
        self._wildcards += 1
        self._keep(SceneObject(id=key, name=None))
        return key

    def _keep(self, scene_object: SceneObject) -> None:
        self.objects[scene_object.id] = scene_object
        self.check_objects(self.objects)

    def add_relationship(
        self, subject: object, predicate: object, target: object, pointers: tuple[str, str, str]
    ) -> None:
        """Add a relationship; `pointers` are those of its subject, predicate and object."""
        ends = self.end(subject, pointers[0]), self.end(target, pointers[2])
        name = self.text(predicate, pointers[1], "predicate")
        if ends[0] is not None and ends[1] is not None:
            self.relationships.append(Relationship(subject=ends[0], predicate=name, object=ends[1]))

    def end(self, value: object, pointer: str) -> str | None:
        """The id of an object that a relationship names."""
        if type(value) is str and value in self.objects:  # it has been looked at there
            return value
        if value is None or (value == WILDCARD and WILDCARD not in self.objects):
            return self.add_wildcard()
        key = self.id(value, pointer)
        if key is not None and key not in self.objects:
            self.fail(pointer, f"no object has the id {key!r}; add the object or correct the id")
            return None
        return key

    def id(self, value: object, pointer: str) -> str | None:
        """An identifier, as a string."""
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            self.fail(pointer, f"an id is a non-empty string or a whole number, not {kind_of(value)}")
        elif not value:
            self.fail(pointer, "an id must not be empty; write a string or a whole number")
        elif not self._refused(value, pointer, "an id"):
            return value
        return None

    def text(self, value: object, pointer: str, what: str) -> str | None:
        """A name; None for a wildcard."""
        if value is None or value == WILDCARD:
            return None
        if not isinstance(value, str):
            self.fail(pointer, f"a {what} is a string, or null for any, not {kind_of(value)}")
        elif not value.strip():
            self.fail(pointer, f'a {what} must not be empty; use null or "*" for any')
        elif not self._refused(value, pointer, f"a {what}"):
            return value
        return None

    def _refused(self, text: str, pointer: str, what: str) -> bool:
        """Whether a text cannot be kept as it is."""
        if len(text) > self._limits.text_length:
            self.fail(pointer, f"{what} may have {self._limits.text_length} characters, this one has {len(text)}")
        elif not text.isprintable() and _UNSTORABLE.search(text):  # neither NUL nor a surrogate is; asking is fast
            self.fail(pointer, f"{what} must not hold NUL characters or lone surrogates; remove them")
        else:
            return False
        return True

    def attributes(self, source: dict[str, Any], pointer: str) -> tuple[str, ...]:
        """The attributes of an object; wildcards say nothing and are left out."""
        values = self.items(source, "attributes", pointer)
        if not values:
            return ()
        texts = [self.text(value, f"{pointer}/attributes/{index}", "attribute") for index, value in enumerate(values)]
        return tuple(text for text in texts if text is not None)

    def box(self, source: dict[str, Any], pointer: str) -> Box | None:
        """The box of an object, if it has one."""
        if _SIDES.isdisjoint(source):
            return None
        sides = [source.get(side) for side in "xywh"]
        if sides == [None] * 4:
            return None
        for side, value in zip("xywh", sides, strict=True):
            if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:  # catches NaN too
                self.fail(f"{pointer}/{side}", "a box needs x, y, w and h, each a number of pixels; give all or none")
                return None
        return Box(*(float(side) for side in sides if side is not None))


def kind_of(value: object) -> str:
    """What JSON calls a value of this type."""
    kinds: dict[type, str] = {
        dict: "a JSON object", list: "a list", str: "a string", bool: "true or false", int: "a number",
        float: "a number",
    }  # fmt: skip
    return "null" if value is None else kinds.get(type(value), type(value).__name__)
