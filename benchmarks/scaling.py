"""What docs/scaling.md reckons with: an image's share of processor, memory and disk, at several sizes and ways to look.

Processor time of this process, so that other work on the machine does not count; on an idle core it is the time that a
search takes. Queries are near to images, as in benchmarks/lookup.py. Prints each figure, and in the end all as JSON.

    python benchmarks/scaling.py DATASET --work DIR [--sizes 45000 200000 1000000] [--milvus 10000 45000]

DATASET is a directory of `scenerank prepare`; DIR takes some GB for a million images.
"""

import argparse
import json
import resource
import shutil
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.lookup import like_real, near_to
from model.batch import PackedGraphs
from model.checkpoint import PRETRAINED, find_checkpoint, load_checkpoint
from model.collection import read_collection
from model.inference import embed, prepare_for_inference
from service.catalogue import stored_image
from service.index.approximate import build_approximate, parse_index_kind
from service.index.milvus import Milvus
from service.index.milvus_rows import number_of, row_of_image
from service.index.quantized import can_scan, load_quantized, save_quantized
from service.index.ranking import Lookup, Vectors
from service.index.vector_index import VectorIndex
from service.threads import use_one_thread

DIMENSION = 768
GRAPHS = 4000
ROUNDS = 9
MOST_FILTERED = 10_000  # it looks through all rows in Python, and gives up after ten seconds
figures: dict[str, float] = {}


def tell(name: str, value: float, unit: str) -> None:
    figures[name] = round(value, 4)
    print(f"{name}: {value:.4g} {unit}", flush=True)


def processor_ms(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    call()
    times = []
    for _ in range(rounds):
        started = time.process_time()
        call()
        times.append((time.process_time() - started) * 1000)
    return float(np.median(times))


def encoding(dataset: Path) -> tuple[list[dict[str, object]], Vectors]:
    """Rows for Milvus of some images, and their vectors."""
    model = load_checkpoint(find_checkpoint(Path(PRETRAINED)))
    encoder = prepare_for_inference(model.encoder)
    records = list(islice(read_collection(dataset), GRAPHS))
    started = time.process_time()
    vectors = [
        embed(encoder, PackedGraphs.pack(model.resolver.resolve(one.graph) for one in records[start : start + 256]))
        for start in range(0, len(records), 256)
    ]
    tell("encode, graphs a second and core", len(records) / (time.process_time() - started), "1/s")
    embedded = np.concatenate(vectors)
    started = time.process_time()
    rows = [
        row_of_image(stored_image(record), vector, record.graph, model.resolver)
        for record, vector in zip(records, embedded, strict=True)
    ]
    tell("row for Milvus, microseconds", (time.process_time() - started) / len(records) * 1e6, "us")
    kept = [row for row in rows if row is not None]
    tell("record, bytes", float(np.mean([sum(map(len, row["record"])) for row in kept])), "B")
    entries = [sum(len(row[field]) for field in ("entries_1", "entries_2", "entries_3")) for row in kept]
    tell("filter entries", float(np.mean(entries)), "")
    return kept, embedded


def files(count: int, known: Path, work: Path) -> None:
    """Vectors mapped from a file: exact, and by lists where there are many."""
    path = work / "vectors.npy"
    np.save(path, like_real(count, DIMENSION, known), allow_pickle=False)
    vectors: Vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    started = time.process_time()
    shutil.rmtree(work / "quantized", ignore_errors=True)
    save_quantized(work / "quantized", vectors)
    tell(f"files {count}: codes, seconds", time.process_time() - started, "s")
    quantized = load_quantized(work / "quantized", count=count, dimension=DIMENSION) if can_scan() else None
    index = VectorIndex(vectors, quantized=quantized)
    queries = near_to(vectors, np.linspace(0, count - 1, 64).astype(np.int64))
    lookups = [Lookup(query=query, wanted=20) for query in queries]
    tell(f"files {count}: flat alone", processor_ms(lambda: index.search(lookups[:1])), "ms")
    tell(f"files {count}: flat 64 together, each", processor_ms(lambda: index.search(lookups), 3) / 64, "ms")
    allowed = np.arange(0, count, 10)
    some = Lookup(query=queries[0], wanted=20, allowed=allowed)
    tell(f"files {count}: flat, a filter leaves a tenth", processor_ms(lambda: index.search([some])), "ms")
    if count >= 200_000:
        kind = parse_index_kind("ivf1024,nprobe=32")
        started = time.process_time()
        by_lists = VectorIndex(vectors, build_approximate(vectors, kind))
        tell(f"files {count}: {kind}, seconds to make", time.process_time() - started, "s")
        tell(f"files {count}: {kind} alone", processor_ms(lambda: by_lists.search(lookups[:1])), "ms")
        exact = [set(hits.rows.tolist()) for hits in index.search(lookups)]
        found = [set(hits.rows.tolist()) for hits in by_lists.search(lookups)]
        shares = [len(a & b) / len(a) for a, b in zip(found, exact, strict=True)]
        tell(f"files {count}: {kind}, recall at 20", float(np.mean(shares)), "")
    tell("peak memory of this process, GB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, "GB")
    path.unlink()


def milvus_lite(count: int, rows: list[dict[str, object]], known: Path, work: Path) -> None:
    """The same in milvus-lite, within this process; the records are those of a few images again and again."""
    shutil.rmtree(work / "vectors.db", ignore_errors=True)
    milvus, version = Milvus(str(work / "vectors.db")), "20260101T000000000000Z-00000000"
    vectors = like_real(count, DIMENSION, known)
    milvus.create(version, dimension=DIMENSION, index={"index_type": "FLAT", "params": {}}, digest="", revision=0)
    started = time.process_time()
    for start in range(0, count, 256):
        chunk = range(start, min(start + 256, count))
        milvus.write(version, [rows[i % len(rows)] | {"id": f"{i:09}", "vector": vectors[i]} for i in chunk])
    milvus.flush(version)
    milvus.load(version)
    tell(f"milvus-lite {count}: microseconds to write a row", (time.process_time() - started) / count * 1e6, "us")
    size = sum(file.stat().st_size for file in (work / "vectors.db").rglob("*") if file.is_file())
    tell(f"milvus-lite {count}: bytes a row on the disk", size / count, "B")
    query = near_to(vectors, np.array([7]))[0]
    man = f"array_contains(entries_1, {number_of('objects', ('man',))})"
    tell(f"milvus-lite {count}: search", processor_ms(lambda: milvus.search(version, query, limit=84)), "ms")
    if count <= MOST_FILTERED:
        filtered = processor_ms(lambda: milvus.search(version, query, limit=84, expression=man), 3)
        tell(f"milvus-lite {count}: search with a filter", filtered, "ms")
    milvus.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="*", default=[45_000, 200_000, 1_000_000])
    parser.add_argument("--milvus", type=int, nargs="*", default=[10_000, 45_000])
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    use_one_thread()
    rows, embedded = encoding(arguments.dataset)
    known = arguments.work / "known.npz"
    np.savez(known, embeddings=embedded)
    for count in arguments.sizes:
        files(count, known, arguments.work)
    for count in arguments.milvus:
        milvus_lite(count, rows, known, arguments.work)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
