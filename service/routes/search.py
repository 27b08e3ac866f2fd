"""Search by scene graph."""

from collections.abc import Iterator, Sequence
from itertools import islice
from time import perf_counter
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError
from sqlalchemy.exc import OperationalError

from model.errors import SceneRankError
from model.formats import write_graph
from model.graph_reader import MAX_PROBLEMS
from model.scene_graph import SceneGraph
from service.dependencies import Services, ServicesDep
from service.errors import RequestInvalidError, problem_of
from service.explain import Explainer
from service.interpret import check_batch, interpret
from service.invalid_fields import problem_of_field
from service.results import results_of
from service.schemas import BatchRequest, BatchResponse, Problem, SearchRequest, SearchResponse, SearchWarning, Took
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
    "one line of text": {"value": {"text": "man riding horse; horse on beach; not car", "limit": 3}},
    "sg2im form": {"value": {"graph": {"objects": ["man", "horse"], "relationships": [[0, "riding", 1]]}}},
}

_BATCH_EXAMPLES: Final[dict[str, Any]] = {
    "two searches": {
        "value": {
            "queries": [
                {"graph": {"objects": ["man", "horse"], "relationships": [[0, "riding", 1]]}, "limit": 3},
                {"graph": {"objects": ["dog"]}, "filter": {"must_not": [{"object": "car"}]}},
            ]
        }
    }
}


@router.post("/search", summary="Images whose scene graphs are most like a graph", response_model_exclude_unset=True)
async def post_search(
    body: Annotated[SearchRequest, Body(openapi_examples=_EXAMPLES)], services: ServicesDep
) -> SearchResponse:
    """Ranks the indexed images by the inner product of unit vectors, -1..1; ties are broken by image id.

    Names that the model does not know are taken for the nearest known ones and told in `warnings`. Attributes are
    kept, but this version's model does not score them.
    """
    return await _answer(body, services)


@router.post("/search/batch", summary="Several searches in one request", response_model_exclude_unset=True)
async def post_batch(
    body: Annotated[BatchRequest, Body(openapi_examples=_BATCH_EXAMPLES)], request: Request, services: ServicesDep
) -> BatchResponse:
    """Answers up to 100 searches, each in its place as POST /search would: an answer, or a problem document.

    One that fails leaves the others alone. All are answered one after the other, so a large batch takes its time.
    """
    queries = await run_in_threadpool(_read, body.queries)
    check_batch([query for query in queries if isinstance(query, SearchRequest)], services.settings)
    answers: list[SearchResponse | Problem] = []
    for query in queries:
        try:
            if isinstance(query, RequestInvalidError):
                raise query
            answers.append(await _answer(query, services))
        except (SceneRankError, OperationalError) as error:
            document = problem_of(error)
            if document.kind.status == 500:
                raise
            answers.append(Problem(**document.to_json(request.url.path)))
    return BatchResponse(answers=answers)


def _read(queries: Sequence[object]) -> list[SearchRequest | RequestInvalidError]:
    """Each query, or what is wrong with it."""
    return [_read_one(query) for query in queries]


def _read_one(query: object) -> SearchRequest | RequestInvalidError:
    try:
        return SearchRequest.model_validate(query)
    except ValidationError as error:
        return RequestInvalidError(*map(problem_of_field, islice(error.errors(include_url=False), MAX_PROBLEMS + 1)))


async def _answer(body: SearchRequest, services: Services) -> SearchResponse:
    started = perf_counter()
    version = services.engine.require_version()
    query = await run_in_threadpool(interpret, body, version, services.catalogue, services.settings)
    answer = await services.engine.run(search, version, query)
    results = await run_in_threadpool(
        results_of,
        answer,
        offset=body.offset,
        with_graph=body.with_graph,
        explainer=Explainer(query.graph, version.checkpoint.resolver) if body.explain else None,
        catalogue=services.catalogue,
    )
    fields = {} if query.selection is None else {"filter": query.selection.filter.to_json()}
    return SearchResponse(
        **fields,
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
