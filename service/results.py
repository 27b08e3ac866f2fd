"""The results of a page: what the index found, with what the catalogue knows of it."""

from collections.abc import Sequence
from typing import Any

from model.formats import read_graph
from model.scene_graph import Relationship, SceneGraph
from service.catalogue import Catalogue
from service.explain import Explainer, Explanation
from service.schemas import MatchedObject, Result, ResultExplanation, Triple
from service.search import SearchAnswer


def results_of(
    answer: SearchAnswer, *, offset: int, with_graph: bool, explainer: Explainer | None, catalogue: Catalogue
) -> list[Result]:
    """The hits of a page; an image that has left the catalogue since has neither url nor graph nor explanation.

    Args:
        answer: the page.
        offset: how many images come before it.
        with_graph: give the images' graphs.
        explainer: explains each image to the query; None for no explanations.
        catalogue: where the rest is known.
    """
    hits = enumerate(zip(answer.image_ids, answer.scores, strict=True), offset + 1)
    if not with_graph and explainer is None:
        urls = catalogue.urls(answer.image_ids)
        return [
            Result(rank=rank, image_id=image_id, score=score, url=urls.get(image_id))
            for rank, (image_id, score) in hits
        ]
    images = catalogue.get_many(answer.image_ids)
    results = []
    for rank, (image_id, score) in hits:
        image = images.get(image_id)
        # What was not asked for is not set, and so not sent.
        fields: dict[str, Any] = {"url": image.url if image else None}
        if with_graph:
            fields["graph"] = image.graph if image else None
        if explainer is not None:
            fields["explanation"] = (
                _explanation(explainer.query, explainer.explain(read_graph(image.graph, "native"))) if image else None
            )
        results.append(Result(rank=rank, image_id=image_id, score=score, **fields))
    return results


def _explanation(query: SceneGraph, explanation: Explanation) -> ResultExplanation:
    names = {item.id: item.name for item in query.objects}

    def triples(edges: Sequence[Relationship]) -> list[Triple]:
        return [(names[edge.subject], edge.predicate, names[edge.object]) for edge in edges]

    return ResultExplanation(
        matched=triples(explanation.matched),
        missing=triples(explanation.missing),
        objects={
            key: None
            if match.found is None
            else MatchedObject(
                id=match.found.id,
                name=match.found.name,
                attributes=list(match.matched),
                missing_attributes=list(match.missing),
            )
            for key, match in explanation.objects.items()
        },
        exact=explanation.exact,
    )
