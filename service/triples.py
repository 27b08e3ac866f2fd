"""Triples of names, as a person types them, and the scene graph that they make."""

from collections.abc import Iterable
from typing import Any, Final

from service.connection import ServiceError

Triple = tuple[str, str, str]

_ANY: Final = "*"


def graph_of_triples(triples: Iterable[Triple]) -> dict[str, Any]:
    """The scene graph, in the native form, of triples of names.

    Equal names are one object: `man riding horse`, `horse on beach` have one horse. `man#2` is a second man, and each
    `*` something of its own.

    Args:
        triples: subject, predicate, object.
    """
    objects: dict[str, dict[str, Any]] = {}
    relationships = []
    for number, (subject, predicate, object_) in enumerate(triples):
        ends = []
        for role, name in (("subject", subject), ("object", object_)):
            key = f"{_ANY}{number}-{role}" if name == _ANY else name
            base, mark, copy = name.rpartition("#")
            objects.setdefault(key, {"id": key, "name": base if mark and copy.isdecimal() else name})
            ends.append(key)
        relationships.append({"subject": ends[0], "predicate": predicate, "object": ends[1]})
    return {"objects": list(objects.values()), "relationships": relationships}


def parse_triple(text: str) -> Triple:
    """A triple as a person types it: `man riding horse`, or with commas `man, next to, tennis racket`.

    Without commas the first word is the subject, the last one the object, and what stands between the predicate.

    Raises:
        ServiceError: it has not three parts.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 1 and len(words := text.split()) >= 3:
        parts = [words[0], " ".join(words[1:-1]), words[-1]]
    match parts:
        case [subject, predicate, object_] if all(parts):
            return subject, predicate, object_
    raise ServiceError(f"{text!r} is no triple; write 'man riding horse', or 'man, next to, tennis racket'")
