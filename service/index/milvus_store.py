"""Index versions whose vectors are in Milvus, and keeping them up with the catalogue.

    index/milvus/versions/<version>/   manifest.json, model/ (a checkpoint), names.json: on a volume of all processes
    index/milvus/lock                  held by who switches the alias or removes versions
    index/milvus/writer.lock           held by who writes changes into collections

The alias says which version is in use. Changes of the catalogue are written by whatever process sees them first and has
the writer's lock; all others find them in Milvus. Which changes a collection has stands in Milvus too, and is moved on
after they are written: who dies between the two leaves work that is done again, to the same end.
"""

import fcntl
import json
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from model.checkpoint import load_checkpoint
from model.errors import CheckpointError
from model.formats import read_graph
from model.inference import prepare_for_inference
from service.catalogue import Catalogue, Change
from service.errors import ForgottenError, IndexVersionError
from service.index.approximate import parse_index_kind
from service.index.live import ENCODED_AT_ONCE
from service.index.manifest import REMEDY, IndexManifest, read_manifest, verify_files
from service.index.milvus import Milvus
from service.index.milvus_rows import row_of_image
from service.index.milvus_state import MilvusState, MilvusVersion
from service.index.state import Encode
from service.index.versions import IndexStore

NAMES: Final = "names.json"

_GRACE: Final = 2.0  # seconds, some polls of SCENERANK_INDEX_POLL_INTERVAL

_log = logging.getLogger(__name__)


class MilvusStore:
    """The index versions in Milvus.

    Args:
        root: where their files are.
        milvus: the connection.
        kept: how many versions stay when a new one comes, the one in use beside them if it is older.
    """

    def __init__(self, root: Path, milvus: Milvus, kept: int) -> None:
        self.milvus = milvus
        self.root = root
        self._files, self._kept = IndexStore(root, kept), kept
        self._left: str | None = None  # the version that was in use before this process switched

    def current(self) -> str | None:
        """The version that the alias names; None if there is none yet."""
        return self.milvus.in_use()

    def stamp(self) -> object:
        """Something that differs after another version was put to use, which is ready to be searched from here on.

        A Milvus that was started anew may have nothing in its memory.
        """
        name = self.milvus.in_use()
        if name is not None:
            self.milvus.reload(name)
        return name

    def names(self) -> list[str]:
        """The versions that are whole, newest first."""
        complete = {version for version, state in self.milvus.states().items() if state.complete}
        return [name for name in self._files.names() if name in complete]

    def manifests(self) -> dict[str, IndexManifest | None]:
        """Their manifests, newest first; None where one cannot be used."""
        found = self._files.manifests()
        return {name: found.get(name) for name in self.names()}

    def directory(self, version: str) -> Path:
        """Where a version's files are."""
        return self._files.directory(version)

    def open(self, version: str) -> MilvusVersion:
        """Read and verify a version, and have its collection ready to be searched.

        Raises:
            IndexVersionError: its files are missing or damaged, or do not belong to the collection.
            VectorStoreError: Milvus does not answer.
        """
        opened = open_files(self.directory(version))
        state = self.milvus.state(version)
        if state is None or not state.complete:
            raise IndexVersionError(f"Milvus has no complete collection of index version {version}; {REMEDY}")
        if state.digest != opened.manifest.model_digest:
            raise IndexVersionError(
                f"the collection of index version {version} was made with another model than {self.directory(version)} "
                f"has; {REMEDY}"
            )
        self.milvus.load(version)
        return opened

    @contextmanager
    def stage(self) -> Iterator[Path]:
        """A fresh directory to build a version in; what earlier builds left behind is removed, in Milvus too."""
        with self._files.stage() as directory:
            for version, state in self.milvus.states().items():
                if not state.complete and version < directory.name:
                    self.milvus.drop(version)
            try:
                yield directory
            finally:
                left = self.milvus.state(directory.name)
                if left is not None and not left.complete:
                    self.milvus.drop(directory.name)

    def discard_staged(self) -> None:
        """Remove the files of what is being built in another thread, which then fails."""
        self._files.discard_staged()

    @contextmanager
    def switching(self, patience: float) -> Iterator[None]:
        """The right to say which version is in use, and to remove others: one process has it, in one thread.

        Raises:
            RollbackError: another one had it all the while.
        """
        with self._files.switching(patience):
            yield

    def publish(self, staged: Path) -> None:
        """Put a complete version among the others and make it the one in use."""
        self._files.add(staged)
        self.milvus.complete(staged.name)
        self._left = self.milvus.in_use()
        self.milvus.use(staged.name)

    def use(self, version: str) -> None:
        """Make a version the one in use."""
        self.milvus.load(version)
        self.milvus.use(version)

    def prune(self) -> None:
        """Remove all but the newest versions and the one in use, which alone stays in the memory of Milvus.

        Processes that still answer from the version before get some time to see the switch.
        """
        current = self.current()
        if self._left not in (None, current):
            time.sleep(_GRACE)
        for place, name in enumerate(self.names()):
            if name == current:
                continue
            if place < self._kept:
                self.milvus.release(name)
            else:
                self.milvus.drop(name)
                shutil.rmtree(self.directory(name), ignore_errors=True)

    @contextmanager
    def writing(self) -> Iterator[bool]:
        """The right to write changes into collections, if nobody has it; a lock that ends with the process."""
        with (self.root / "writer.lock").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True


