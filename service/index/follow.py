"""Keeping up with the catalogue: with files each process takes in all changes, with Milvus one does it for all."""

from collections.abc import Sequence

from model.scene_graph import SceneGraph
from service.catalogue import Catalogue
from service.index.live import LiveChanges, Overlay
from service.index.milvus_store import MilvusFollower, MilvusStore
from service.index.ranking import Vectors
from service.index.snapshot import Snapshot
from service.index.state import Encode, Follower, Store
from service.index.versions import IndexStore, IndexVersion


class FilesFollower:
    """A version with an overlay of what has changed since.

    Args:
        version: the version.
        encode: embeds with its model.
    """

    def __init__(self, version: IndexVersion, encode: Encode) -> None:
        def embed(graphs: Sequence[SceneGraph]) -> Vectors:
            return encode(version, graphs)

        self.version = version
        self._changes = LiveChanges(version, embed)
        self._changed = False

    @property
    def revision(self) -> int:
        """All changes of the catalogue up to it have been taken in."""
        return self._changes.revision

    def take_in(self, catalogue: Catalogue, revision: int) -> bool:
        """Take in what has changed up to a revision; whether something had."""
        changed = False
        for changes in catalogue.changes(self._changes.revision):
            self._changes.apply(changes)
            changed = self._changed = True
        self._changes.revision = revision
        return changed

    def state(self) -> Snapshot:
        """The state that the changes have led to."""
        overlay = self._changes.overlay() if self._changed else Overlay.empty(self.version)
        return Snapshot(version=self.version, overlay=overlay, revision=self.revision)


def follow(store: Store, version: str, encode: Encode) -> Follower:
    """Read and verify a version, and keep up with the catalogue from there on.

    Raises:
        IndexVersionError: it is missing or damaged.
    """
    if isinstance(store, MilvusStore):
        return MilvusFollower(store, store.open(version), encode)
    assert isinstance(store, IndexStore)
    return FilesFollower(store.open(version), encode)
