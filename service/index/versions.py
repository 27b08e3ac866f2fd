"""Index versions on the disk; at every moment there is a whole one or none.

    index/current                 which version is in use: {"format_version": 2, "version": "..."}
    index/versions/<version>/     manifest.json, vectors.npy (float32, N x D), ids.json, model/ (a checkpoint),
                                  filters/ (see index/postings.py), records/ (see index/records.py), and of an
                                  approximate index lists/ (see index/approximate.py)
    index/lock                    held by who changes `current` or removes versions
    index/staging/<version>/      being built; moved to versions/ by one rename when complete

A version holds the model that it was built with, so the two cannot come apart, and all that a search needs to know of
its images, so that a search is answered from one state of the catalogue and without the database.
"""

import fcntl
import json
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from model.atomic import write_atomically
from model.checkpoint import Checkpoint, load_checkpoint
from model.errors import CheckpointError
from model.inference import InferenceEncoder, prepare_for_inference
from service.errors import IndexVersionError, RollbackError
from service.index.approximate import DIRECTORY as LISTS
from service.index.approximate import load_approximate, parse_index_kind
from service.index.manifest import FORMAT_VERSION, METRIC, REMEDY, IndexManifest, read_manifest, sync, verify_files
from service.index.mapped import WatchedFiles
from service.index.postings import DIRECTORY as FILTERS
from service.index.postings import FilterIndex, load_filter_index
from service.index.quantized import DIRECTORY as QUANTIZED
from service.index.quantized import can_scan, load_quantized
from service.index.records import DIRECTORY as RECORDS
from service.index.records import Records
from service.index.vector_index import VectorIndex

KEPT: Final = 3

_NAME: Final = re.compile(r"[0-9]{8}T[0-9]{12}Z-[0-9a-f]{8}")
_LOCK_INTERVAL: Final = 0.05  # seconds between tries


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexVersion:
    """An index version in memory, with the model that queries it; row i of the index is image ids[i].

    `encoder` is the form of the checkpoint's encoder that made the vectors, and makes those of queries. Most of it is
    mapped from `files`: who has read from it looks whether they are intact.
    """

    manifest: IndexManifest
    checkpoint: Checkpoint
    encoder: InferenceEncoder
    ids: list[str]
    index: VectorIndex
    filters: FilterIndex
    records: Records
    files: WatchedFiles


