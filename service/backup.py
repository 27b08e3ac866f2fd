"""A backup: the catalogue, and the index version in use, as one tar file that any database can be filled from.

    backup.json                     what it is: {"format_version": 1, "catalogue_revision": ..., "index_version": ...}
    index/<version>/...             the files of the index version, as they are
    catalogue/images-<n>.jsonl      the images by rising id, one row of the table a line
    catalogue/removed-<n>.jsonl     which images were removed, and in which revision
    digests.json                    the SHA-256 of every member before it; without it a backup is not whole

The catalogue is read in one transaction, so it is that of one revision, and the index version is not of a later one.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from sqlalchemy import Connection, Engine, Table, select

from service.errors import IndexVersionError
from service.index.manifest import read_manifest
from service.index.versions import IndexStore
from service.tables import Base, CatalogueState, Image, RemovedImage

FORMAT_VERSION: Final = 1
HEADER: Final = "backup.json"
DIGESTS: Final = "digests.json"
IMAGES: Final = Base.metadata.tables[Image.__tablename__]
REMOVED: Final = Base.metadata.tables[RemovedImage.__tablename__]

_ROWS: Final = 5000  # of a member: some 10 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSummary:
    """What a backup holds.

    Args:
        catalogue_revision: of the catalogue.
        images: how many.
        index_version: the index version, if there is one.
    """

    catalogue_revision: int
    images: int
    index_version: str | None


def write_backup(engine: Engine, store: IndexStore | None, file: IO[bytes]) -> BackupSummary:
    """Write a backup while the service goes on.

    Args:
        engine: the database.
        store: the index versions; None leaves the index out.
        file: where to; it need not be seekable.

    Raises:
        IndexVersionError: the index version in use is damaged, or was removed meanwhile.
    """
    # Before the catalogue, so that the catalogue knows of all that is in it.
    version = store.current() if store is not None else None
    with engine.connect() as connection, tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        _begin_reading(connection)
        revision, forgotten = connection.execute(select(CatalogueState.revision, CatalogueState.forgotten)).one()
        writer = _Writer(archive)
        header = {
            "format_version": FORMAT_VERSION,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "catalogue_revision": revision,
            "forgotten": forgotten,
            "index_version": version,
        }
        writer.add(HEADER, _json(header))
        if store is not None and version is not None:
            _write_index(writer, store.directory(version))
        images = 0
        for number, rows in enumerate(_chunks(connection, IMAGES)):
            images += len(rows)
            writer.add(f"catalogue/images-{number:06}.jsonl", b"".join(map(_json, rows)))
        for number, rows in enumerate(_chunks(connection, REMOVED)):
            writer.add(f"catalogue/removed-{number:06}.jsonl", b"".join(map(_json, rows)))
        writer.add(DIGESTS, _json(writer.digests))
    return BackupSummary(catalogue_revision=revision, images=images, index_version=version)


class _Writer:
    """Adds members to an archive, and knows their digests."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self.digests: dict[str, str] = {}

    def add(self, name: str, data: bytes) -> None:
        self.digests[name] = hashlib.sha256(data).hexdigest()
        self._archive.addfile(_member(name, len(data)), io.BytesIO(data))

    def copy(self, name: str, path: Path, digest: str) -> None:
        with path.open("rb") as source:
            if hashlib.file_digest(source, "sha256").hexdigest() != digest:
                raise IndexVersionError(f"{path} does not match its checksum, so no backup was made; reindex first")
            size = source.seek(0, io.SEEK_END)
            source.seek(0)
            self._archive.addfile(_member(name, size), source)
        self.digests[name] = digest


def _write_index(writer: _Writer, directory: Path) -> None:
    try:
        manifest = read_manifest(directory)
        writer.add(f"index/{manifest.version}/manifest.json", (directory / "manifest.json").read_bytes())
        for name, digest in manifest.files.items():
            writer.copy(f"index/{manifest.version}/{name}", directory / name, digest)
    except FileNotFoundError as error:
        raise IndexVersionError(
            f"{error.filename} is gone: a reindex has removed that version meanwhile; make the backup again"
        ) from None


def _begin_reading(connection: Connection) -> None:
    """From the next statement on, all see one state."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN")
    else:
        connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _chunks(connection: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    query = select(table).order_by(table.c.id).limit(_ROWS)
    chunk = query
    while rows := connection.execute(chunk).all():
        yield [{name: _plain(value) for name, value in row._mapping.items()} for row in rows]  # noqa: SLF001 (public in spite of its name)
        chunk = query.where(table.c.id > rows[-1].id)


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
