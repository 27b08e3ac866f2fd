"""Which object of an image stands for which object of a query: a best one-to-one assignment.

An assignment's value is the number of the query's relationships that hold between the assigned objects; where these are
equal the number of objects assigned; where these are equal too the number of attributes that agree.

Finding the best one is a subgraph matching problem, exponential in the worst case. Where names tell objects apart,
branch and bound proves its answer in a few steps; many objects of one name take more. A limit to the work bounds the
rest: then the answer is the better of what was found so far and of a linear sum assignment, improved by single moves
and swaps, and it is marked as not exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

WORK_LIMIT: Final = 50_000
"""Looks at a relationship or an object before the search for a proof ends: some ten milliseconds."""

_LARGEST: Final = 200  # objects of a query that branch and bound is tried on; each is a level of recursion
_PASSES: Final = 3  # over all objects, in improving an assignment

Assigned = Sequence[int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentProblem:
    """What may be assigned to what.

    Args:
        candidates: for each object of the query the image's objects it may be, each with the number of attributes
            that then agree.
        relationships: for each relationship of the query its subject, its object, and the pairs of the image's
            objects between which such a one holds; pairs of candidates only.
        targets: how many objects the image has.
    """

    candidates: Sequence[Mapping[int, int]]
    relationships: Sequence[tuple[int, int, frozenset[tuple[int, int]]]]
    targets: int

    @property
    def object_weight(self) -> int:
        """What an object counts; more than all attributes together."""
        return 1 + sum(max(options.values(), default=0) for options in self.candidates)

    @property
    def relationship_weight(self) -> int:
        """What a relationship counts; more than all objects and attributes together."""
        return self.object_weight * (len(self.candidates) + 1)

    def value(self, assigned: Assigned) -> int:
        """The value of an assignment."""
        held = sum((assigned[s], assigned[t]) in pairs for s, t, pairs in self.relationships)
        object_weight = self.object_weight
        objects = sum(
            object_weight + self.candidates[source][target]
            for source, target in enumerate(assigned)
            if target is not None
        )
        return self.relationship_weight * held + objects


@dataclass(frozen=True, slots=True)
class Assignment:
    """For each object of the query the image's object that stands for it, or None; `exact` if no better one exists."""

    assigned: Assigned
    exact: bool


def assign(problem: AssignmentProblem, work_limit: int = WORK_LIMIT) -> Assignment:
    """A best assignment, or a good one where finding a best one takes more work than the limit."""
    if len(problem.candidates) > _LARGEST:
        return Assignment(_approximate(problem), exact=False)
    search = _BranchAndBound(problem, work_limit)
    search.run()
    if search.work <= work_limit:
        return Assignment(search.best, exact=True)
    return Assignment(max(search.best, _approximate(problem), key=problem.value), exact=False)


class _BranchAndBound:
    """Decides objects with relationships one by one; the others are a linear sum assignment of what is left."""

    def __init__(self, problem: AssignmentProblem, work_limit: int) -> None:
        self._problem, self._limit = problem, work_limit
        self._object_weight, self._edge_weight = problem.object_weight, problem.relationship_weight
        self._edges = [edge for edge in problem.relationships if edge[2]]  # the others cannot hold
        self._subjects = [{pair[0] for pair in pairs} for _, _, pairs in self._edges]
        self._targets = [{pair[1] for pair in pairs} for _, _, pairs in self._edges]
        self._order = _most_constrained_first(problem, self._edges)
        self._rest = sorted(set(range(len(problem.candidates))) - set(self._order))
        self._most = [self._object_weight + max(options.values()) if options else 0 for options in problem.candidates]
        everything = range(len(problem.candidates))
        self._objects_bound = self._objects_value(_best_objects(problem, everything, set()))
        self.best: Assigned = [None] * len(problem.candidates)
        self.work = 0
        self._best_value = -1

    def run(self) -> None:
        self._decide(0, [None] * len(self.best), set(), 0)

    def _decide(self, depth: int, assigned: list[int | None], used: set[int], objects: int) -> None:
        bound, held = self._bound(depth, assigned, objects)
        if bound <= self._best_value or self.work > self._limit:
            return
        if depth == len(self._order):
            self._finish(assigned, used, held)
            return
        source = self._order[depth]
        for target in self._by_promise(source, assigned, used):
            assigned[source] = target
            used.add(target)
            gain = self._object_weight + self._problem.candidates[source][target]
            self._decide(depth + 1, assigned, used, objects + gain)
            used.remove(target)
            assigned[source] = None
        self._decide(depth + 1, assigned, used, objects)

    def _bound(self, depth: int, assigned: Assigned, objects: int) -> tuple[int, int]:
        """The most that any completion is worth, and the relationships that hold already."""
        self.work += 1 + len(self._edges)
        open_objects = self._order[depth:]
        undecided = set(open_objects)
        held = possible = 0
        for number, (subject, target, pairs) in enumerate(self._edges):
            if subject in undecided and target in undecided:
                possible += 1
            elif subject in undecided:
                possible += assigned[target] in self._targets[number]
            elif target in undecided:
                possible += assigned[subject] in self._subjects[number]
            else:
                held += (assigned[subject], assigned[target]) in pairs
        remaining = sum(self._most[source] for source in (*open_objects, *self._rest))
        return self._edge_weight * (held + possible) + min(objects + remaining, self._objects_bound), held

    def _by_promise(self, source: int, assigned: list[int | None], used: set[int]) -> list[int]:
        """Candidates not used yet: first those that let most relationships hold with what is decided."""
        edges = [(number, edge) for number, edge in enumerate(self._edges) if source in edge[:2]]

        def promise(target: int) -> tuple[int, int, int]:
            held = possible = 0
            for number, (subject, other, pairs) in edges:
                ends = (
                    target if subject == source else assigned[subject],
                    target if other == source else assigned[other],
                )
                held += ends in pairs
                if None in ends:
                    possible += target in (self._subjects if subject == source else self._targets)[number]
            return -held, -possible, -self._problem.candidates[source][target]

        free = [target for target in self._problem.candidates[source] if target not in used]
        self.work += len(free) * len(edges)
        return sorted(free, key=promise)

    def _finish(self, assigned: list[int | None], used: set[int], held: int) -> None:
        self.work += len(self._rest)
        complete = list(assigned)
        for source, target in _best_objects(self._problem, self._rest, used).items():
            complete[source] = target
        value = self._edge_weight * held + self._objects_value(dict(enumerate(complete)))
        if value > self._best_value:
            self.best, self._best_value = complete, value

    def _objects_value(self, assigned: Mapping[int, int | None]) -> int:
        return sum(
            self._object_weight + self._problem.candidates[source][target]
            for source, target in assigned.items()
            if target is not None
        )


