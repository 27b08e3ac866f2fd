"""Names, for completing what somebody types."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Query, Request

from service.dependencies import ServicesDep
from service.index.state import NameKind
from service.schemas import VocabularyName, VocabularyResponse
from service.vocabulary_search import VocabularySearch

router = APIRouter(tags=["search"])


def vocabulary_of(request: Request) -> VocabularySearch:
    """What finds the application's names."""
    return cast("VocabularySearch", request.app.state.vocabulary)


@router.get("/vocabulary", summary="Names that begin so")
def get_vocabulary(
    services: ServicesDep,
    vocabulary: Annotated[VocabularySearch, Depends(vocabulary_of)],
    kind: Annotated[NameKind, Query(description="Of what.", examples=["object"])],
    prefix: Annotated[
        str, Query(max_length=200, description="How the name, or a later word of it, begins.", examples=["tr"])
    ] = "",
    limit: Annotated[int, Query(ge=1, le=100, description="How many names.", examples=[10])] = 10,
) -> VocabularyResponse:
    """Names that the model knows or that images have, for completing what somebody types.

    Those that begin with the prefix come first, then those of which a later word does; of each those that most images
    have, then in the order of the alphabet. Attributes are those of the images: the model knows none.
    """
    names, total = vocabulary.names(kind, services.engine.require_snapshot()).find(prefix, limit)
    return VocabularyResponse(
        kind=kind,
        prefix=prefix,
        names=[VocabularyName(name=one.name, images=one.images, known=one.known) for one in names],
        total=total,
    )