class IndexStore:
    """The index versions under a directory.

    Args:
        root: the directory; made when the first version is.
        kept: how many versions stay on the disk when a new one comes, the one in use beside them if it is older.
    """

    def __init__(self, root: Path, kept: int = KEPT) -> None:
        self.root = root
        self.current_file = root / "current"
        self._versions, self._staging = root / "versions", root / "staging"
        self._kept = kept
        self._staged: Path | None = None

    def current(self) -> str | None:
        """The name of the version in use; None if there is none yet.

        Raises:
            IndexVersionError: the file that names it is damaged.
        """
        try:
            document = json.loads(self.current_file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise IndexVersionError(f"{self.current_file} cannot be read ({error}); {REMEDY}") from None
        name = document.get("version") if isinstance(document, dict) else None
        # Read from a file, and it becomes part of a path.
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise IndexVersionError(f"{self.current_file} names no index version; {REMEDY}")
        return name

    def stamp(self) -> object:
        """Something that differs after another version was put to use."""
        try:
            status = self.current_file.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def open(self, version: str) -> IndexVersion:
        """Read and verify a version.

        Raises:
            IndexVersionError: it is missing or damaged.
        """
        return open_version(self.directory(version))

    def names(self) -> list[str]:
        """The versions on the disk, newest first."""
        try:
            return sorted((path.name for path in self._versions.iterdir() if _NAME.fullmatch(path.name)), reverse=True)
        except FileNotFoundError:
            return []

    def manifests(self) -> dict[str, IndexManifest | None]:
        """The manifests of the versions on the disk, newest first; None where one cannot be used."""
        manifests: dict[str, IndexManifest | None] = {}
        for name in self.names():
            try:
                manifests[name] = read_manifest(self.directory(name))
            except IndexVersionError:
                manifests[name] = None
        return manifests

    def directory(self, version: str) -> Path:
        """Where a version is."""
        assert _NAME.fullmatch(version), version
        return self._versions / version

    @contextmanager
    def stage(self) -> Iterator[Path]:
        """A fresh directory to build a version in; what is still there in the end is removed.

        Only the one who may build may call this: what earlier builds left behind is removed first. An earlier one that
        may not build any more, and has not noticed, finds its directory gone, and removes nothing of this one.
        """
        directory = self._staging / f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(4)}"
        directory.mkdir(parents=True)
        for path in self._staging.iterdir():
            if path.name < directory.name:
                shutil.rmtree(path, ignore_errors=True)
        self._staged = directory
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def discard_staged(self) -> None:
        """Remove what is being built in another thread, which then fails."""
        if self._staged is not None:
            gone = self._staged.with_name(f"{self._staged.name}.gone")
            with suppress(OSError):  # from now on nothing new can be made in it
                shutil.rmtree(self._staged.rename(gone), ignore_errors=True)

    @contextmanager
    def switching(self, patience: float) -> Iterator[None]:
        """The right to say which version is in use, and to remove others: one process has it, in one thread.

        It is a lock of the operating system, which ends with the process. Who has it may stop in the middle, for as
        long as it likes: nobody else changes what it has looked at.

        Args:
            patience: how long to wait for it. Units: seconds.

        Raises:
            RollbackError: another one had it all the while.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + patience
        with (self.root / "lock").open("ab") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise RollbackError(
                            "another version is being put to use; look at GET /index, and ask again"
                        ) from None
                    time.sleep(_LOCK_INTERVAL)
            yield

    def publish(self, staged: Path) -> None:
        """Put a complete version among the others and make it the one in use."""
        self.add(staged)
        self.use(staged.name)

    def add(self, staged: Path) -> None:
        """Put a complete version among the others."""
        self._versions.mkdir(exist_ok=True)
        staged.rename(self._versions / staged.name)
        sync(self._versions)

    def use(self, version: str) -> None:
        """Make a version that is on the disk the one in use."""
        document = {"format_version": FORMAT_VERSION, "version": version}
        write_atomically(self.current_file, json.dumps(document).encode())
        sync(self.root)

    def prune(self) -> None:
        """Remove all but the newest versions and the one in use, and what died while it switched.

        A process that still answers from one of those removed has it in memory or mapped, and goes on.
        """
        current = self.current()
        for partial in self.root.glob(f".{self.current_file.name}.*.partial"):
            partial.unlink(missing_ok=True)
        for name in self.names()[self._kept :]:
            if name != current:
                shutil.rmtree(self._versions / name, ignore_errors=True)


def open_version(directory: Path) -> IndexVersion:
    """Read and verify a version.

    Raises:
        IndexVersionError: it is missing or damaged, or its parts do not belong together.
    """
    manifest = read_manifest(directory)
    try:
        mapped = [name for name in manifest.files if name.endswith(".npy") or name == f"{RECORDS}/data"]
        files = WatchedFiles(directory / name for name in mapped)
        verify_files(directory, manifest, ("vectors.npy", "ids.json"))
        checkpoint = load_checkpoint(directory / "model")
        ids: list[str] = json.loads((directory / "ids.json").read_bytes())
        vectors = np.load(directory / "vectors.npy", mmap_mode="r", allow_pickle=False)
        filters = load_filter_index(directory / FILTERS, manifest.count)
        records = Records(directory / RECORDS, ids)
        kind = parse_index_kind(manifest.index)
    except (OSError, ValueError, KeyError, TypeError, CheckpointError) as error:
        raise IndexVersionError(f"{directory} cannot be used ({error}); {REMEDY}") from None
    dimension = checkpoint.encoder.config.dimension
    shape = (manifest.count, manifest.dimension)
    expected = {
        "the version it names": manifest.version == directory.name,
        "the metric": manifest.metric == METRIC,
        "the model's digest": manifest.model_digest == checkpoint.digest,
        "the model's dimension": manifest.dimension == dimension,
        "the vectors' shape": vectors.shape == shape and vectors.dtype == np.float32,
        "the image ids": len(ids) == manifest.count and all(a < b for a, b in pairwise(ids)),
    }
    for part, right in expected.items():
        if not right:
            raise IndexVersionError(f"{directory} is inconsistent: {part} does not match its manifest; {REMEDY}")
    approximate = None
    if kind.lists:
        approximate = load_approximate(directory / LISTS, count=manifest.count, dimension=dimension)
    quantized = None
    # Versions of earlier releases have none.
    if can_scan() and (directory / QUANTIZED).exists():
        quantized = load_quantized(directory / QUANTIZED, count=manifest.count, dimension=dimension)
    return IndexVersion(
        manifest=manifest,
        checkpoint=checkpoint,
        encoder=prepare_for_inference(checkpoint.encoder),
        ids=ids,
        index=VectorIndex(vectors, approximate, quantized),
        filters=filters,
        records=records,
        files=files,
    )
