"""Building an index version: the catalogue through the encoder, row by row in the order of image ids."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

import numpy as np
import torch

from model.batch import PackedGraphs
from model.checkpoint import DOCUMENT, Checkpoint, find_checkpoint, load_checkpoint
from model.errors import CheckpointError
from model.formats import read_graph
from model.inference import embed, prepare_for_inference
from model.scene_graph import SceneGraph
from service.catalogue import Catalogue
from service.errors import ReindexError
from service.index.approximate import DIRECTORY as LISTS
from service.index.approximate import FLAT, IndexKind, build_approximate, save_approximate
from service.index.encoded import ImageEncoder
from service.index.manifest import IndexManifest, seal_version
from service.index.postings import DIRECTORY as FILTERS
from service.index.postings import FilterIndexBuilder, save_filter_index
from service.index.quantized import DIRECTORY as QUANTIZED
from service.index.quantized import save_quantized
from service.index.ranking import Lookup
from service.index.recall import RECALL_AT, measure_recall, shortest_part
from service.index.records import DIRECTORY as RECORDS
from service.index.records import RecordWriter
from service.index.vector_index import VectorIndex
from service.index.versions import IndexStore, IndexVersion, open_version

CANARIES: Final = 64
CANARY_TOLERANCE: Final = 1e-4

Progress = Callable[[int, int], None]
"""Told how many images are done, of how many."""


def build_index(
    *,
    catalogue: Catalogue,
    store: IndexStore,
    checkpoint: Path,
    progress: Progress,
    confirm: Callable[[str], None],
    kind: IndexKind = FLAT,
    encoded: Path | None = None,
) -> IndexManifest:
    """Encode the whole catalogue into a new version, test it, and switch to it.

    Until the switch, which is one rename, nothing changes for anybody; whatever fails before leaves the old version.

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
    """
    with store.stage() as directory:
        model = copy_checkpoint(find_checkpoint(checkpoint), directory / "model")
        # Before the first image is read: what changes later is looked for again by whoever uses the version.
        revision = catalogue.revision()
        count, canaries = _encode(catalogue, model, ImageEncoder(model, encoded), directory, progress)
        recall = _make_lists(directory, kind, model, list(canaries.values())) if kind.lists else None
        manifest = seal_version(
            directory, checkpoint=model, count=count, catalogue_revision=revision, kind=kind, recall=recall
        )
        check_canaries(open_version(directory), canaries)
        confirm(directory.name)
        store.publish(directory)
    store.prune()
    kept = [kept.catalogue_revision for kept in store.manifests().values() if kept is not None]
    catalogue.prune_removed(min(kept))
    return manifest


def check_canaries(version: IndexVersion, canaries: dict[str, SceneGraph]) -> None:
    """See that images find themselves: the same graph, embedded afresh and alone, has its own row at the top.

    Raises:
        ReindexError: one does not.
    """
    row_of = {image_id: row for row, image_id in enumerate(version.ids)}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a search; and for one small graph several threads only wait for each other
    try:
        for image_id, graph in canaries.items():
            _check_canary(version, image_id, row_of[image_id], graph)
    finally:
        torch.set_num_threads(threads)


def _check_canary(version: IndexVersion, image_id: str, row: int, graph: SceneGraph) -> None:
    resolved = version.checkpoint.resolver.resolve(graph)
    vector = embed(version.encoder, PackedGraphs.pack([resolved]))[0]
    top = float(version.index.search([Lookup(query=vector, wanted=1)])[0].scores.max(initial=-1))
    own = float(version.index.scores(vector, np.array([row]))[0])
    require_itself(image_id, own, top)


def require_itself(image_id: str, own: float, top: float) -> None:
    """See that an image's own score is the best that is found, or as good.

    Raises:
        ReindexError: it is not.
    """
    if not (abs(own - top) <= CANARY_TOLERANCE and own >= 1 - 10 * CANARY_TOLERANCE):
        raise ReindexError(
            f"image {image_id!r} does not find itself (its score is {own}, the best {top}), so the new index was "
            "not put to use; the checkpoint or its copy is damaged, use another one"
        )


def _encode(
    catalogue: Catalogue, model: Checkpoint, encoder: ImageEncoder, directory: Path, progress: Progress
) -> tuple[int, dict[str, SceneGraph]]:
    """Write vectors.npy, ids.json, filters/, records/ and quantized/.

    Returns:
        How many images there are, and some of them, evenly spread, to test the index with.
    """
    total = catalogue.count()
    dimension = model.encoder.config.dimension
    ids: list[str] = []
    canaries: dict[str, SceneGraph] = {}
    filters = FilterIndexBuilder(model.resolver)
    every = -(-total // CANARIES) or 1
    with RecordWriter(directory / RECORDS) as records, (directory / "vectors.npy").open("wb") as file:
        _write_header(file, 0, dimension)
        start = file.tell()
        for images in catalogue.stream():
            chunk = {image.image_id: read_graph(json.loads(image.graph), "native") for image in images}
            vectors = encoder.embed(images, list(chunk.values()))
            file.write(np.ascontiguousarray(vectors, np.float32).tobytes())
            numbered = enumerate(chunk.items(), len(ids))
            canaries |= {image_id: graph for row, (image_id, graph) in numbered if row % every == 0}
            filters.add(list(chunk.values()))
            records.add(images)
            ids += chunk
            progress(len(ids), max(total, len(ids)))
        if not ids:
            raise ReindexError("the catalogue is empty; fill it with `scenerank import GRAPHS`, then ask again")
        # The number of rows is known only now; NumPy leaves room in the header for it to grow.
        file.seek(0)
        _write_header(file, len(ids), dimension)
        assert file.tell() == start, "the header must not change its size"
    (directory / "ids.json").write_text(json.dumps(ids))
    save_filter_index(directory / FILTERS, filters.build())
    save_quantized(directory / QUANTIZED, np.load(directory / "vectors.npy", mmap_mode="r", allow_pickle=False))
    return len(ids), canaries


def _make_lists(directory: Path, kind: IndexKind, model: Checkpoint, graphs: list[SceneGraph]) -> float:
    """Write lists/; how much a search by them finds of what parts of these graphs are like."""
    vectors = np.load(directory / "vectors.npy", mmap_mode="r", allow_pickle=False)
    lists = build_approximate(vectors, kind)
    save_approximate(directory / LISTS, lists)
    parts = PackedGraphs.pack(model.resolver.resolve(shortest_part(graph)) for graph in graphs)
    queries = embed(prepare_for_inference(model.encoder), parts)
    return round(measure_recall(VectorIndex(vectors, lists), VectorIndex(vectors), queries, RECALL_AT), 4)


def _write_header(file: IO[bytes], rows: int, dimension: int) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (rows, dimension)}
    np.lib.format.write_array_header_1_0(file, header)


def copy_checkpoint(source: Path, target: Path) -> Checkpoint:
    """Copy a checkpoint, and read the copy, because the original may be training on.

    Raises:
        CheckpointError: it cannot be used.
    """
    target.mkdir()
    for path in [source / DOCUMENT, *source.glob("*.safetensors")]:
        shutil.copyfile(path, target / path.name)
    try:
        return load_checkpoint(target)
    except CheckpointError as error:
        # The copy is gone when somebody reads this.
        raise CheckpointError(str(error).replace(str(target), str(source))) from None
