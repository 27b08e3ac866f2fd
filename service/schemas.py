"""What requests and responses look like, but for searches; the OpenAPI document is made from these."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from model.formats import GraphFormat
from model.graph_reader import MAX_PROBLEMS
from model.metadata import write_metadata
from service.index.approximate import KIND_PATTERN, parse_index_kind
from service.jobs import JobState

EXAMPLE_GRAPH: Final = {
    "objects": [{"id": "m", "name": "man", "attributes": ["tall"]}, {"id": "h", "name": "horse"}],
    "relationships": [{"subject": "m", "predicate": "riding", "object": "h"}],
}


class RequestModel(BaseModel):
    """A request body: what it does not know it refuses rather than ignores, and it converts nothing."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, value: object) -> object:
        # Each field that is not known is an error of its own, found on the event loop.
        if isinstance(value, dict) and len(value) > MAX_PROBLEMS:
            raise PydanticCustomError("too_many_fields", "has many more fields than there are; see /docs")
        return value


class ResponseModel(BaseModel):
    """A body of an answer."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


def _index_kind(text: str) -> str:
    try:
        return str(parse_index_kind(text))
    except ValueError as error:
        raise PydanticCustomError("index_kind", "{reason}", {"reason": str(error)}) from None


class ReindexRequest(RequestModel):
    """What to build the new index version with."""

    checkpoint: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="Name of a run or checkpoint in the service's DATA_DIR/checkpoints, or `pretrained`, which comes "
        "with SceneRank. Default: SCENERANK_CHECKPOINT, else the model of the version in use, else `pretrained`.",
    )
    index: Annotated[str, AfterValidator(_index_kind)] | None = Field(
        default=None,
        description="Kind of index. `flat`: every search looks at all images. `ivf1024` or `ivf1024,nprobe=32`, for "
        "large catalogues: images are put into that many lists, and a search without `filter` looks into the nprobe "
        "of them that are nearest to it, without nprobe into a sixteenth. Default: that of the version in use, else "
        "`flat`.",
        examples=["ivf1024,nprobe=32"],
        json_schema_extra={"anyOf": [{"type": "string", "pattern": KIND_PATTERN}, {"type": "null"}]},
    )


class JobProgress(ResponseModel):
    """How many images are encoded, of how many."""

    done: int
    total: int


class JobResponse(ResponseModel):
    """A job and how far it is."""

    id: str
    kind: str
    state: JobState
    index: str = Field(description="The kind of index that it makes.")
    progress: JobProgress
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    index_version: str | None = Field(
        description="The version it made, or, if it failed at the very end, the one it was about to put to use."
    )
    error: str | None = Field(description="Why it failed.")


def _printable(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("not_printable", "must be printable characters")
    return text


def _storable(metadata: dict[str, Any]) -> dict[str, Any]:
    try:
        write_metadata(metadata)
    except ValueError as error:
        raise PydanticCustomError("metadata", "{reason}", {"reason": str(error)}) from None
    return metadata


class PutImageRequest(RequestModel):
    """An image for the catalogue."""

    graph: dict[str, Any] = Field(
        description="Its scene graph: native, sg2im, Visual Genome or GQA form, recognised by its shape. Boxes `x`, "
        "`y`, `w`, `h` in pixels and attributes are kept.",
        examples=[EXAMPLE_GRAPH],
    )
    format: GraphFormat | None = Field(default=None, description="The graph's form, where its shape is not to decide.")
    url: Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_printable)] | None = Field(
        default=None, description="Where the picture is.", examples=["https://images.example/2407890.jpg"]
    )
    width: int | None = Field(default=None, ge=1, lt=10**9, description="Units: pixels.")
    height: int | None = Field(default=None, ge=1, lt=10**9, description="Units: pixels.")
    metadata: Annotated[dict[str, Any], AfterValidator(_storable)] | None = Field(
        default=None,
        description="Anything to be kept with it: a JSON object of at most 16 KiB, nested at most 32 levels deep.",
        examples=[{"licence": "CC BY 4.0"}],
    )


class ImageResponse(ResponseModel):
    """An image of the catalogue."""

    image_id: str
    url: str | None
    width: int | None = Field(description="Units: pixels.")
    height: int | None = Field(description="Units: pixels.")
    metadata: dict[str, Any] | None = Field(description="What its owner keeps with it.")
    graph: dict[str, Any] = Field(description="Its scene graph in the native form, with boxes.")
    updated_at: datetime


class IndexResponse(ResponseModel):
    """The index version in use."""

    version: str
    model_version: str
    dimension: int
    count: int = Field(description="Images that can be found.")
    changed: int = Field(description="Of these, images added or changed since the version was made.")
    removed: int = Field(description="Images of the version that have changed or left since.")
    metric: str
    index: str = Field(description="Kind of index, as of POST /reindex.")
    recall: float | None = Field(
        description="Of an `ivf` index, measured when it was made: how much of the exact first 10 it found, on "
        "average, for single relationships of up to 64 of its images."
    )
    created_at: datetime
    catalogue_count: int = Field(description="Images in the catalogue; the same as `count` within a second.")


class IndexVersionResponse(ResponseModel):
    """An index version; what a damaged one is cannot be told."""

    version: str
    usable: bool = Field(description="False if its manifest is damaged or of another release.")
    in_use: bool
    model_version: str | None = None
    dimension: int | None = None
    count: int | None = Field(default=None, description="Images in it, without changes since it was made.")
    index: str | None = Field(default=None, description="Kind of index, as of POST /reindex.")
    recall: float | None = Field(default=None, description="As of GET /index.")
    created_at: datetime | None = None


class IndexVersionsResponse(ResponseModel):
    """The index versions there are, newest first."""

    versions: list[IndexVersionResponse]


class RollbackRequest(RequestModel):
    """Which index version to go back to."""

    version: str | None = Field(
        default=None,
        pattern=r"^[0-9]{8}T[0-9]{12}Z-[0-9a-f]{8}$",
        description="One of GET /index/versions. Default: the newest usable one older than the one in use.",
        examples=["20261124T174501123456Z-0a1b2c3d"],
    )


class VocabularyName(ResponseModel):
    """A name of an object, a predicate or an attribute."""

    name: str
    images: int = Field(description="How many images have it.")
    known: bool = Field(description="Whether the model knows it; another is taken for the nearest that it knows.")


class VocabularyResponse(ResponseModel):
    """Names that begin as was asked for."""

    kind: Literal["object", "predicate", "attribute"]
    prefix: str
    names: list[VocabularyName]
    total: int = Field(description="How many there are in all.")


class Health(ResponseModel):
    """Whether the service can work."""

    status: Literal["alive", "ready"]
    index_version: str | None = None
    problem: str | None = Field(default=None, description="What is wrong although the service can answer.")


class ProblemItem(ResponseModel):
    """One thing wrong with a request."""

    pointer: str = Field(description='JSON pointer into the request\'s body; "" is all of it.')
    detail: str


class Problem(ResponseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(examples=["urn:scenerank:problem:invalid-graph"])
    title: str
    status: int
    detail: str
    instance: str
    errors: list[ProblemItem] | None = Field(default=None, description="With status 422.")
