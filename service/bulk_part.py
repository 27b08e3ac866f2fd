"""One part of a bulk encoding: a file of scene graphs in, a Parquet file of vectors out.

    OUT/<source>-<digest>.parquet      id, vector, and what else a row in Milvus has (see index/milvus_rows.py)
    OUT/<source>-<digest>.bad.jsonl    records that could not be read, each with its place; only if there are any

The digest is of the source's path. What a part was made of stands in the Parquet file's metadata.
"""

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from model.atomic import write_atomically
from model.batch import PackedGraphs
from model.checkpoint import Checkpoint, load_checkpoint
from model.collection import ImageRecord, read_line, read_record
from model.errors import DataError
from model.files import open_data
from model.inference import InferenceEncoder, embed, prepare_for_inference
from service.catalogue import stored_image
from service.index.milvus import ENTRY_FIELDS
from service.index.milvus_rows import row_of_image
from service.index.name_counts import NameCounts
from service.threads import use_one_thread

SUFFIXES: Final = (".jsonl", ".jsonl.gz", ".parquet")
UNFINISHED: Final = ".unfinished"

_FORMAT_VERSION: Final = 1
_KEY: Final = b"scenerank"
_ENCODED_AT_ONCE: Final = 1024
_MOST_BAD: Final = 10_000  # records of a part; a file with more is of another kind


@dataclass(frozen=True, slots=True, kw_only=True)
class PartReport:
    """What became of a part.

    Args:
        source: the file of scene graphs.
        images: in the part.
        skipped: images left out because their graph has no object, or is too large for a row in Milvus.
        bad: records that could not be read.
        error: why there is no part, if there is none.
        reused: whether it was there already.
        worker: the machine and the process that made it.
        seconds: how long it took. Units: seconds.
    """

    source: str
    images: int = 0
    skipped: int = 0
    bad: int = 0
    error: str | None = None
    reused: bool = False
    worker: str = ""
    seconds: float = 0.0


def encode_part(source: Path, out: Path, checkpoint: Path, strict: bool = False) -> PartReport:
    """Encode the scene graphs of a file into a part, unless that is there already.

    Args:
        source: a .jsonl file as `scenerank import` reads it, or a Parquet file with the columns `image_id` and `graph`
            (a scene graph as JSON) and, if known, `url`, `width`, `height` and `metadata` (JSON).
        out: where the part goes.
        checkpoint: of the encoder.
        strict: a record that cannot be read fails the part.
    """
    started = time.monotonic()
    target = part_of(source, out)
    model, encoder = _model(checkpoint)
    try:
        status = source.stat()
        made_of = {"size": status.st_size, "modified": status.st_mtime_ns, "model_digest": model.digest}
        found = _made_before(target, made_of)
        report = found or _Part(source, model, encoder).write(target, made_of, strict=strict)
    except (DataError, OSError) as error:
        return PartReport(source=str(source), error=str(error), seconds=time.monotonic() - started)
    if strict and report.bad:
        return PartReport(source=str(source), error=f"{source}: {report.bad} records cannot be read", bad=report.bad)
    return replace(report, seconds=time.monotonic() - started)


def part_of(source: Path, out: Path) -> Path:
    """Where the part of a source is."""
    digest = blake2b(str(source).encode(), digest_size=4).hexdigest()
    return out / f"{source.name}-{digest}.parquet"


def read_made_of(part: Path) -> dict[str, Any] | None:
    """What a part was made of, with its report and the names of its images; None if there is no such part."""
    import pyarrow as pa  # noqa: PLC0415 (an extra)
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        metadata = pq.read_metadata(part).metadata or {}
        made_of: dict[str, Any] = json.loads(metadata[_KEY])
    except (OSError, KeyError, ValueError, pa.ArrowInvalid):
        return None
    return made_of if made_of.get("format_version") == _FORMAT_VERSION else None


def _made_before(target: Path, made_of: Mapping[str, Any]) -> PartReport | None:
    found = read_made_of(target)
    if found is None or any(found[name] != value for name, value in made_of.items()):
        return None
    return PartReport(**found["report"] | {"reused": True})


@cache
def _model(checkpoint: Path) -> tuple[Checkpoint, InferenceEncoder]:
    """Once in each process."""
    use_one_thread()
    model = load_checkpoint(checkpoint)
    return model, prepare_for_inference(model.encoder)