class MilvusFollower:
    """A version in Milvus, whose collection is kept up with the catalogue by one of the processes that follow it.

    Args:
        store: where the version is.
        version: the version.
        encode: embeds with its model.
    """

    def __init__(self, store: MilvusStore, version: MilvusVersion, encode: Encode) -> None:
        self.version = version
        self._store, self._encode = store, encode
        self._name = version.manifest.version
        self.revision = version.manifest.catalogue_revision
        """All changes of the catalogue up to it are known to be in the collection."""
        self._state: MilvusState | None = None

    def take_in(self, catalogue: Catalogue, revision: int) -> bool:
        """Write what has changed up to a revision, unless another process does; whether something is new.

        Raises:
            ForgottenError: the collection has changes that the catalogue has lost, or the catalogue has forgotten some.
            VectorStoreError: Milvus does not answer.
        """
        stored = self._stored()
        if stored > revision and stored > (newest := catalogue.revision()):  # it was not written just now
            raise ForgottenError(
                f"the collection of index version {self._name} has changes up to revision {stored}, the catalogue, "
                f"perhaps an older copy, only up to {newest}"
            )
        if stored < revision:
            with self._store.writing() as may_write:
                if may_write:
                    stored = self._stored()  # perhaps moved on by who had the right before
                    stored = self.write(catalogue, stored, revision)
        changed = stored != self.revision
        if changed or self._state is None:
            # Only when it is whole is the revision moved on: what fails here is done again.
            self._state, self.revision = MilvusState(self._store.milvus, self.version, stored), stored
        return changed

    def state(self) -> MilvusState:
        """The state that the changes have led to."""
        assert self._state is not None, "nothing has been taken in"
        return self._state

    def write(self, catalogue: Catalogue, since: int, upto: int) -> int:
        """Write what has changed from one revision to another, of one writer at a time; the revision there is then."""
        if since >= upto:
            return since
        for changes in catalogue.changes(since):
            self._apply(changes)
        self._store.milvus.advance(self._name, upto)
        return upto

    def _stored(self) -> int:
        state = self._store.milvus.state(self._name)
        if state is None:
            raise IndexVersionError(f"the collection of index version {self._name} is gone from Milvus; {REMEDY}")
        return state.revision

    def _apply(self, changes: Sequence[Change]) -> None:
        latest = {change.image_id: change.image for change in changes}
        gone = [image_id for image_id, image in latest.items() if image is None]
        images = [image for image in latest.values() if image is not None]
        resolver = self.version.checkpoint.resolver
        for start in range(0, len(images), ENCODED_AT_ONCE):
            part = images[start : start + ENCODED_AT_ONCE]
            graphs = [read_graph(json.loads(image.graph), "native") for image in part]
            rows = []
            for image, graph, vector in zip(part, graphs, self._encode(self.version, graphs), strict=True):
                row = row_of_image(image, vector, graph, resolver)
                if row is None:
                    warn_of_size(image.image_id)
                    gone.append(image.image_id)
                else:
                    rows.append(row)
            if rows:
                self._store.milvus.write(self._name, rows)
        if gone:
            self._store.milvus.delete(self._name, gone)


def open_files(directory: Path) -> MilvusVersion:
    """Read and verify a version's files.

    Raises:
        IndexVersionError: they are missing or damaged.
    """
    manifest = read_manifest(directory)
    try:
        verify_files(directory, manifest, (NAMES,))
        checkpoint = load_checkpoint(directory / "model")
        counts = json.loads((directory / NAMES).read_bytes())
        kind = parse_index_kind(manifest.index)
    except (OSError, ValueError, CheckpointError) as error:
        raise IndexVersionError(f"{directory} cannot be used ({error}); {REMEDY}") from None
    if checkpoint.digest != manifest.model_digest or manifest.version != directory.name:
        raise IndexVersionError(f"{directory} is inconsistent: its parts do not match its manifest; {REMEDY}")
    return MilvusVersion(
        manifest=manifest,
        checkpoint=checkpoint,
        encoder=prepare_for_inference(checkpoint.encoder),
        kind=kind,
        name_counts=counts,
    )


def warn_of_size(image_id: str) -> None:
    """Tell that an image is left out of the index."""
    _log.warning("image %r is too large for a row in Milvus, so it cannot be found; give it a smaller graph", image_id)
