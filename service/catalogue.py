"""The images that can be found: their urls, sizes and scene graphs."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, func, insert, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from model.collection import ImageRecord
from model.errors import DataError
from model.formats import read_graph, write_graph
from model.scene_graph import SceneGraph
from service.tables import ID_LENGTH, Image

CHUNK: Final = 1000  # rows written or looked up at once
STREAM_CHUNK: Final = 256  # graphs read at once: about a second of encoding

_CONTENT: Final = ("url", "width", "height", "graph")


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueImage:
    """An image as the catalogue holds it; `graph` is the native form as a JSON document."""

    image_id: str
    url: str | None
    width: int | None
    height: int | None
    graph: dict[str, Any]
    updated_at: datetime


class Catalogue:
    """The images in the database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def upsert(self, records: Iterable[ImageRecord], progress: Callable[[int], None] | None = None) -> int:
        """Add images, replacing those of the same id; what has not changed keeps its time of change.

        Committed chunk by chunk, so a broken import can simply be repeated.

        Args:
            records: the images; of several with one id the last counts.
            progress: told after each chunk how many records it had.

        Returns:
            How many records were read.

        Raises:
            DataError: a record that the catalogue cannot hold.
        """
        total = 0
        records = iter(records)
        while chunk := list(islice(records, CHUNK)):
            rows = {record.image_id: _row(record) for record in chunk}
            with self._engine.begin() as connection:
                _upsert(connection, list(rows.values()))
            total += len(chunk)
            if progress is not None:
                progress(len(chunk))
        return total

    def count(self) -> int:
        """How many images there are."""
        with self._engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(Image)) or 0

    def get(self, image_id: str) -> CatalogueImage | None:
        """One image, if it is there."""
        return self.get_many([image_id]).get(image_id)

    def get_many(self, image_ids: Sequence[str]) -> dict[str, CatalogueImage]:
        """Those of these images that are there, by id."""
        found = {}
        columns = (Image.id, Image.url, Image.width, Image.height, Image.graph, Image.updated_at)
        for image_id, url, width, height, graph, updated_at in self._by_id(columns, image_ids):
            found[image_id] = CatalogueImage(
                image_id=image_id,
                url=url,
                width=width,
                height=height,
                graph=json.loads(graph),
                updated_at=updated_at,
            )
        return found

    def urls(self, image_ids: Sequence[str]) -> dict[str, str | None]:
        """The urls of those of these images that are there."""
        return dict(self._by_id((Image.id, Image.url), image_ids))

    def graphs(self) -> Iterator[list[tuple[str, SceneGraph]]]:
        """All images' ids and scene graphs, a chunk at a time, by rising id in the order of code points."""
        last: str | None = None
        while True:
            query = select(Image.id, Image.graph).order_by(Image.id).limit(STREAM_CHUNK)
            if last is not None:
                query = query.where(Image.id > last)
            with self._engine.connect() as connection:
                rows = connection.execute(query).all()
            if not rows:
                return
            last = rows[-1].id
            yield [(row.id, read_graph(json.loads(row.graph), "native")) for row in rows]

    def _by_id(self, columns: Sequence[Any], image_ids: Sequence[str]) -> Iterator[Any]:
        with self._engine.connect() as connection:
            for start in range(0, len(image_ids), CHUNK):
                query = select(*columns).where(Image.id.in_(image_ids[start : start + CHUNK]))
                yield from connection.execute(query)


def _row(record: ImageRecord) -> dict[str, Any]:
    image_id = record.image_id
    if not 0 < len(image_id) <= ID_LENGTH or not image_id.isprintable():
        raise DataError(
            f"image id {image_id[: ID_LENGTH + 1]!r} cannot be kept; an id has 1 to {ID_LENGTH} printable characters"
        )
    if record.url is not None and not record.url.isprintable():
        raise DataError(f"the url of image {image_id!r} cannot be kept; it has characters that are not printable")
    return {
        "id": image_id,
        "url": record.url or None,
        "width": record.width or None,
        "height": record.height or None,
        "graph": json.dumps(write_graph(record.graph), separators=(",", ":")),
        "updated_at": datetime.now(UTC),
    }


def _upsert(connection: Connection, rows: list[dict[str, Any]]) -> None:
    match connection.dialect.name:
        case "sqlite":
            lite = sqlite.insert(Image)
            changed = or_(*(getattr(Image, name).is_distinct_from(lite.excluded[name]) for name in _CONTENT))
            values = {name: lite.excluded[name] for name in (*_CONTENT, "updated_at")}
            connection.execute(lite.on_conflict_do_update(index_elements=["id"], set_=values, where=changed), rows)
        case "postgresql":
            post = postgresql.insert(Image)
            changed = or_(*(getattr(Image, name).is_distinct_from(post.excluded[name]) for name in _CONTENT))
            values = {name: post.excluded[name] for name in (*_CONTENT, "updated_at")}
            connection.execute(post.on_conflict_do_update(index_elements=["id"], set_=values, where=changed), rows)
        case _:
            connection.execute(delete(Image).where(Image.id.in_([row["id"] for row in rows])))
            connection.execute(insert(Image), rows)