class _Part:
    """A part that is being made."""

    def __init__(self, source: Path, model: Checkpoint, encoder: InferenceEncoder) -> None:
        self._source, self._model, self._encoder = source, model, encoder
        self._bad: list[dict[str, str]] = []
        self._names = NameCounts(model.resolver)
        self._images, self._skipped = 0, 0

    def write(self, target: Path, made_of: Mapping[str, Any], *, strict: bool) -> PartReport:
        """Write it whole or not at all."""
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        dimension = self._model.encoder.config.dimension
        fields = {name: pa.list_(pa.int64()) for name in ENTRY_FIELDS}
        schema = pa.schema(
            # Sorting joins all records of a part, which may be more than the 2 GB that 32-bit offsets can tell.
            {
                "id": pa.string(),
                "vector": pa.list_(pa.float32(), dimension),
                "record": pa.list_(pa.large_string()),
                **fields,
            }
        )
        unfinished = target.with_name(f"{target.name}.{time.monotonic_ns()}{UNFINISHED}")
        try:
            with pq.ParquetWriter(unfinished, schema) as writer:
                records, tables = self._records(strict=strict), [schema.empty_table()]
                while chunk := list(islice(records, _ENCODED_AT_ONCE)):
                    tables.append(self._table(chunk, schema))
                # Sorted as the catalogue is, so that whoever reads parts needs a few rows of each at a time.
                writer.write_table(pa.concat_tables(tables).sort_by("id"), row_group_size=_ENCODED_AT_ONCE)
                report = PartReport(
                    source=str(self._source),
                    images=self._images,
                    skipped=self._skipped,
                    bad=len(self._bad),
                    worker=f"{socket.gethostname()}/{os.getpid()}",
                )
                about = {"format_version": _FORMAT_VERSION, "report": asdict(report), "names": self._names.to_json()}
                writer.add_key_value_metadata({_KEY: json.dumps({**made_of, **about})})
            bad = target.with_suffix(".bad.jsonl")
            if self._bad:
                write_atomically(bad, "".join(json.dumps(one) + "\n" for one in self._bad).encode())
            else:
                bad.unlink(missing_ok=True)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
        return report

    def _table(self, chunk: list[ImageRecord], schema: Any) -> Any:  # noqa: ANN401 (pyarrow has no types)
        import pyarrow as pa  # noqa: PLC0415

        resolver = self._model.resolver
        vectors = embed(self._encoder, PackedGraphs.pack(resolver.resolve(record.graph) for record in chunk))
        if not np.isfinite(vectors).all():
            raise DataError("the encoder gives vectors that are not finite; use another checkpoint")
        rows = []
        for record, vector in zip(chunk, vectors, strict=True):
            row = row_of_image(stored_image(record), vector, record.graph, resolver)
            if row is None:
                self._skipped += 1
            else:
                rows.append(row)
                self._names.add(record.graph)
        self._images += len(rows)
        return pa.Table.from_pylist(rows, schema)

    def _records(self, *, strict: bool) -> Iterator[ImageRecord]:
        """The images of the source that can be read; the others are noted."""
        is_table = self._source.name.endswith(".parquet")
        for where, document in _rows(self._source) if is_table else _lines(self._source):
            try:
                record = read_record(where, read_line(where, document) if isinstance(document, bytes) else document)
                if record is not None:
                    stored_image(record)  # which says what the catalogue could not hold
            except DataError as error:
                if strict:
                    raise
                self._bad.append({"place": where, "error": str(error).removeprefix(f"{where}: ")})
                if len(self._bad) > _MOST_BAD:
                    raise DataError(
                        f"{self._source}: over {_MOST_BAD} records cannot be read, the last: {error}"
                    ) from None
                continue
            if record is None:
                self._skipped += 1
            else:
                yield record


def _lines(source: Path) -> Iterator[tuple[str, bytes]]:
    with open_data(source) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield f"{source}, line {number}", line


def _rows(source: Path) -> Iterator[tuple[str, bytes | Mapping[str, Any]]]:
    """The rows of a Parquet file, as lines of a .jsonl file would have them."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    number = 0
    try:
        with pq.ParquetFile(source) as file:
            missing = {"image_id", "graph"}.difference(file.schema_arrow.names)
            if missing:
                raise DataError(f"{source} has no column {min(missing)!r}; it needs image_id and graph")
            for batch in file.iter_batches(_ENCODED_AT_ONCE):
                for row in batch.to_pylist():
                    number += 1
                    where = f"{source}, row {number}"
                    yield where, _document(row)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{source} is not a Parquet file, or is damaged: {error}") from None


def _document(row: Mapping[str, Any]) -> bytes | Mapping[str, Any]:
    """A row as a document; the text itself where it is no JSON object, so that whoever reads it says so."""
    texts = {name: row.get(name) for name in ("graph", "metadata")}
    parsed: dict[str, Any] = {}
    for name, text in texts.items():
        try:
            parsed[name] = None if text is None else json.loads(text)
        except (ValueError, TypeError, RecursionError):
            return str(text).encode()
    if not isinstance(parsed["graph"], dict):
        return str(texts["graph"]).encode()
    about = {name: row[name] for name in ("image_id", "url", "width", "height") if row.get(name) is not None}
    return {**parsed["graph"], **about} | ({} if parsed["metadata"] is None else {"metadata": parsed["metadata"]})
