"""Milvus as SceneRank uses it: one collection for each index version, and one that says how far each of them is.

    scenerank_<version>   a row for each image: `id`, `vector`, what filters look for (see milvus_rows.py), `record`
    scenerank_versions    a row for each version: the model's digest, whether the collection is complete, and the
                          revision of the catalogue up to which it has all changes
    scenerank             an alias: the collection of the version in use

What belongs to a collection is kept in Milvus beside it, so that a backup of Milvus has both from about one moment.
"""

import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from service.index.milvus_connection import TIMEOUT, connect, told_errors
from service.index.ranking import Vectors

ALIAS: Final = "scenerank"
MOST_HITS: Final = 16384
"""Milvus gives no more for one search."""

MOST_ENTRIES: Final = 4096
"""Milvus holds no more in an array."""

ENTRY_FIELDS: Final = ("entries_1", "entries_2", "entries_3")

_VERSIONS: Final = "scenerank_versions"
_PREFIX: Final = "scenerank_"
_ID_BYTES: Final = 800  # of the 200 characters that an id may have
_PART_BYTES: Final = 65_535  # of a text in Milvus
_PARTS: Final = 256
_LONG: Final = 600.0  # seconds, of what goes through a whole collection
_AT_ONCE: Final = 8  # searches under way at once
_FETCHED: Final = 1000  # rows fetched together
_MESSAGE_CHARACTERS: Final = 8_000_000  # of records written together; Milvus takes no message above 64 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionState:
    """What `scenerank_versions` says of a version.

    Args:
        digest: of the model.
        complete: whether all images that it was made from are in it.
        revision: all changes of the catalogue up to it are.
    """

    digest: str
    complete: bool
    revision: int


