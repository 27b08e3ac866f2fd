"""Building an index version in Milvus: the catalogue through the encoder into a collection of its own."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from model.atomic import write_atomically
from model.batch import PackedGraphs
from model.checkpoint import Checkpoint, find_checkpoint
from model.formats import read_graph
from model.inference import embed
from model.scene_graph import SceneGraph
from service.catalogue import Catalogue, StoredImage
from service.errors import ReindexError
from service.index.approximate import FLAT, IndexKind
from service.index.build import CANARIES, Progress, copy_checkpoint, require_itself
from service.index.encoded import ImageEncoder
from service.index.manifest import IndexManifest, seal_version
from service.index.milvus_rows import row_of_image
from service.index.milvus_state import MilvusState
from service.index.milvus_store import NAMES, MilvusFollower, MilvusStore, open_files, warn_of_size
from service.index.name_counts import NameCounts
from service.index.ranking import Vectors
from service.index.state import PageQuery, Version


def build_collection(
    *,
    catalogue: Catalogue,
    store: MilvusStore,
    checkpoint: Path,
    progress: Progress,
    confirm: Callable[[str], None],
    kind: IndexKind = FLAT,
    encoded: Path | None = None,
) -> IndexManifest:
    """Encode the whole catalogue into a new collection, test it, and have the alias name it.

    Args:
        catalogue: the images.
        store: where versions live.
        checkpoint: a training run or checkpoint.
        progress: told after every chunk.
        confirm: told the new version right before the switch; raises if that must not happen any more.
        kind: how the new version is to be searched.
        encoded: vectors that are there already; see `ImageEncoder`.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        ReindexError: the catalogue is empty, or images do not find themselves.
        VectorStoreError: Milvus does not answer.
    """
    milvus = store.milvus
    with store.stage() as directory:
        model = copy_checkpoint(find_checkpoint(checkpoint), directory / "model")
        revision = catalogue.revision()
        milvus.create(
            directory.name,
            dimension=model.encoder.config.dimension,
            index=_index_of(kind),
            digest=model.digest,
            revision=revision,
        )
        names = NameCounts(model.resolver)
        canaries: dict[str, SceneGraph] = {}
        total, done = catalogue.count(), 0
        every = -(-total // CANARIES) or 1
        for images, graphs, rows in _rows(catalogue.stream(), model, ImageEncoder(model, encoded)):
            for number, (image, graph, row) in enumerate(zip(images, graphs, rows, strict=True), done):
                names.add(graph)
                if row is None:
                    warn_of_size(image.image_id)
                elif number % every == 0:
                    canaries[image.image_id] = graph
            milvus.write(directory.name, [row for row in rows if row is not None])
            done += len(images)
            progress(done, max(total, done))
        if not done:
            raise ReindexError("the catalogue is empty; fill it with `scenerank import GRAPHS`, then ask again")
        write_atomically(directory / NAMES, json.dumps(names.to_json()).encode())
        milvus.flush(directory.name)
        milvus.load(directory.name)
        manifest = seal_version(directory, checkpoint=model, count=done, catalogue_revision=revision, kind=kind)
        version = open_files(directory)
        check_collection(MilvusState(milvus, version, revision), canaries)
        # Else who sees the switch first has all changes since the start to write, and meanwhile searches a version
        # that leaves the memory of Milvus. Twice, for what changes while the first are written.
        follower = MilvusFollower(store, version, _encode)
        for _ in range(2):
            revision = follower.write(catalogue, revision, catalogue.revision())
        confirm(directory.name)
        store.publish(directory)
    store.prune()
    kept = [kept.catalogue_revision for kept in store.manifests().values() if kept is not None]
    catalogue.prune_removed(min(kept))
    return manifest


def _rows(
    chunks: Iterator[Sequence[StoredImage]], model: Checkpoint, encoder: ImageEncoder
) -> Iterator[tuple[Sequence[StoredImage], list[SceneGraph], list[dict[str, Any] | None]]]:
    """Chunks of images with their graphs and rows; None for an image that is too large for one."""
    for images in chunks:
        graphs = [read_graph(json.loads(image.graph), "native") for image in images]
        vectors = encoder.embed(images, graphs)
        rows = [
            row_of_image(image, vector, graph, model.resolver)
            for image, vector, graph in zip(images, vectors, graphs, strict=True)
        ]
        yield images, graphs, rows


def _encode(version: Version, graphs: Sequence[SceneGraph]) -> Vectors:
    return embed(version.encoder, PackedGraphs.pack(map(version.checkpoint.resolver.resolve, graphs)))


def check_collection(state: MilvusState, canaries: dict[str, SceneGraph]) -> None:
    """See that images find themselves: the same graph, embedded afresh and alone, has its own row at the top.

    Raises:
        ReindexError: one does not.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for image_id, graph in canaries.items():
            resolved = state.version.checkpoint.resolver.resolve(graph)
            vector = embed(state.version.encoder, PackedGraphs.pack([resolved]))[0]
            (page,) = state.pages([PageQuery(vector=vector, limit=1)])
            own = state.exact_scores(vector, [image_id]).get(image_id, -1.0)
            require_itself(image_id, own, max(page.scores, default=-1.0))
    finally:
        torch.set_num_threads(threads)


def _index_of(kind: IndexKind) -> dict[str, Any]:
    """What Milvus calls a kind of index."""
    if not kind.lists:
        return {"index_type": "FLAT", "params": {}}
    return {"index_type": "IVF_FLAT", "params": {"nlist": kind.lists}}
