"""What of a query an image has: against trying every one-to-one assignment."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.resolution import NameResolver
from model.scene_graph import Relationship, SceneGraph, SceneObject
from model.vocabulary import Vocabulary
from service.assignment import Assigned, AssignmentProblem, assign
from service.explain import Explainer, Explanation

RESOLVER = NameResolver(
    Vocabulary.of_names(["man", "horse", "beach"], ["riding", "on"], object_aliases={"guy": "man"}), None
)


def graph(*triples: tuple[str, str | None, str], attributes: dict[str, tuple[str, ...]] | None = None) -> SceneGraph:
    """A graph of triples; ends are "id:name", or a name that is the id too, and ":*" is a wildcard."""
    ends = dict.fromkeys(end for subject, _, target in triples for end in (subject, target))
    objects = []
    for end in ends:
        name = end.rpartition(":")[2]
        objects.append(
            SceneObject(id=end, name=None if name == "*" else name, attributes=(attributes or {}).get(end, ()))
        )
    edges = [Relationship(subject=s, predicate=p, object=t) for s, p, t in triples if p != "-"]
    return SceneGraph(tuple(objects), tuple(edges))


def explained(query: SceneGraph, image: SceneGraph) -> Explanation:
    return Explainer(query, RESOLVER).explain(image)


def found(explanation: Explanation) -> dict[str, str | None]:
    return {key: None if match.found is None else match.found.id for key, match in explanation.objects.items()}


def triples(edges: tuple[Relationship, ...]) -> list[tuple[str, str | None, str]]:
    return [(edge.subject, edge.predicate, edge.object) for edge in edges]


def test_what_matches_and_what_is_missing() -> None:
    query = graph(("man", "riding", "horse"), ("horse", "on", "beach"), attributes={"man": ("tall", "old")})
    image = graph(("7:men", "RIDING", "8:horse"), attributes={"7:men": ("Tall",)})

    explanation = explained(query, image)

    assert triples(explanation.matched) == [("man", "riding", "horse")]
    assert triples(explanation.missing) == [("horse", "on", "beach")]
    assert found(explanation) == {"man": "7:men", "horse": "8:horse", "beach": None}
    assert (explanation.objects["man"].matched, explanation.objects["man"].missing) == (("tall",), ("old",))
    assert explanation.share == pytest.approx(3 / 5)
    assert explanation.exact


def test_who_does_what_to_whom_matters() -> None:
    explanation = explained(graph(("man", "riding", "horse")), graph(("horse", "riding", "man")))

    assert triples(explanation.missing) == [("man", "riding", "horse")]
    assert found(explanation) == {"man": "man", "horse": "horse"}


def test_one_object_stands_for_one_only() -> None:
    query = graph(("1:man", "riding", "horse"), ("2:man", "on", "beach"))

    explanation = explained(query, graph(("man", "riding", "horse"), ("man", "on", "beach")))

    assert len(explanation.matched) == 1
    assert [found(explanation)[man] for man in ("1:man", "2:man")].count(None) == 1


def test_the_right_one_of_two_is_taken() -> None:
    image = graph(("1:man", "on", "beach"), ("2:man", "riding", "horse"))
    assert found(explained(graph(("man", "riding", "horse")), image))["man"] == "2:man"


def test_wildcards_match_anything_but_one_thing_each() -> None:
    query = graph(("a:*", None, "horse"), ("b:*", "on", "beach"))
    image = graph(("guy", "riding", "horse"), ("horse", "on", "beach"))

    explanation = explained(query, image)

    assert triples(explanation.matched) == [("a:*", None, "horse")], "the horse on the beach is taken"


def test_names_that_nobody_knows_match_if_written_alike() -> None:
    assert found(explained(graph(("zebra", "-", "zebra")), graph(("1:Zebra", "-", "quokka"))))["zebra"] == "1:Zebra"
    assert found(explained(graph(("zebra", "-", "zebra")), graph(("quokka", "-", "quokka"))))["zebra"] is None


def every_assignment(problem: AssignmentProblem, source: int, used: frozenset[int]) -> Iterator[Assigned]:
    """The oracle: all of them."""
    if source == len(problem.candidates):
        yield []
        return
    for target in (None, *problem.candidates[source]):
        if target is None or target not in used:
            taken = used if target is None else used | {target}
            for rest in every_assignment(problem, source + 1, taken):
                yield [target, *rest]


def random_problem(seed: int, *, sources: int, targets: int, edges: int) -> AssignmentProblem:
    random = np.random.default_rng(seed)
    names, classes = random.integers(0, 3, targets), random.integers(0, 4, sources)  # class 3 is a wildcard
    candidates = [{t: int(random.integers(0, 3)) for t in range(targets) if kind in (3, names[t])} for kind in classes]
    image = random.integers(0, targets, (2 * targets, 2))
    relationships = []
    for _ in range(edges):
        s, t = (int(end) for end in random.integers(0, sources, 2))
        pairs = {(int(a), int(b)) for a, b in image if random.random() < 0.5}
        kept = {(a, b) for a, b in pairs if a in candidates[s] and b in candidates[t] and (s == t) == (a == b)}
        relationships.append((s, t, frozenset(kept)))
    return AssignmentProblem(candidates=candidates, relationships=relationships, targets=targets)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6), sources=st.integers(1, 5), targets=st.integers(1, 6), edges=st.integers(0, 7))
def test_no_assignment_is_better(seed: int, sources: int, targets: int, edges: int) -> None:
    problem = random_problem(seed, sources=sources, targets=targets, edges=edges)
    best = max(problem.value(assigned) for assigned in every_assignment(problem, 0, frozenset()))

    found = assign(problem)

    taken = [target for target in found.assigned if target is not None]
    assert found.exact
    assert len(set(taken)) == len(taken)
    assert problem.value(list(found.assigned)) == best


@pytest.mark.parametrize(("sources", "work_limit"), [(6, 0), (60, 2_000), (250, 2_000)])
def test_a_search_that_takes_too_long_says_so_and_is_still_an_assignment(sources: int, work_limit: int) -> None:
    problem = random_problem(3, sources=sources, targets=80, edges=3 * sources)

    found = assign(problem, work_limit)

    taken = [target for target in found.assigned if target is not None]
    assert not found.exact
    assert len(set(taken)) == len(taken)
    assert all(t is None or t in options for t, options in zip(found.assigned, problem.candidates, strict=True))
    objects_only = AssignmentProblem(candidates=problem.candidates, relationships=[], targets=80)
    assert problem.value(list(found.assigned)) >= problem.value(list(assign(objects_only).assigned))
