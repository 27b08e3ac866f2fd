"""Search by scene graph."""

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from time import perf_counter
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError
from sqlalchemy.exc import OperationalError

from model.errors import SceneRankError
from model.formats import write_graph
from model.graph_reader import MAX_PROBLEMS
from service import tracing
from service.dependencies import MetricsDep, Services, ServicesDep
from service.errors import RequestInvalidError, problem_of
from service.interpret import check_batch, interpret
from service.invalid_fields import problem_of_field
from service.metrics import Metrics
from service.results import results_of
from service.schemas import Problem
from service.search import SearchQuery, describe
from service.search_schemas import BatchRequest, BatchResponse, SearchRequest, SearchResponse, SearchWarning, Took

router = APIRouter(tags=["search"])

_SHORT_PAGE: Final = 100  # results

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
    "the best 200 ordered by what they really have": {
        "value": {"text": "man riding horse; horse on beach", "rerank": "triples", "explain": True, "limit": 5}
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


@router.post("/search", summary="Images whose scene graphs are most like a graph", response_model=SearchResponse)
async def post_search(
    body: Annotated[SearchRequest, Body(openapi_examples=_EXAMPLES)], services: ServicesDep, metrics: MetricsDep
) -> Response:
    """Ranks the indexed images by the inner product of unit vectors, -1..1; ties are broken by image id.

    Names that the model does not know are taken for the nearest known ones and told in `warnings`. Attributes are
    kept, but this version's model does not score them.
    """
    return respond(await answer(body, services, metrics))


@router.post("/search/batch", summary="Several searches in one request", response_model=BatchResponse)
async def post_batch(
    body: Annotated[BatchRequest, Body(openapi_examples=_BATCH_EXAMPLES)],
    request: Request,
    services: ServicesDep,
    metrics: MetricsDep,
) -> Response:
    """Answers up to 100 searches, each in its place as POST /search would: an answer, or a problem document.

    One that fails leaves the others alone. All are encoded and looked up together, which costs less than one by one.
    """
    queries = await run_in_threadpool(_read, body.queries)
    check_batch([query for query in queries if isinstance(query, SearchRequest)], services.settings)
    # Together, so that they are encoded and looked up together.
    answers = await asyncio.gather(*(_answer_or_problem(query, request, services, metrics) for query in queries))
    return respond(BatchResponse(answers=answers))


async def _answer_or_problem(
    query: SearchRequest | RequestInvalidError, request: Request, services: Services, metrics: Metrics
) -> SearchResponse | Problem:
    try:
        if isinstance(query, RequestInvalidError):
            raise query
        return await answer(query, services, metrics)
    except (SceneRankError, OperationalError) as error:
        document = problem_of(error)
        if document.kind.status == 500:
            raise
        return Problem(**document.to_json(request.url.path))


def _read(queries: Sequence[object]) -> list[SearchRequest | RequestInvalidError]:
    """Each query, or what is wrong with it."""
    return [_read_one(query) for query in queries]


def _read_one(query: object) -> SearchRequest | RequestInvalidError:
    try:
        return SearchRequest.model_validate(query)
    except ValidationError as error:
        return RequestInvalidError(*map(problem_of_field, islice(error.errors(include_url=False), MAX_PROBLEMS + 1)))


async def answer(body: SearchRequest, services: Services, metrics: Metrics) -> SearchResponse:
    """What a search finds.

    Raises:
        SceneRankError: what `interpret` raises, or there is no index that can be searched.
    """
    started = perf_counter()
    snapshot = services.engine.require_snapshot()
    read = partial(interpret, body, snapshot, services.settings)
    if _is_short(body):
        query, answer, results = await services.engine.run(
            read, lambda query, answer: (query, answer, results_of(query, answer, body))
        )
    else:
        query = await run_in_threadpool(read)
        answer = await services.engine.search(query)
        results = await run_in_threadpool(results_of, query, answer, body)
    tracing.record(encode=answer.encode_ms, lookup=answer.search_ms)
    warnings = list(_warnings(query))
    metrics.count_warnings(warning.code for warning in warnings)
    fields = {} if query.filter is None else {"filter": query.filter.to_json()}
    return SearchResponse(
        **fields,
        results=results,
        total=answer.total,
        total_is_exact=answer.total_is_exact,
        index_version=snapshot.name,
        model_version=snapshot.version.manifest.model_digest,
        took_ms=Took(
            encode=round(answer.encode_ms, 3),
            search=round(answer.search_ms, 3),
            total=round((perf_counter() - started) * 1000, 3),
        ),
        warnings=warnings,
        query=write_graph(query.graph),
    )


def _is_short(body: SearchRequest) -> bool:
    """Whether reading a request and making its results takes so little that it need not have a thread of its own."""
    asks_more = body.explain or body.with_graph or body.rerank is not None
    return body.graph is not None and body.filter is None and not asks_more and body.limit <= _SHORT_PAGE


def respond(answer: SearchResponse | BatchResponse) -> Response:
    """An answer as it stands: it was valid when it was made. What was not asked for is not set, and so not sent."""
    return Response(answer.model_dump_json(exclude_unset=True), media_type="application/json")


def _warnings(query: SearchQuery) -> Iterator[SearchWarning]:
    for item in query.substitutions:
        yield SearchWarning(
            pointer=item.pointer,
            code=item.how,
            word=item.word,
            taken_for=item.taken_for,
            message=describe(item),
        )
    for position, scene_object in enumerate(query.graph.objects):
        if scene_object.attributes:
            yield SearchWarning(
                pointer=f"/graph/objects/{position}/attributes",
                code="attributes_not_scored",
                word=scene_object.attributes[0],
                taken_for=None,
                message="this model knows no attributes, so they do not change the ranking",
            )
            return
