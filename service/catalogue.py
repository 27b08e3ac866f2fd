"""The images that can be found: their urls, sizes, metadata and scene graphs, and what has changed since when."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from sqlalchemy import (
    CompoundSelect,
    Connection,
    CursorResult,
    Engine,
    Row,
    cast,
    delete,
    func,
    insert,
    null,
    or_,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from model.collection import ImageRecord
from model.errors import DataError
from model.formats import write_graph
from model.metadata import write_metadata
from service.errors import ForgottenError
from service.tables import ID_LENGTH, Base, CatalogueState, Image, RemovedImage

CHUNK: Final = 1000  # rows written or looked up at once
STREAM_CHUNK: Final = 256  # graphs read at once: about a second of encoding

_IMAGES: Final = Base.metadata.tables[Image.__tablename__]
_CONTENT: Final = ("url", "width", "height", "metadata", "graph")
_SHOWN: Final = tuple(_IMAGES.c[name] for name in ("id", *_CONTENT, "updated_at"))
_LAST_ID: Final = "\U0010ffff"  # above all ids: it is not printable


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueImage:
    """An image as the catalogue holds it; `graph` is the native form as a JSON document."""

    image_id: str
    url: str | None
    width: int | None
    height: int | None
    metadata: dict[str, Any] | None
    graph: dict[str, Any]
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """An image as text, to be copied without being parsed; neither text has a line feed.

    Args:
        image_id: its id.
        fields: a JSON object of its url, width, height, metadata and updated_at.
        graph: its scene graph's native form as JSON.
    """

    image_id: str
    fields: str
    graph: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An image that is new or was altered, or None in its place if it was removed."""

    image_id: str
    image: StoredImage | None


