"""How many images have each name, counted while an index version is made whose images cannot all be counted later."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from model.resolution import NameResolver
from model.scene_graph import SceneGraph
from service.index.postings import entries_of
from service.index.state import NameKind

NAME_KINDS: Final[tuple[NameKind, ...]] = ("object", "predicate", "attribute")


class NameCounts:
    """Counts how many images have each name.

    Args:
        resolver: of the model, for the names that filters go by.
    """

    def __init__(self, resolver: NameResolver) -> None:
        self._resolver = resolver
        self._counts: dict[str, Counter[str]] = {kind: Counter() for kind in NAME_KINDS}

    def add(self, graph: SceneGraph) -> None:
        """One more image."""
        found = entries_of(graph, self._resolver)
        self._counts["object"].update({name for (name,) in found["objects"]})
        self._counts["attribute"].update({name for _, name in found["attributes"]})
        self._counts["predicate"].update({name for _, name, _ in found["triples"]})

    def merge(self, counts: Mapping[str, Mapping[str, int]]) -> None:
        """More images, counted elsewhere."""
        for kind in NAME_KINDS:
            self._counts[kind].update(counts[kind])

    def to_json(self) -> dict[str, dict[str, int]]:
        """By kind the images of each name."""
        return {kind: dict(counts) for kind, counts in self._counts.items()}
