"""The results of a page: what was found, with what is known of it."""

import json
from collections.abc import Sequence
from typing import Any

from model.formats import read_graph
from model.scene_graph import Relationship, SceneGraph
from service.explain import Explainer, Explanation
from service.rerank import rerank
from service.search import SearchAnswer, SearchQuery
from service.search_schemas import MatchedObject, Result, ResultExplanation, SearchRequest, Triple


def results_of(query: SearchQuery, answer: SearchAnswer, body: SearchRequest) -> list[Result]:
    """The hits of a page, with all that the request asks for.

    Args:
        query: what was searched.
        answer: the page; with `rerank` the best images from the first on, of which the page is then cut.
        body: the request.
    """
    images = list(answer.images)
    explanations: Sequence[Explanation | None] = [None] * len(images)
    ranking = list(enumerate(answer.scores))
    if body.explain or body.rerank is not None:
        explainer = Explainer(query.graph, query.snapshot.version.checkpoint.resolver)
        found = [explainer.explain(read_graph(json.loads(image.graph), "native")) for image in images]
        explanations = found
        if body.rerank is not None:
            ranking = rerank(images, answer.scores, found)[body.offset : body.offset + body.limit]
    results = []
    for rank, (place, score) in enumerate(ranking, body.offset + 1):
        image, explanation = images[place], explanations[place]
        known = json.loads(image.fields)
        # What was not asked for is not set, and so not sent.
        fields: dict[str, Any] = {"url": known["url"]}
        if body.rerank is not None:
            fields["embedding_score"] = answer.scores[place]
        if body.with_metadata:
            fields["metadata"] = known["metadata"]
        if body.with_graph:
            fields["graph"] = json.loads(image.graph)
        if body.explain and explanation is not None:
            fields["explanation"] = _explanation(query.graph, explanation)
        results.append(Result(rank=rank, image_id=image.image_id, score=score, **fields))
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
