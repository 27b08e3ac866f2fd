"""Looking vectors up: FAISS one by one against the index, lists against every row; or the memory of a search.

The vectors are those of a .npz of `scenerank embed`, repeated with noise; without one, random middles with noise.
Prints milliseconds, medians of interleaved rounds, one thread, and as last line the ratios as one JSON object.

    python benchmarks/lookup.py [--vectors embeddings.npz] [--large]
    python benchmarks/lookup.py --memory
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np

from service.index.approximate import build_approximate, parse_index_kind
from service.index.ranking import Lookup, Rows, Vectors
from service.index.recall import measure_recall
from service.index.vector_index import VectorIndex
from service.threads import use_one_thread

SIZES = ((45_000, 300), (45_000, 768), (200_000, 768))
LARGE = (1_000_000, 768)
BATCHES = (1, 16, 64)
PROBES = (8, 32, 128)
WANTED = 20
ROUNDS = 7


def unit(rows: Vectors) -> Vectors:
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def near_to(vectors: Vectors, rows: Rows) -> Vectors:
    """Queries: rows with a little noise. Shape (rows, D)."""
    noise = np.random.default_rng(1).standard_normal((len(rows), vectors.shape[1]), np.float32)
    return unit(vectors[rows] + np.float32(0.02) * noise)


def like_real(count: int, dimension: int, source: Path | None, noise: float = 0.02) -> Vectors:
    """Unit vectors around known ones, or around random middles. Shape (count, dimension)."""
    random = np.random.default_rng(0)
    if source is not None:
        with np.load(source) as file:
            known = np.ascontiguousarray(file["embeddings"][:, :dimension])
    else:
        # Middles in few dimensions, so that some are near each other.
        known = random.standard_normal((2000, 32), np.float32) @ random.standard_normal((32, dimension), np.float32)
    unit(known)
    vectors = np.empty((count, dimension), np.float32)
    for start in range(0, count, 50_000):
        part = vectors[start : start + 50_000]
        random.standard_normal(out=part, dtype=np.float32)
        part *= noise
        part += known[np.arange(start, start + len(part)) % len(known)]
        unit(part)
    return vectors


def interleaved(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The median time of each, measured in turn. Units: milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(-1, ROUNDS):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if turn >= 0:
                times[name].append((time.perf_counter() - started) * 1000)
    return {name: float(np.median(taken)) for name, taken in times.items()}


def compare(count: int, dimension: int, source: Path | None) -> dict[str, float]:
    """How many times as fast as FAISS one by one the index is."""
    vectors = like_real(count, dimension, source)
    queries = near_to(vectors, np.arange(64) * (count // 64))
    flat = faiss.IndexFlatIP(dimension)
    flat.add(vectors)
    index = VectorIndex(vectors)
    ratios = {}
    for batch in BATCHES:
        some = queries[:batch]
        lookups = [Lookup(query=query, wanted=WANTED) for query in some]
        least = [replace(lookup, min_score=0.3) for lookup in lookups]
        taken = interleaved(
            {
                "FAISS": lambda some=some: [flat.search(query[np.newaxis], WANTED) for query in some],  # type: ignore[misc]
                "index": lambda lookups=lookups: index.search(lookups),  # type: ignore[misc]
                "min_score": lambda least=least: index.search(least),  # type: ignore[misc]
            }
        )
        shown = ", ".join(f"{name} {value:.2f} ms" for name, value in taken.items())
        print(f"{count:,} x {dimension}, batch {batch}: {shown}", flush=True)
        for name in ("index", "min_score"):
            ratios[f"{count}x{dimension} batch {batch} {name}"] = round(taken["FAISS"] / taken[name], 2)
    return ratios


def compare_lists(count: int, dimension: int, source: Path | None) -> dict[str, float]:
    """How many times as fast as the exact index lists are, and what they find."""
    vectors = like_real(count, dimension, source)
    queries = near_to(vectors, np.random.default_rng(2).choice(count, 200, replace=False))
    exact = VectorIndex(vectors)
    started = time.perf_counter()
    approximate = build_approximate(vectors, parse_index_kind("ivf1024"))
    print(f"{count:,} x {dimension}: lists built in {time.perf_counter() - started:.0f} s", flush=True)
    ratios = {}
    for probes in PROBES:
        index = VectorIndex(vectors, replace(approximate, probes=probes))
        recall = measure_recall(index, exact, queries, 10)
        alone = [[Lookup(query=query, wanted=WANTED)] for query in queries[:4]]
        taken = interleaved(
            {
                "exact": lambda alone=alone: [exact.search(one) for one in alone],  # type: ignore[misc]
                "lists": lambda alone=alone, index=index: [index.search(one) for one in alone],  # type: ignore[misc]
            }
        )
        print(
            f"nprobe {probes}: recall@10 {recall:.3f}, {taken['lists'] / 4:.2f} ms, exact {taken['exact'] / 4:.2f} ms"
        )
        ratios[f"ivf1024 nprobe {probes} recall@10"] = round(recall, 3)
        ratios[f"ivf1024 nprobe {probes} speed"] = round(taken["exact"] / taken["lists"], 1)
    return ratios


def measure_memory(path: Path) -> None:
    """Open mapped vectors, search, and print the process's memory in terms of theirs."""
    use_one_thread()

    def resident() -> int:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    before = resident()
    started = time.perf_counter()
    vectors = np.load(path, mmap_mode="r")
    index = VectorIndex(vectors)
    opened = time.perf_counter() - started
    for number in (1, 16, 64):
        index.search([Lookup(query=np.array(vectors[row]), wanted=WANTED) for row in range(number)])
    after = resident()
    print(
        json.dumps(
            {
                "open_ms": round(opened * 1000, 2),
                "vectors_gb": round(vectors.nbytes / 1e9, 3),
                "resident_over_vectors": round(after / vectors.nbytes, 3),
                "resident_over_vectors_without_libraries": round((after - before) / vectors.nbytes, 3),
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=Path, help="a file of `scenerank embed`")
    parser.add_argument("--large", action="store_true", help="also a million vectors")
    parser.add_argument("--memory", action="store_true", help="only the memory of a million mapped vectors")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        measure_memory(arguments.measure)
        return
    if arguments.memory:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "vectors.npy"
            np.save(path, like_real(*LARGE, arguments.vectors))
            subprocess.run([sys.executable, __file__, "--measure", str(path)], check=True)
        return
    use_one_thread()
    ratios: dict[str, float] = {}
    for size in (*SIZES, *([LARGE] if arguments.large else [])):
        ratios |= compare(*size, arguments.vectors)
    ratios |= compare_lists(*(LARGE if arguments.large else SIZES[-1]), arguments.vectors)
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
