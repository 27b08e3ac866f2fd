"""The database's tables."""

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import BigInteger, DateTime, Dialect, Float, Index, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

SCHEMA_REVISION: Final = "0004"
"""The last migration: what it leaves are these tables."""

ID_LENGTH: Final = 200

# An index breaks ties by image id in the order of code points; SQLite compares so, PostgreSQL only if told.
_Id = String(ID_LENGTH).with_variant(String(ID_LENGTH, collation="C"), "postgresql")


class UtcDateTime(TypeDecorator[datetime]):
    """A moment with its time zone, in databases that have none too."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:  # noqa: ANN401, ARG002, D102
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ANN401, ARG002, D102
        if value is None:
            return None
        assert isinstance(value, datetime)
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """All tables."""


class CatalogueState(Base):
    """One row: the last transaction that changed the catalogue, and up to which one removals are forgotten."""

    __tablename__ = "catalogue_state"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    revision: Mapped[int] = mapped_column(BigInteger)
    forgotten: Mapped[int] = mapped_column(BigInteger, server_default="0")


class Image(Base):
    """An image of the catalogue.

    `graph` is its scene graph's native form as JSON text, `details` what its owner keeps with it, a JSON object as
    text, and `revision` that of the transaction that changed it last.
    """

    __tablename__ = "images"
    __table_args__ = (Index("ix_images_revision", "revision", "id"),)

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    url: Mapped[str | None] = mapped_column(Text)
    width: Mapped[int | None] = mapped_column(Integer)
    height: Mapped[int | None] = mapped_column(Integer)
    graph: Mapped[str] = mapped_column(Text)
    details: Mapped[str | None] = mapped_column("metadata", Text)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revision: Mapped[int] = mapped_column(BigInteger, server_default="0")


class RemovedImage(Base):
    """An image that was deleted, and in which transaction; it is here or in `images`, never in both."""

    __tablename__ = "removed_images"
    __table_args__ = (Index("ix_removed_images_revision", "revision", "id"),)

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger)


class Job(Base):
    """A piece of long work.

    `slot` is unique: "reindex" while one is enqueued or running, null otherwise, so that over all processes there is
    at most one.
    """

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16), index=True)
    slot: Mapped[str | None] = mapped_column(String(32), unique=True)
    idempotency_key: Mapped[str | None] = mapped_column(String(200), unique=True)
    checkpoint: Mapped[str] = mapped_column(Text)
    index_kind: Mapped[str] = mapped_column(String(32), server_default="flat")
    done: Mapped[int] = mapped_column(Integer, default=0)
    total: Mapped[int] = mapped_column(Integer, default=0)
    index_version: Mapped[str | None] = mapped_column(String(64))
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    heartbeat_at: Mapped[float] = mapped_column(Float)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