def _most_constrained_first(
    problem: AssignmentProblem, edges: Sequence[tuple[int, int, frozenset[tuple[int, int]]]]
) -> list[int]:
    """The objects with relationships, each after those that it is related to most, else the one with fewest choices."""
    neighbours: dict[int, list[int]] = {}
    for subject, target, _ in edges:
        neighbours.setdefault(subject, []).append(target)
        neighbours.setdefault(target, []).append(subject)
    order: list[int] = []
    links = dict.fromkeys(neighbours, 0)
    while links:
        chosen = min(links, key=lambda one: (-links[one], len(problem.candidates[one]), -len(neighbours[one]), one))
        order.append(chosen)
        del links[chosen]
        for other in neighbours[chosen]:
            if other in links:
                links[other] += 1
    return order


def _best_objects(problem: AssignmentProblem, sources: Sequence[int], used: set[int]) -> dict[int, int]:
    """The best assignment of these objects without regard to relationships."""
    weights, object_weight = np.zeros((len(sources), problem.targets), np.int64), problem.object_weight
    for row, source in enumerate(sources):
        for target, agreeing in problem.candidates[source].items():
            if target not in used:
                weights[row, target] = object_weight + agreeing
    return {sources[row]: column for row, column in _matched(weights)}


def _matched(weights: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Row and column of every pair of a maximal assignment that is worth something."""
    if not weights.size:
        return []
    rows, columns = linear_sum_assignment(weights, maximize=True)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if weights[row, column]]


def _approximate(problem: AssignmentProblem) -> Assigned:
    """A linear sum assignment in which each end of a relationship counts half, improved by moves and swaps."""
    weights = np.zeros((len(problem.candidates), problem.targets), np.int64)
    object_weight, relationship_weight = problem.object_weight, problem.relationship_weight
    for source, options in enumerate(problem.candidates):
        for target, agreeing in options.items():
            weights[source, target] = 2 * (object_weight + agreeing)
    for subject, other, pairs in problem.relationships:
        for source, targets in ((subject, {pair[0] for pair in pairs}), (other, {pair[1] for pair in pairs})):
            weights[source, list(targets)] += relationship_weight
    assigned: list[int | None] = [None] * len(problem.candidates)
    for source, target in _matched(weights):
        assigned[source] = target
    _improve(problem, assigned)
    return assigned


def _improve(problem: AssignmentProblem, assigned: list[int | None]) -> None:
    """Move an object, or swap it with the one in its way, as long as that is worth it and the work is bounded."""
    touching: list[list[int]] = [[] for _ in assigned]
    for number, (subject, target, _) in enumerate(problem.relationships):
        touching[subject].append(number)
        touching[target].append(number)

    def local(*sources: int) -> int:
        edges = {number for source in sources for number in touching[source]}
        held = sum(
            (assigned[problem.relationships[number][0]], assigned[problem.relationships[number][1]])
            in problem.relationships[number][2]
            for number in edges
        )
        objects = 0
        for source in sources:
            target = assigned[source]
            if target is not None:
                objects += object_weight + problem.candidates[source][target]
        return relationship_weight * held + objects

    object_weight, relationship_weight = problem.object_weight, problem.relationship_weight
    holder = {target: source for source, target in enumerate(assigned) if target is not None}
    work = 0
    for _ in range(_PASSES):
        improved = False
        for source, options in enumerate(problem.candidates):
            for target in options:
                old, other = assigned[source], holder.get(target)
                if target == old:
                    continue
                involved = (source,) if other is None else (source, other)
                work += sum(2 * len(touching[one]) + 4 for one in involved)
                if work > WORK_LIMIT:
                    return
                before = local(*involved)
                assigned[source] = target
                if other is not None:
                    assigned[other] = old if old is not None and old in problem.candidates[other] else None
                if local(*involved) > before:
                    improved = True
                    holder = {taken: one for one, taken in enumerate(assigned) if taken is not None}
                else:
                    assigned[source] = old
                    if other is not None:
                        assigned[other] = target
        if not improved:
            return
