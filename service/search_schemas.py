"""What searches look like: their requests and answers; the OpenAPI document is made from these."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from model.formats import GraphFormat
from model.resolution import How
from service.filters import MAX_CONDITIONS
from service.schemas import EXAMPLE_GRAPH, Problem, RequestModel, ResponseModel
from service.tables import ID_LENGTH

MAX_QUERIES: Final = 100
"""Searches in one batch."""


class FilterCondition(RequestModel):
    """Something that an image has or has not: exactly one of the three."""

    object: str | None = Field(default=None, description="It has an object of this name.", examples=["car"])
    attribute: list[str | None] | None = Field(
        default=None,
        min_length=2,
        max_length=2,
        description="It has an object of this name (null: any) with this attribute (null: any).",
        examples=[["horse", "white"]],
    )
    triple: list[str | None] | None = Field(
        default=None,
        min_length=3,
        max_length=3,
        description="It has a relationship of this subject, predicate and object; null or `*` is any.",
        examples=[["man", "riding", None]],
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if [self.object, self.attribute, self.triple].count(None) != 2:
            raise PydanticCustomError("one_condition", "needs exactly one of object, attribute and triple")
        if self.object == "*":
            raise PydanticCustomError("no_condition", "every image has some object; name one, or leave this out")
        return self


class SearchFilter(RequestModel):
    """Which images may be in the ranking at all, decided before it over the whole index."""

    must: list[FilterCondition] = Field(default=[], max_length=MAX_CONDITIONS, description="Each of these holds.")
    must_not: list[FilterCondition] = Field(default=[], max_length=MAX_CONDITIONS, description="None of these holds.")


class SearchRequest(RequestModel):
    """A scene, or any non-empty part of one, and which page of the ranking to give."""

    graph: Annotated[
        dict[str, Any] | None,
        Field(
            description="A scene graph: native, sg2im, Visual Genome or GQA form, recognised by its shape. One object "
            'is enough; null or "*" as a name, a predicate or an end of a relationship means any.',
            examples=[EXAMPLE_GRAPH, {"objects": ["man", "horse"], "relationships": [[0, "riding", 1]]}],
        ),
    ] = None
    image_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=ID_LENGTH,
        description="Instead of `graph`: the scene graph of this image of the catalogue is the query. The image itself "
        "is in the ranking, as any other.",
        examples=["2407890"],
    )
    text: str | None = Field(
        default=None,
        min_length=1,
        max_length=4000,
        description="Instead of `graph`: one line of the query language. Clauses are separated by `;`, each a thing or "
        "a relationship of two, split at the longest known predicate; `*` is anything, `man#2` a second man, words "
        "before a name are its attributes, and `not` excludes, as `must_not` of a filter does. An unknown predicate is "
        "written `[some words]`, a name of several unknown words in double quotes.",
        examples=["man riding horse; horse on beach; tall man; not car"],
    )
    format: GraphFormat | None = Field(default=None, description="The graph's form, where its shape is not to decide.")
    limit: int = Field(default=10, ge=1, description="How many results; at most SCENERANK_MAX_LIMIT.")
    offset: int = Field(default=0, ge=0, description="How many results to leave out before the page.")
    min_score: float | None = Field(
        default=None, ge=-1, le=1, allow_inf_nan=False, description="Leave out images with a lower score."
    )
    strict: bool = Field(default=False, description="Answer 422 instead of taking unknown names for near ones.")
    with_graph: bool = Field(default=False, description="Give each result's scene graph.")
    with_metadata: bool = Field(default=False, description="Give each result's metadata.")
    filter: SearchFilter | None = Field(
        default=None,
        description="Rank only the images that meet this; `total` and pages are exact. Names are taken as in graphs.",
        examples=[{"must": [{"triple": ["man", "riding", None]}], "must_not": [{"object": "car"}]}],
    )
    explain: bool = Field(
        default=False,
        description="Give for each result what of the query it has, what it lacks, and which of its objects stands "
        "for which of the query's; `limit` is then at most 100.",
    )
    rerank: Literal["triples"] | None = Field(
        default=None,
        description="`triples`: order the best 200 anew, by half their score and half the share of the query's "
        "relationships and objects that the image really has; `offset + limit` is then at most 200. `min_score` and "
        "`total` go by the score before.",
    )


Triple = tuple[str | None, str | None, str | None]


class MatchedObject(ResponseModel):
    """The image's object that stands for one of the query's."""

    id: str = Field(description="Its id in the image's graph.")
    name: str | None = Field(description="Its name there.")
    attributes: list[str] = Field(description="Those of the query object's attributes that it has.")
    missing_attributes: list[str] = Field(description="Those that it has not.")


class ResultExplanation(ResponseModel):
    """What of the query an image has, by a best one-to-one assignment of objects.

    Most relationships count first, then most objects, then most attributes. Names are compared as the vocabulary takes
    them; wildcards match anything.
    """

    matched: list[Triple] = Field(
        description="Relationships of the query that hold in the image: names as in `query`, null for any.",
        examples=[[["man", "riding", "horse"]]],
    )
    missing: list[Triple] = Field(description="Those that do not.", examples=[[["horse", "on", "beach"]]])
    objects: dict[str, MatchedObject | None] = Field(
        description="For each object of the query, by its id in `query`, what stands for it; null if nothing does."
    )
    exact: bool = Field(description="False if finding the best assignment would have taken too long.")


class Result(ResponseModel):
    """An image found.

    `score` is the inner product of unit vectors, -1..1, rounded to six decimals; with `rerank` half of that and half
    the share of the query that the image has.
    """

    rank: int = Field(description="1 is the best of all pages.")
    image_id: str
    score: float
    url: str | None
    embedding_score: float | None = Field(default=None, description="The score before `rerank`.")
    metadata: dict[str, Any] | None = Field(default=None, description="Only with `with_metadata`.")
    graph: dict[str, Any] | None = Field(default=None, description="Only with `with_graph`.")
    explanation: ResultExplanation | None = Field(default=None, description="Only with `explain`.")


class SearchWarning(ResponseModel):
    """Something in the query that was not taken as it stands."""

    pointer: str = Field(
        description="JSON pointer into the request, its graph written in the native form as in the answer's `query`."
    )
    code: How | Literal["attributes_not_scored"]
    word: str | None
    taken_for: str | None = Field(description="The known name used instead; null is the learned unknown.")
    message: str


class Took(ResponseModel):
    """Where the time went. Units: milliseconds."""

    encode: float
    search: float
    total: float


class SearchResponse(ResponseModel):
    """A page of the ranking; ties are broken by image id, so pages of one `index_version` never overlap."""

    results: list[Result]
    total: int = Field(
        description="Images in the ranking over all pages: those with at least `min_score` that meet `filter`."
    )
    total_is_exact: bool = Field(
        description="False if there may be more: an `ivf` index ranks only what is in the lists that it looks into, "
        "and pages end with those. With `filter` all images are looked at, but not in Milvus, where also a `total` "
        "with `min_score` ends at 16384."
    )
    index_version: str = Field(
        description="The state that was searched: a version, and after a `+` the catalogue's revision if something has "
        "changed since the version was made."
    )
    model_version: str = Field(description="Digest of the model.")
    took_ms: Took
    warnings: list[SearchWarning]
    query: dict[str, Any] = Field(description="The graph as it was understood, in the native form.")
    filter: dict[str, Any] | None = Field(
        default=None, description="The filter, if there is one, with what `text` excludes at the end of `must_not`."
    )


class BatchRequest(RequestModel):
    """Searches to be answered one after the other."""

    queries: list[Any] = Field(
        min_length=1,
        max_length=MAX_QUERIES,
        description="Bodies of POST /search. Together they may ask for SCENERANK_MAX_WINDOW results, and for 1000 "
        "images to be explained.",
        json_schema_extra={"items": {"$ref": "#/components/schemas/SearchRequest"}},
    )


class BatchResponse(ResponseModel):
    """Answers in the order of the queries: what POST /search would have answered, a problem document included."""

    answers: list[SearchResponse | Problem]
