"""The catalogue's images."""

from hashlib import sha256
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Depends, Header, Path, Response, status
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from model.collection import ImageRecord
from model.errors import Problem
from model.formats import read_graph
from service.catalogue import CatalogueImage
from service.dependencies import Services, ServicesDep, require_admin
from service.errors import NotFoundError, RequestInvalidError
from service.interpret import read_query_graph
from service.pictures import MEDIA_TYPES, local_picture
from service.schemas import ImageResponse, PutImageRequest
from service.tables import ID_LENGTH
from service.thumbnail import draw

router = APIRouter(tags=["catalogue"])

ImageId = Annotated[
    str,
    Path(
        max_length=ID_LENGTH,
        pattern=r"^[^\x00]+$",
        description="Any printable characters, slashes too; a last part `thumbnail.svg` or `picture` asks for that.",
        examples=["2407890"],
    ),
]

_THUMBNAIL: Final = "/thumbnail.svg"
_PICTURE: Final = "/picture"
_SVG_HEADERS: Final = {
    # Opened by itself a picture is a document: it may load and run nothing.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
_PUT_EXAMPLES: Final[dict[str, Any]] = {
    "with boxes": {
        "value": {
            "url": "https://images.example/2407890.jpg",
            "width": 640,
            "height": 480,
            "metadata": {"licence": "CC BY 4.0"},
            "graph": {
                "objects": [
                    {"id": "m", "name": "man", "attributes": ["tall"], "x": 220, "y": 60, "w": 120, "h": 260},
                    {"id": "h", "name": "horse", "x": 120, "y": 170, "w": 380, "h": 290},
                ],
                "relationships": [{"subject": "m", "predicate": "riding", "object": "h"}],
            },
        }
    },
    "sg2im form": {"value": {"graph": {"objects": ["man", "horse"], "relationships": [[0, "riding", 1]]}}},
}


@router.get(
    "/images/{image_id:path}" + _THUMBNAIL,
    summary="A picture of an image's scene graph",
    response_class=Response,
    responses={
        200: {"content": {"image/svg+xml": {"schema": {"type": "string"}}}},
        304: {"description": "The picture is still the one of the `ETag` in `If-None-Match`."},
    },
)
def get_thumbnail(
    image_id: ImageId,
    services: ServicesDep,
    if_none_match: Annotated[str | None, Header(description="An `ETag` of this picture.")] = None,
) -> Response:
    """The layout of the image's boxes, 320 pixels wide, or the graph itself where there are no boxes."""
    image = _find(services, image_id)
    etag = f'"{sha256(f"{image.image_id} {image.updated_at.isoformat()}".encode()).hexdigest()[:24]}"'
    headers = {**_SVG_HEADERS, "ETag": etag}
    if if_none_match is not None and etag in if_none_match:
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    picture = draw(read_graph(image.graph, "native"), image.width, image.height)
    return Response(picture, media_type="image/svg+xml", headers=headers)


@router.get(
    "/images/{image_id:path}" + _PICTURE,
    summary="An image's picture, where it is a file",
    response_class=FileResponse,
    responses={200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}},
)
def get_picture(image_id: ImageId, services: ServicesDep) -> FileResponse:
    """The file of the image's `file:` URL, if it lies in SCENERANK_PICTURES_DIR; else 404.

    Pictures elsewhere are for the client to load: their `url` is in every answer.
    """
    path = local_picture(_find(services, image_id).url, services.settings.pictures_dir)
    if path is None:
        raise NotFoundError(f"there is no file of {image_id!r} to give; only those in SCENERANK_PICTURES_DIR are given")
    headers = {**_SVG_HEADERS, "Cache-Control": "private, max-age=600"}
    return FileResponse(path, media_type=MEDIA_TYPES[path.suffix.lower()], headers=headers)


@router.api_route("/images/{image_id:path}" + _THUMBNAIL, methods=["PUT", "DELETE"], include_in_schema=False)
@router.api_route("/images/{image_id:path}" + _PICTURE, methods=["PUT", "DELETE"], include_in_schema=False)
async def refuse_change() -> None:
    """No image has such an id, so it is none that could be changed."""
    raise HTTPException(status.HTTP_405_METHOD_NOT_ALLOWED)


@router.get("/images/{image_id:path}", summary="An image and its scene graph")
def get_image(image_id: ImageId, services: ServicesDep) -> ImageResponse:
    """The image as the catalogue has it, its scene graph in the native form with boxes and attributes."""
    return _response(_find(services, image_id))


@router.put(
    "/images/{image_id:path}",
    summary="Add or replace an image",
    dependencies=[Depends(require_admin)],
    responses={201: {"model": ImageResponse, "description": "The image is new."}},
)
def put_image(
    image_id: ImageId,
    body: Annotated[PutImageRequest, Body(openapi_examples=_PUT_EXAMPLES)],
    services: ServicesDep,
    response: Response,
) -> ImageResponse:
    """The image is as the body says, and searchable within a second, in every process, without a reindex.

    What the body leaves out the image has not: nothing is kept of the one it replaces.
    """
    if not image_id.isprintable():
        raise RequestInvalidError(Problem("", "path parameter image_id: must be printable characters"))
    record = ImageRecord(
        image_id=image_id,
        graph=read_query_graph(body.graph, body.format, services.settings),
        url=body.url,
        width=body.width,
        height=body.height,
        metadata=body.metadata,
    )
    stored, is_new = services.catalogue.put(record)
    services.engine.nudge()
    if is_new:
        response.status_code = status.HTTP_201_CREATED
    return _response(stored)


@router.delete(
    "/images/{image_id:path}",
    summary="Remove an image",
    status_code=status.HTTP_204_NO_CONTENT,
    dependencies=[Depends(require_admin)],
)
def delete_image(image_id: ImageId, services: ServicesDep) -> None:
    """The image is gone from the catalogue, and within a second from every process's searches, without a reindex."""
    if not services.catalogue.delete(image_id):
        raise _missing(image_id)
    services.engine.nudge()


def _find(services: Services, image_id: str) -> CatalogueImage:
    image = services.catalogue.get(image_id)
    if image is None:
        raise _missing(image_id)
    return image


def _missing(image_id: str) -> NotFoundError:
    return NotFoundError(f"there is no image {image_id!r} in the catalogue")


def _response(image: CatalogueImage) -> ImageResponse:
    return ImageResponse(
        image_id=image.image_id,
        url=image.url,
        width=image.width,
        height=image.height,
        metadata=image.metadata,
        graph=image.graph,
        updated_at=image.updated_at,
    )
