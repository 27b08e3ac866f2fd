"""Why an image was found: what of the query it has, what it lacks, and which of its objects stands for which."""

from collections.abc import Sequence
from dataclasses import dataclass

from model.resolution import NameResolver
from model.scene_graph import Relationship, SceneGraph, SceneObject
from model.vocabulary import normalize_name
from service.assignment import AssignmentProblem, assign


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectMatch:
    """What stands for an object of the query.

    Args:
        found: the image's object; None if nothing does.
        matched, missing: those of the query object's attributes that it has, and those it has not.
    """

    found: SceneObject | None
    matched: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """How a query and an image go together.

    Args:
        matched, missing: relationships of the query that hold between the image's objects, and those that do not.
        objects: for each object of the query, by its id, what stands for it.
        exact: whether no assignment of objects matches more; False where proving that would take too long.
    """

    matched: tuple[Relationship, ...]
    missing: tuple[Relationship, ...]
    objects: dict[str, ObjectMatch]
    exact: bool

    @property
    def share(self) -> float:
        """(relationships matched + objects matched) / (relationships + objects) of the query, 0..1."""
        found = sum(match.found is not None for match in self.objects.values())
        return (len(self.matched) + found) / (len(self.matched) + len(self.missing) + len(self.objects))


class Explainer:
    """Explains images to one query.

    Names are the same if the vocabulary takes them for one name (*men*, *man*), or if it knows neither and they are
    written alike; a name that a query's is merely near to counts, because the query was taken for it. Wildcards match
    anything. Directions count: *man riding horse* is no *horse riding man*.

    Args:
        query: the scene asked for.
        resolver: the vocabulary it is understood by.
    """

    def __init__(self, query: SceneGraph, resolver: NameResolver) -> None:
        self.query, self._resolver = query, resolver
        position = {item.id: index for index, item in enumerate(query.objects)}
        self._names = [None if item.name is None else resolver.objects.meanings(item.name) for item in query.objects]
        self._attributes = [{normalize_name(text) for text in item.attributes} for item in query.objects]
        self._edges = [
            (
                position[edge.subject],
                None if edge.predicate is None else resolver.predicates.meanings(edge.predicate),
                position[edge.object],
            )
            for edge in query.relationships
        ]

    def explain(self, image: SceneGraph) -> Explanation:
        """How this image's graph and the query go together, by a best one-to-one assignment of objects."""
        attributes = [{normalize_name(text) for text in item.attributes} for item in image.objects]
        problem = self._problem(image, attributes)
        assignment = assign(problem)
        objects: dict[str, ObjectMatch] = {}
        matched: list[Relationship] = []
        missing: list[Relationship] = []
        for item, target in zip(self.query.objects, assignment.assigned, strict=True):
            has = attributes[target] if target is not None else set()
            objects[item.id] = ObjectMatch(
                found=None if target is None else image.objects[target],
                matched=tuple(text for text in item.attributes if normalize_name(text) in has),
                missing=tuple(text for text in item.attributes if normalize_name(text) not in has),
            )
        for edge, (subject, other, pairs) in zip(self.query.relationships, problem.relationships, strict=True):
            held = (assignment.assigned[subject], assignment.assigned[other]) in pairs
            (matched if held else missing).append(edge)
        return Explanation(matched=tuple(matched), missing=tuple(missing), objects=objects, exact=assignment.exact)

    def _problem(self, image: SceneGraph, attributes: Sequence[set[str]]) -> AssignmentProblem:
        known = self._resolver.objects
        names = [None if item.name is None else known.canonical(item.name) for item in image.objects]
        candidates = [
            {
                target: len(wanted & attributes[target])
                for target, name in enumerate(names)
                if meanings is None or name in meanings
            }
            for meanings, wanted in zip(self._names, self._attributes, strict=True)
        ]
        pairs = self._pairs(image)
        relationships = [
            (
                subject,
                target,
                frozenset(
                    pair
                    for predicate, pair in pairs
                    if (meanings is None or predicate in meanings)
                    and pair[0] in candidates[subject]
                    and pair[1] in candidates[target]
                    and (subject == target) == (pair[0] == pair[1])
                ),
            )
            for subject, meanings, target in self._edges
        ]
        return AssignmentProblem(candidates=candidates, relationships=relationships, targets=len(names))

    def _pairs(self, image: SceneGraph) -> list[tuple[str | None, tuple[int, int]]]:
        """The image's relationships: canonical predicate, and positions of subject and object."""
        position = {item.id: index for index, item in enumerate(image.objects)}
        known = self._resolver.predicates
        return [
            (
                None if edge.predicate is None else known.canonical(edge.predicate),
                (position[edge.subject], position[edge.object]),
            )
            for edge in image.relationships
        ]
