"""Search by scene graph."""

from collections.abc import Iterator
from time import perf_counter
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body
from fastapi.concurrency import run_in_threadpool

from model.formats import write_graph
from model.scene_graph import SceneGraph
from service.dependencies import ServicesDep
from service.explain import Explainer
from service.interpret import interpret
from service.results import results_of
from service.schemas import SearchRequest, SearchResponse, SearchWarning, Took
from service.search import SearchAnswer, describe, search

router = APIRouter(tags=["search"])

_EXAMPLES: Final[dict[str, Any]] = {
    "man riding horse": {
        "value": {
            "graph": {
                "objects": [{"id": "m", "name": "man"}, {"id": "h", "name": "horse"}],
                "relationships": [{"subject": "m", "predicate": "riding", "object": "h"}],
            },
            "limit": 10,
        }
    },
    "one object": {"value": {"graph": {"objects": [{"id": "h", "name": "horse"}]}}},
    "anything on a table (wildcard)": {
        "value": {
            "graph": {
                "objects": [{"id": "x", "name": "*"}, {"id": "t", "name": "table"}],
                "relationships": [{"subject": "x", "predicate": "on", "object": "t"}],
            }
        }
    },
    "with reasons": {
        "value": {
            "graph": {
                "objects": [{"id": "m", "name": "man"}, {"id": "h", "name": "horse"}, {"id": "b", "name": "beach"}],
                "relationships": [
                    {"subject": "m", "predicate": "riding", "object": "h"},
                    {"subject": "h", "predicate": "on", "object": "b"},
                ],
            },
            "explain": True,
            "limit": 3,
        }
    },
    "only pictures with a man on something and without a car": {
        "value": {
            "graph": {"objects": [{"id": "h", "name": "horse"}]},
            "filter": {"must": [{"triple": ["man", "on", None]}], "must_not": [{"object": "car"}]},
        }
    },
    "sg2im form": {"value": {"graph": {"objects": ["man", "horse"], "relationships": [[0, "riding", 1]]}}},
}


@router.post("/search", summary="Images whose scene graphs are most like a graph", response_model_exclude_unset=True)
async def post_search(
    body: Annotated[SearchRequest, Body(openapi_examples=_EXAMPLES)], services: ServicesDep
) -> SearchResponse:
    """Ranks the indexed images by the inner product of unit vectors, -1..1; ties are broken by image id.

    Names that the model does not know are taken for the nearest known ones and told in `warnings`. Attributes are
    kept, but this version's model does not score them.
    """
    started = perf_counter()
    version = services.engine.require_version()
    query = await run_in_threadpool(interpret, body, version, services.settings)
    answer = await services.engine.run(search, version, query)
    results = await run_in_threadpool(
        results_of,
        answer,
        offset=body.offset,
        with_graph=body.with_graph,
        explainer=Explainer(query.graph, version.checkpoint.resolver) if body.explain else None,
        catalogue=services.catalogue,
    )
    return SearchResponse(
        results=results,
        total=answer.total,
        index_version=version.manifest.version,
        model_version=version.manifest.model_digest,
        took_ms=Took(
            encode=round(answer.encode_ms, 3),
            search=round(answer.search_ms, 3),
            total=round((perf_counter() - started) * 1000, 3),
        ),
        warnings=list(_warnings(answer, query.graph)),
        query=write_graph(query.graph),
    )


def _warnings(answer: SearchAnswer, graph: SceneGraph) -> Iterator[SearchWarning]:
    for item in answer.substitutions:
        yield SearchWarning(
            pointer=item.pointer,
            code=item.how,
            word=item.word,
            taken_for=item.taken_for,
            message=describe(item),
        )
    for position, scene_object in enumerate(graph.objects):
        if scene_object.attributes:
            yield SearchWarning(
                pointer=f"/graph/objects/{position}/attributes",
                code="attributes_not_scored",
                word=scene_object.attributes[0],
                taken_for=None,
                message="this model knows no attributes, so they do not change the ranking",
            )
            return
