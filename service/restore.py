"""Filling a system from a backup; see service/backup.py for what that is."""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import tarfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

from sqlalchemy import Connection, Engine, Table, delete, func, insert, select, update
from sqlalchemy.exc import DataError as UnfitError
from sqlalchemy.exc import IntegrityError

from model.errors import DataError, SceneRankError
from model.formats import read_graph
from service.backup import DIGESTS, FORMAT_VERSION, HEADER, IMAGES, REMOVED, BackupSummary
from service.errors import ReindexRunningError
from service.index.manifest import sync
from service.index.versions import IndexStore, open_version
from service.jobs import Jobs
from service.tables import ID_LENGTH, CatalogueState

_MAX_DOCUMENT: Final = 16 * 1024 * 1024  # bytes of backup.json and digests.json
_MAX_LINE: Final = 64 * 1024 * 1024
_ROWS: Final = 1000  # written at once
_PATIENCE: Final = 60.0  # seconds that the switch waits for another one to be over
_ROWS_MEMBER: Final = re.compile(r"catalogue/(images|removed)-[0-9]{6,}\.jsonl")
_NAME: Final = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"
_INDEX_MEMBER: Final = re.compile(rf"index/([0-9]{{8}}T[0-9]{{12}}Z-[0-9a-f]{{8}})/((?:{_NAME}/)*{_NAME})")


def restore_backup(
    engine: Engine, store: IndexStore | None, jobs: Jobs, file: IO[bytes], *, replace: bool = False
) -> BackupSummary:
    """Fill the catalogue, and put the index version to use: both or, if anything is wrong with the backup, neither.

    Args:
        engine: the database.
        store: where index versions live; None leaves the backup's out.
        jobs: tells whether a reindex is under way.
        file: the backup; it need not be seekable.
        replace: what is there goes; without it only an empty catalogue without an index is filled.

    Raises:
        DataError: it is no backup, is damaged, or is of another release; or there is something already.
        ReindexRunningError: a reindex is under way.
    """
    if (job := jobs.active()) is not None:
        raise ReindexRunningError(job.id)
    with contextlib.ExitStack() as cleared, engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        # Whoever else writes waits for this row.
        step = update(CatalogueState).values(revision=CatalogueState.revision + 1).returning(CatalogueState.revision)
        own_revision = connection.scalars(step).one()
        _make_room(connection, store, replace=replace)
        try:
            with tarfile.open(fileobj=file, mode="r|") as archive:
                reader = _Reader(archive)
                header = reader.header()
                staged = _staging(cleared, store, header["index_version"])
                images = _read_members(reader, connection, staged, header)
        except (tarfile.TarError, EOFError) as error:
            raise DataError(f"the backup cannot be read ({error}); it is damaged, or no backup") from None
        except (IntegrityError, UnfitError) as error:  # an image that is there twice, a character that it cannot hold
            raise DataError(f"the backup does not fit into the database ({error.orig})") from None
        # Processes that follow the catalogue must not see its revision go back.
        revision = max(header["catalogue_revision"], own_revision if own_revision > 1 else 0)
        # Without its index any state that is in use belongs to another catalogue.
        forgotten = header["forgotten"] if staged is not None else revision
        connection.execute(update(CatalogueState).values(revision=revision, forgotten=forgotten))
        _put_to_use(connection, store, staged)
    return BackupSummary(catalogue_revision=revision, images=images, index_version=staged.name if staged else None)


def _make_room(connection: Connection, store: IndexStore | None, *, replace: bool) -> None:
    count = connection.scalar(select(func.count()).select_from(IMAGES)) or 0
    has_index = store is not None and store.current_file.exists()
    if (count or has_index) and not replace:
        found = f"the catalogue has {count} images" if count else "there is an index"
        raise DataError(f"{found}; restore into an empty system, or say --replace to lose what is there")
    connection.execute(delete(IMAGES))
    connection.execute(delete(REMOVED))


def _staging(cleared: contextlib.ExitStack, store: IndexStore | None, version: str | None) -> Path | None:
    """Where the index version is put together, on the file system of all versions; removed if it stays there."""
    if store is None or version is None:
        return None
    work = store.root / f"restoring-{secrets.token_hex(4)}"
    work.mkdir(parents=True)
    cleared.callback(shutil.rmtree, work, ignore_errors=True)
    return work / version


def _put_to_use(connection: Connection, store: IndexStore | None, staged: Path | None) -> None:
    if store is None:
        connection.commit()
        return
    with store.switching(_PATIENCE):
        if staged is not None and staged.name not in store.names():
            store.add(staged)
        connection.commit()
        if staged is not None:
            store.use(staged.name)
        else:
            store.current_file.unlink(missing_ok=True)  # made from another catalogue