class Catalogue:
    """The images in the database.

    Each transaction that changes some gets the next revision. Writers wait for each other from their first statement
    to their end, so revisions come to be seen in their order, and none turns up below one that was seen already.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._counted: tuple[int, int] | None = None  # a revision, and how many images there were then or later

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
            with self._engine.connect() as connection:
                if _write(connection, list(rows.values()), _next_revision(connection)):
                    connection.commit()
            total += len(chunk)
            if progress is not None:
                progress(len(chunk))
        return total

    def put(self, record: ImageRecord) -> tuple[CatalogueImage, bool]:
        """Add an image, or replace the one of its id.

        Returns:
            The image as it is now, and whether it is new.

        Raises:
            DataError: the catalogue cannot hold it.
        """
        row = _row(record)
        with self._engine.connect() as connection:
            revision = _next_revision(connection)
            is_there = select(Image.id).where(Image.id == record.image_id)
            is_new = connection.scalar(is_there) is None
            changed = _write(connection, [row], revision)
            stored = _image(connection.execute(select(*_SHOWN).where(Image.id == record.image_id)).one())
            if changed:
                connection.commit()
        return stored, is_new

    def delete(self, image_id: str) -> bool:
        """Remove an image; whether it was there."""
        with self._engine.connect() as connection:
            revision = _next_revision(connection)
            if not _count(connection.execute(delete(Image).where(Image.id == image_id))):
                return False
            connection.execute(insert(RemovedImage).values(id=image_id, revision=revision))
            connection.commit()
        return True

    def revision(self) -> int:
        """The number of the last transaction that changed something."""
        with self._engine.connect() as connection:
            return connection.scalars(select(CatalogueState.revision)).one()

    def changes(self, since: int) -> Iterator[list[Change]]:
        """All that has changed after a revision, a chunk at a time, by rising revision.

        Read `revision` before, and give that the next time: what changes meanwhile may come twice, but is never missed.
        Each chunk is one statement, for which an image is in one of the two tables; if it moves between two statements
        it goes to a higher revision, which is still ahead.

        Raises:
            ForgottenError: some images that were removed after this revision have been forgotten.
        """
        last = (since, _LAST_ID)
        while True:
            with self._engine.connect() as connection:
                rows = connection.execute(_changes_after(last)).all()
                # Looked at after the changes: what is forgotten from now on has been seen.
                forgotten = connection.scalars(select(CatalogueState.forgotten)).one()
            if forgotten > since:
                raise ForgottenError(
                    f"images removed up to revision {forgotten} have been forgotten, so the changes since {since} are "
                    "not all there"
                )
            if not rows:
                return
            last = rows[-1].revision, rows[-1].id
            yield [Change(image_id=row.id, image=None if row.graph is None else _stored(row)) for row in rows]

    def prune_removed(self, upto: int) -> int:
        """Forget which images were removed up to a revision, when nobody will ask for changes before it; how many."""
        with self._engine.begin() as connection:
            later = CatalogueState.forgotten < upto
            connection.execute(update(CatalogueState).where(later).values(forgotten=upto))
            return _count(connection.execute(delete(RemovedImage).where(RemovedImage.revision <= upto)))

    def count(self) -> int:
        """How many images there are; counted again only after a change, for a million take PostgreSQL 0.1 s."""
        revision, counted = self.revision(), self._counted
        if counted is None or counted[0] != revision:
            with self._engine.connect() as connection:
                counted = revision, connection.scalar(select(func.count()).select_from(Image)) or 0
            self._counted = counted
        return counted[1]

    def get(self, image_id: str) -> CatalogueImage | None:
        """One image, if it is there."""
        return self.get_many([image_id]).get(image_id)

    def get_many(self, image_ids: Sequence[str]) -> dict[str, CatalogueImage]:
        """Those of these images that are there, by id."""
        return {row.id: _image(row) for row in self._by_id(_SHOWN, image_ids)}

    def stream(self) -> Iterator[list[StoredImage]]:
        """All images, a chunk at a time, by rising id in the order of code points."""
        query = select(*_SHOWN).order_by(Image.id).limit(STREAM_CHUNK)
        chunk = query
        while True:
            with self._engine.connect() as connection:
                rows = connection.execute(chunk).all()
            if not rows:
                return
            chunk = query.where(Image.id > rows[-1].id)
            yield list(map(_stored, rows))

    def _by_id(self, columns: Sequence[Any], image_ids: Sequence[str]) -> Iterator[Any]:
        with self._engine.connect() as connection:
            for start in range(0, len(image_ids), CHUNK):
                query = select(*columns).where(Image.id.in_(image_ids[start : start + CHUNK]))
                yield from connection.execute(query)


def _next_revision(connection: Connection) -> int:
    """Wait for other writers to end, and take the revision of this transaction."""
    step = update(CatalogueState).values(revision=CatalogueState.revision + 1).returning(CatalogueState.revision)
    return connection.scalars(step).one()


def _write(connection: Connection, rows: list[dict[str, Any]], revision: int) -> bool:
    """Insert or replace images; whether that changes anything."""
    match connection.dialect.name:
        case "postgresql":
            new: Any = postgresql.insert(_IMAGES)
        case _:
            new = sqlite.insert(_IMAGES)
    changed = or_(*(_IMAGES.c[name].is_distinct_from(new.excluded[name]) for name in _CONTENT))
    values = {name: new.excluded[name] for name in (*_CONTENT, "updated_at", "revision")}
    write = new.on_conflict_do_update(index_elements=["id"], set_=values, where=changed)
    write = write.execution_options(preserve_rowcount=True)
    written = _count(connection.execute(write, [row | {"revision": revision} for row in rows]))
    connection.execute(delete(RemovedImage).where(RemovedImage.id.in_([row["id"] for row in rows])))
    return written > 0


def _changes_after(last: tuple[int, str]) -> CompoundSelect[Any]:
    """The next changes in both tables; what was removed has no graph."""
    gone = [cast(null(), column.type).label(column.key) for column in _SHOWN[1:]]
    images = select(_IMAGES.c.revision, *_SHOWN).where(tuple_(_IMAGES.c.revision, _IMAGES.c.id) > last)
    removed = select(RemovedImage.revision, RemovedImage.id, *gone)
    removed = removed.where(tuple_(RemovedImage.revision, RemovedImage.id) > last)
    return union_all(images, removed).order_by("revision", "id").limit(STREAM_CHUNK)


def _count(result: CursorResult[Any]) -> int:
    """How many rows a statement has written."""
    return result.rowcount


def _image(row: Row[Any]) -> CatalogueImage:
    return CatalogueImage(
        image_id=row.id,
        url=row.url,
        width=row.width,
        height=row.height,
        metadata=None if row.metadata is None else json.loads(row.metadata),
        graph=json.loads(row.graph),
        updated_at=row.updated_at,
    )


def stored_image(record: ImageRecord) -> StoredImage:
    """An image as the catalogue would give it back, changed this moment.

    Raises:
        DataError: the catalogue cannot hold it.
    """
    return _as_text(**_row(record))


def _stored(row: Row[Any]) -> StoredImage:
    return _as_text(**{name: getattr(row, name) for name in ("id", *_CONTENT, "updated_at")})


def _as_text(
    *,
    id: str,  # noqa: A002 (a column)
    url: str | None,
    width: int | None,
    height: int | None,
    metadata: str | None,
    graph: str,
    updated_at: datetime,
) -> StoredImage:
    fields = {"url": url, "width": width, "height": height, "updated_at": updated_at.isoformat()}
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return StoredImage(image_id=id, fields=f'{text[:-1]},"metadata":{metadata or "null"}}}', graph=graph)


def _row(record: ImageRecord) -> dict[str, Any]:
    image_id = record.image_id
    if not 0 < len(image_id) <= ID_LENGTH or not image_id.isprintable():
        raise DataError(
            f"image id {image_id[: ID_LENGTH + 1]!r} cannot be kept; an id has 1 to {ID_LENGTH} printable characters"
        )
    if record.url is not None and not record.url.isprintable():
        raise DataError(f"the url of image {image_id!r} cannot be kept; it has characters that are not printable")
    try:
        metadata = None if record.metadata is None else write_metadata(record.metadata)
    except ValueError as error:
        raise DataError(f"the metadata of image {image_id!r} {error}") from None
    return {
        "id": image_id,
        "url": record.url or None,
        "width": record.width or None,
        "height": record.height or None,
        "metadata": metadata,
        "graph": json.dumps(write_graph(record.graph), separators=(",", ":")),
        "updated_at": datetime.now(UTC),
    }