class Milvus:
    """A connection to Milvus.

    Args:
        url: `http://USER:PASSWORD@HOST:PORT/DATABASE`, of which host and port are needed; or a path that ends in
            `.db`, which this process opens with milvus-lite.

    Raises:
        ConfigError: a Python package is missing, or the URL is no good.
        VectorStoreError: nothing answers there, or another process has the file.
    """

    def __init__(self, url: str) -> None:
        connection = connect(url)
        self.address = connection.address
        """Where other processes reach the same data."""
        self._client, self._types, self._is_lite = connection.client, connection.types, connection.is_lite
        self._error, self._loaded = connection.error, connection.loaded
        self.pool = ThreadPoolExecutor(_AT_ONCE, "milvus")
        self._lock = threading.Lock()
        self._ready = False

    def close(self) -> None:
        """End the connection."""
        self.pool.shutdown()
        self._client.close()

    def create(self, version: str, *, dimension: int, index: dict[str, Any], digest: str, revision: int) -> None:
        """An empty collection for a version that is being made.

        Args:
            version: its name.
            dimension: of its vectors.
            index: `index_type` and `params` of their index.
            digest: of the model that makes them.
            revision: of the catalogue that it is made from.
        """
        types = self._types
        with told_errors():
            self._mark(version, CollectionState(digest=digest, complete=False, revision=revision))
            schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("id", types.VARCHAR, is_primary=True, max_length=_ID_BYTES)
            schema.add_field("vector", types.FLOAT_VECTOR, dim=dimension)
            for field in ENTRY_FIELDS:
                schema.add_field(field, types.ARRAY, element_type=types.INT64, max_capacity=MOST_ENTRIES)
            schema.add_field(
                "record", types.ARRAY, element_type=types.VARCHAR, max_length=_PART_BYTES, max_capacity=_PARTS
            )
            indexes = self._client.prepare_index_params()
            indexes.add_index("vector", metric_type="IP", **index)
            if not self._is_lite:  # which has none for arrays, and looks through the rows
                for field in ENTRY_FIELDS:
                    indexes.add_index(field, index_type="INVERTED")
            # Strong: whoever searches after a change was written finds it, in whatever process.
            self._client.create_collection(
                _collection(version), schema=schema, index_params=indexes, consistency_level="Strong", timeout=_LONG
            )

    def complete(self, version: str) -> None:
        """Say that all images are in."""
        state = self.state(version)
        assert state is not None
        with told_errors():
            self._mark(version, CollectionState(digest=state.digest, complete=True, revision=state.revision))

    def state(self, version: str) -> CollectionState | None:
        """How far a version's collection is; None if there is none."""
        return self.states().get(version)

    def states(self) -> dict[str, CollectionState]:
        """All versions that there are or that were being made."""
        with told_errors():
            self._prepare()
            rows = self._client.query(
                _VERSIONS, filter='id != ""', output_fields=["id", "digest", "complete", "revision"], timeout=TIMEOUT
            )
        return {
            str(row["id"]): CollectionState(
                digest=row["digest"], complete=bool(row["complete"]), revision=int(row["revision"])
            )
            for row in rows
        }

    def advance(self, version: str, revision: int) -> None:
        """Say that all changes up to a revision are in."""
        state = self.state(version)
        assert state is not None
        with told_errors():
            self._mark(version, CollectionState(digest=state.digest, complete=state.complete, revision=revision))

    def drop(self, version: str) -> None:
        """Remove a version's collection."""
        with told_errors():
            self._client.drop_collection(_collection(version), timeout=_LONG)
            self._client.delete(_VERSIONS, ids=[version], timeout=TIMEOUT)

    def in_use(self) -> str | None:
        """The version that the alias names."""
        with told_errors():
            try:
                found = self._client.describe_alias(ALIAS, timeout=TIMEOUT)
            except self._error as error:
                # Its code differs between releases.
                if "alias" in str(error).lower() and re.search("not (found|exist)", str(error)):
                    return None
                raise
        return _version(found["collection_name"])

    def use(self, version: str) -> None:
        """Have the alias name another version; one call, which Milvus does whole or not at all."""
        before = self.in_use()
        with told_errors():
            switch = self._client.create_alias if before is None else self._client.alter_alias
            switch(_collection(version), ALIAS, timeout=TIMEOUT)

    def flush(self, version: str) -> None:
        """Have what was written in its final form; a cluster allows that but seldom."""
        with told_errors():
            self._client.flush(_collection(version), timeout=_LONG)

    def load(self, version: str) -> None:
        """Have a collection ready to be searched."""
        with told_errors():
            self._client.load_collection(_collection(version), timeout=_LONG)

    def release(self, version: str) -> None:
        """Let a collection be out of memory."""
        with told_errors():
            self._client.release_collection(_collection(version), timeout=TIMEOUT)

    def reload(self, version: str) -> None:
        """Load a collection again that is not in memory any more."""
        with told_errors():
            if self._client.get_load_state(_collection(version), timeout=TIMEOUT)["state"] != self._loaded:
                self._client.load_collection(_collection(version), timeout=_LONG)
                self._ready = False  # then that of the versions is not either

    def write(self, version: str, rows: list[dict[str, Any]]) -> None:
        """Insert or replace rows."""
        with told_errors():
            for part in _in_messages(rows):
                self._client.upsert(_collection(version), part, timeout=_LONG)

    def delete(self, version: str, image_ids: Sequence[str]) -> None:
        """Remove rows; those that are not there do no harm."""
        with told_errors():
            for start in range(0, len(image_ids), _FETCHED):
                among = _among(image_ids[start : start + _FETCHED])
                self._client.delete(_collection(version), filter=among, timeout=TIMEOUT)

    def search(
        self, version: str, vector: Vectors, *, limit: int, expression: str = "", params: dict[str, Any] | None = None
    ) -> tuple[list[str], list[float]]:
        """Ids and scores of the best rows, in single precision."""
        with told_errors():
            (hits,) = self._client.search(
                _collection(version),
                [vector],
                anns_field="vector",
                filter=expression,
                limit=limit,
                output_fields=["id"],
                search_params={"metric_type": "IP", "params": params or {}},
                timeout=TIMEOUT,
            )
            return [str(hit["id"]) for hit in hits], [float(hit["distance"]) for hit in hits]

    def fetch(self, version: str, image_ids: Sequence[str], fields: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Rows by id; those that are not there are left out."""
        found: dict[str, dict[str, Any]] = {}
        with told_errors():
            for start in range(0, len(image_ids), _FETCHED):
                among = _among(image_ids[start : start + _FETCHED])
                rows = self._client.query(
                    _collection(version), filter=among, output_fields=["id", *fields], timeout=TIMEOUT
                )
                found |= {str(row["id"]): dict(row) for row in rows}
        return found

    def count(self, version: str, expression: str = "") -> int:
        """How many rows there are, or meet an expression."""
        with told_errors():
            rows = self._client.query(
                _collection(version), filter=expression, output_fields=["count(*)"], timeout=TIMEOUT
            )
            return int(rows[0]["count(*)"])

    def any(self, version: str, expression: str) -> bool:
        """Whether any row meets an expression."""
        with told_errors():
            rows = self._client.query(
                _collection(version), filter=expression, output_fields=["id"], limit=1, timeout=TIMEOUT
            )
            return len(rows) > 0

    def _mark(self, version: str, state: CollectionState) -> None:
        self._prepare()
        row = {
            "id": version, "digest": state.digest, "complete": state.complete, "revision": state.revision,
            "vector": [1.0, 0.0],
        }  # fmt: skip
        self._client.upsert(_VERSIONS, [row], timeout=TIMEOUT)

    def _prepare(self) -> None:
        """Make the collection of versions, if there is none."""
        with self._lock:
            if self._ready:
                return
            types = self._types
            if not self._client.has_collection(_VERSIONS, timeout=TIMEOUT):
                schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
                schema.add_field("id", types.VARCHAR, is_primary=True, max_length=64)
                schema.add_field("digest", types.VARCHAR, max_length=128)
                schema.add_field("complete", types.BOOL)
                schema.add_field("revision", types.INT64)
                schema.add_field("vector", types.FLOAT_VECTOR, dim=2)  # without one Milvus makes no collection
                indexes = self._client.prepare_index_params()
                indexes.add_index("vector", index_type="FLAT", metric_type="IP")
                self._client.create_collection(
                    _VERSIONS, schema=schema, index_params=indexes, consistency_level="Strong", timeout=TIMEOUT
                )
            self._client.load_collection(_VERSIONS, timeout=TIMEOUT)
            self._ready = True


def _in_messages(rows: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The rows, as many together as go into a message."""
    part, size = list[dict[str, Any]](), 0
    for row in rows:
        characters = sum(map(len, row["record"]))
        if part and size + characters > _MESSAGE_CHARACTERS:
            yield part
            part, size = [], 0
        part.append(row)
        size += characters
    if part:
        yield part


def _among(image_ids: Sequence[str]) -> str:
    """What rows of these ids meet. pymilvus would write one itself, but takes a quote in an id for its end."""
    quoted = (image_id.replace("\\", "\\\\").replace('"', '\\"') for image_id in image_ids)
    return "id in [" + ", ".join(f'"{text}"' for text in quoted) + "]"


def _collection(version: str) -> str:
    return _PREFIX + version.replace("-", "_")


def _version(collection: str) -> str:
    return collection.removeprefix(_PREFIX).replace("_", "-")