class _Reader:
    """The members of an archive in their order, digested while they are read."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self.digests: dict[str, str] = {}
        self.members = self._read(archive)

    def header(self) -> dict[str, Any]:
        """What the backup says of itself."""
        name, member = next(self.members, (None, None))
        if name != HEADER or member is None:
            raise DataError(f"this is no backup of SceneRank: it does not begin with {HEADER}")
        document = member.document()
        if document.get("format_version") != FORMAT_VERSION:
            raise DataError(
                f"the backup has format version {document.get('format_version')}, this program knows {FORMAT_VERSION}; "
                "restore it with the release that made it"
            )
        numbers, version = (
            (document.get("catalogue_revision"), document.get("forgotten")),
            document.get("index_version"),
        )
        if not all(isinstance(number, int) for number in numbers) or not (version is None or isinstance(version, str)):
            raise DataError(f"{HEADER} of the backup is damaged")
        return document

    def _read(self, archive: tarfile.TarFile) -> Iterator[tuple[str, "_Member"]]:
        for info in archive:
            content = archive.extractfile(info) if info.isreg() else None
            if content is None or info.name in self.digests:
                raise DataError(f"the backup has a member {info.name!r} that does not belong there")
            member = _Member(info.name, content)
            yield info.name, member
            self.digests[info.name] = member.digest()


class _Member:
    """A member that is read once, from its beginning to its end."""

    def __init__(self, name: str, content: IO[bytes]) -> None:
        self._name, self._content, self._hash = name, content, hashlib.sha256()

    def lines(self) -> Iterator[tuple[str, bytes]]:
        """Each line, and how an error names it."""
        number = 0
        while line := self._content.readline(_MAX_LINE):
            number += 1
            self._hash.update(line)
            yield f"{self._name}, line {number}", line

    def document(self) -> dict[str, Any]:
        data = self._content.read(_MAX_DOCUMENT)
        self._hash.update(data)
        return _object(data, self._name)

    def skip(self) -> None:
        """Read it for its digest alone."""
        while data := self._content.read(1024 * 1024):
            self._hash.update(data)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as target:
            while data := self._content.read(1024 * 1024):
                self._hash.update(data)
                target.write(data)
            target.flush()
            os.fsync(target.fileno())

    def digest(self) -> str:
        return self._hash.hexdigest()


def _read_members(reader: _Reader, connection: Connection, staged: Path | None, header: dict[str, Any]) -> int:
    """Write what the members hold; how many images there are.

    Raises:
        DataError: something is wrong with them.
    """
    images = 0
    for name, member in reader.members:
        if name == DIGESTS:
            if member.document() != reader.digests:
                raise DataError("the backup is damaged: a part of it does not match its checksum")
            break
        if match := _ROWS_MEMBER.fullmatch(name):
            is_image = match[1] == "images"
            rows = _write_rows(connection, IMAGES if is_image else REMOVED, member, header["catalogue_revision"])
            images += rows if is_image else 0
        elif (match := _INDEX_MEMBER.fullmatch(name)) and match[1] == header["index_version"]:
            if staged is None:
                member.skip()
            else:
                member.save(staged / match[2])
        else:
            raise DataError(f"the backup has a member {name!r} that does not belong there")
    else:
        raise DataError(f"the backup is not whole: it does not end with {DIGESTS}")
    if staged is not None:
        open_version(staged)  # which verifies it
        for directory in (staged, *(path for path in staged.rglob("*") if path.is_dir())):
            sync(directory)
    return images


def _write_rows(connection: Connection, table: Table, member: _Member, revision: int) -> int:
    count = 0
    rows: list[dict[str, Any]] = []
    for place, line in member.lines():
        rows.append(_row(_object(line, place), table, revision, place))
        count += 1
        if len(rows) == _ROWS:
            connection.execute(insert(table), rows)
            rows = []
    if rows:
        connection.execute(insert(table), rows)
    return count


def _row(document: dict[str, Any], table: Table, revision: int, place: str) -> dict[str, Any]:
    """A row of a table, if a line is one that the table may hold."""
    if set(document) != set(table.c.keys()):
        raise DataError(f"{place} of the backup has not the fields {', '.join(table.c.keys())}")
    try:
        image_id, own_revision = document["id"], document["revision"]
        good = isinstance(image_id, str) and 0 < len(image_id) <= ID_LENGTH and image_id.isprintable()
        good &= isinstance(own_revision, int) and 0 <= own_revision <= revision
        if good and table is IMAGES:
            read_graph(json.loads(document["graph"]), "native")
            document["updated_at"] = datetime.fromisoformat(document["updated_at"])
            texts, numbers = (document["url"], document["metadata"]), (document["width"], document["height"])
            good = all(text is None or isinstance(text, str) for text in texts)
            good &= all(number is None or isinstance(number, int) for number in numbers)
            good &= document["metadata"] is None or isinstance(json.loads(document["metadata"]), dict)
    except (SceneRankError, ValueError, TypeError) as error:
        raise DataError(f"{place} of the backup is damaged ({error})") from None
    if not good:
        raise DataError(f"{place} of the backup is damaged")
    return document


def _object(data: bytes, place: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place} of the backup is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise DataError(f"{place} of the backup is not a JSON object")
    return document
