"""Which of the two backends: vectors in files that every process maps, or in Milvus."""

from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from service.catalogue import Catalogue
from service.index.approximate import FLAT, IndexKind
from service.index.build import Progress, build_index
from service.index.manifest import IndexManifest
from service.index.milvus import Milvus
from service.index.milvus_build import build_collection
from service.index.milvus_store import MilvusStore
from service.index.state import Store
from service.index.versions import IndexStore
from service.settings import Settings


def open_store(settings: Settings) -> Store:
    """The index versions that the settings name.

    Raises:
        ConfigError: SCENERANK_INDEX_URL is no good, or needs a Python package that is not there.
        VectorStoreError: Milvus does not answer.
    """
    if settings.index_url is None:
        return IndexStore(settings.index_dir, settings.index_versions_kept)
    milvus = Milvus(settings.index_url.get_secret_value())
    return MilvusStore(settings.index_dir / "milvus", milvus, settings.index_versions_kept)


def close_store(store: Store) -> None:
    """End the connection, if there is one."""
    if isinstance(store, MilvusStore):
        store.milvus.close()


def settings_for_others(settings: Settings, store: Store) -> Settings:
    """The settings that give another process the same store: a file of milvus-lite is served by the one that has it."""
    if not isinstance(store, MilvusStore):
        return settings
    return settings.model_copy(update={"index_url": SecretStr(store.milvus.address)})


def build(
    *,
    catalogue: Catalogue,
    store: Store,
    checkpoint: Path,
    progress: Progress,
    confirm: Callable[[str], None],
    kind: IndexKind = FLAT,
    encoded: Path | None = None,
) -> IndexManifest:
    """Encode the whole catalogue into a new version, test it, and switch to it; see `build_index`."""
    if isinstance(store, MilvusStore):
        return build_collection(
            catalogue=catalogue,
            store=store,
            checkpoint=checkpoint,
            progress=progress,
            confirm=confirm,
            kind=kind,
            encoded=encoded,
        )
    assert isinstance(store, IndexStore)
    return build_index(
        catalogue=catalogue,
        store=store,
        checkpoint=checkpoint,
        progress=progress,
        confirm=confirm,
        kind=kind,
        encoded=encoded,
    )
