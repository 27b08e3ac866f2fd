"""The catalogue's images."""

from typing import Annotated

from fastapi import APIRouter, Path

from service.dependencies import ServicesDep
from service.errors import NotFoundError
from service.schemas import ImageResponse
from service.tables import ID_LENGTH

router = APIRouter(tags=["catalogue"])

ImageId = Annotated[str, Path(max_length=ID_LENGTH, pattern=r"^[^\x00]+$", examples=["2407890"])]


@router.get("/images/{image_id:path}", summary="An image and its scene graph")
def get_image(image_id: ImageId, services: ServicesDep) -> ImageResponse:
    """The image as the catalogue has it, its scene graph in the native form with boxes and attributes."""
    image = services.catalogue.get(image_id)
    if image is None:
        raise NotFoundError(f"there is no image {image_id!r} in the catalogue")
    return ImageResponse(
        image_id=image.image_id,
        url=image.url,
        width=image.width,
        height=image.height,
        graph=image.graph,
        updated_at=image.updated_at,
    )
