"""What an index version is, in a file of its own: written last, and what all its other files are verified by."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from model.atomic import write_atomically
from model.checkpoint import Checkpoint
from service.errors import IndexVersionError
from service.index.approximate import FLAT, IndexKind

FORMAT_VERSION: Final = 2
METRIC: Final = "inner_product"
REMEDY: Final = "build a new one with `scenerank index build --checkpoint RUN`"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexManifest:
    """What an index version is; `files` are the SHA-256 digests of its data files.

    All changes of the catalogue up to `catalogue_revision` are in it, and perhaps some later ones. `index` is the kind
    of index that was asked for, and `recall` how much an approximate one finds; see index/recall.py.
    """

    version: str
    catalogue_revision: int
    model_digest: str
    dimension: int
    count: int
    created_at: str
    files: dict[str, str]
    metric: str = METRIC
    index: str = str(FLAT)
    recall: float | None = None
    format_version: int = FORMAT_VERSION


def seal_version(
    directory: Path,
    *,
    checkpoint: Checkpoint,
    count: int,
    catalogue_revision: int,
    kind: IndexKind = FLAT,
    recall: float | None = None,
) -> IndexManifest:
    """Write the manifest of a version whose data files are complete, and see all of it onto the disk."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    manifest = IndexManifest(
        version=directory.name,
        catalogue_revision=catalogue_revision,
        model_digest=checkpoint.digest,
        dimension=checkpoint.encoder.config.dimension,
        count=count,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        files={path.relative_to(directory).as_posix(): _sha256(path) for path in paths},
        index=str(kind),
        recall=recall,
    )
    write_atomically(directory / "manifest.json", (json.dumps(asdict(manifest), indent=2) + "\n").encode())
    for path in (*paths, *sorted({path.parent for path in paths} - {directory}), directory):
        sync(path)
    return manifest


def read_manifest(directory: Path) -> IndexManifest:
    """The manifest of a version.

    Raises:
        IndexVersionError: it is missing, damaged, or of another format version.
    """
    path = directory / "manifest.json"
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
        version = document["format_version"]
        if version != FORMAT_VERSION:
            made_by = "an earlier" if isinstance(version, int) and version < FORMAT_VERSION else "another"
            raise IndexVersionError(
                f"{path} was made by {made_by} release: format version {version}, not {FORMAT_VERSION}; {REMEDY}"
            )
        return IndexManifest(**document)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IndexVersionError(f"{path} cannot be read ({error}); {REMEDY}") from None


def verify_files(directory: Path, manifest: IndexManifest, needed: Sequence[str]) -> None:
    """See that a version's files are those of its manifest, and that what is needed is among them.

    Raises:
        IndexVersionError: one is not.
        OSError: one cannot be read.
    """
    for name in (*needed, *manifest.files):
        if name not in manifest.files or _sha256(directory / name) != manifest.files[name]:
            raise IndexVersionError(f"{directory / name} does not match its checksum; {REMEDY}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """See a file, or the names in a directory, onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
