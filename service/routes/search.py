"""Search by scene graph."""

from collections.abc import Iterator
from time import perf_counter
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body
from fastapi.concurrency import run_in_threadpool

from model.errors import Problem
from model.formats import write_graph
from model.scene_graph import SceneGraph
from service.dependencies import ServicesDep
from service.errors import RequestInvalidError
from service.explain import Explainer
from service.results import results_of
from service.schemas import SearchRequest, SearchResponse, SearchWarning, Took
from service.search import SearchAnswer, SearchQuery, describe, read_query_graph, search
from service.settings import Settings

MAX_EXPLAINED: Final = 100
"""Results of a page with explanations; each takes some milliseconds where a query is large."""

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
    _check_page(body, services.settings)
    version = services.engine.require_version()
    graph = await run_in_threadpool(read_query_graph, body.graph, body.format, services.settings)
    query = SearchQuery(graph=graph, limit=body.limit, offset=body.offset, min_score=body.min_score, strict=body.strict)
    answer = await services.engine.run(search, version, query)
    results = await run_in_threadpool(
        results_of,
        answer,
        offset=body.offset,
        with_graph=body.with_graph,
        explainer=Explainer(graph, version.checkpoint.resolver) if body.explain else None,
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
        warnings=list(_warnings(answer, graph)),
        query=write_graph(graph),
    )


def _check_page(body: SearchRequest, limits: Settings) -> None:
    if body.limit > limits.max_limit:
        raise RequestInvalidError(Problem("/limit", f"limit is at most {limits.max_limit}; ask for pages"))
    if body.explain and body.limit > MAX_EXPLAINED:
        raise RequestInvalidError(Problem("/limit", f"with explain, limit is at most {MAX_EXPLAINED}; ask for pages"))
    if body.offset + body.limit > limits.max_window:
        message = f"offset + limit is at most {limits.max_window}; ask for a smaller part, or a higher min_score"
        raise RequestInvalidError(Problem("/offset", message))


def _warnings(answer: SearchAnswer, graph: SceneGraph) -> Iterator[SearchWarning]:
    for item in answer.substitutions:
        yield SearchWarning(
            pointer=f"/graph{item.pointer}",
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
