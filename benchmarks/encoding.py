"""Encoding with the paper's encoder as it was trained and as it is served, one thread, interleaved rounds.

Graphs of 22 nodes and 36 edges, and of 4 and 6, `__image__` included; batches of 1, 16 and 64; five layers, D = 300,
H = 512. Prints medians and, as last line, how many times as fast
the served form is, as one JSON object.

    python benchmarks/encoding.py [--rounds 40]
"""

import argparse
import json
import statistics
import time
from typing import Final

import numpy as np
import torch

from model.batch import PackedGraphs, offsets_of
from model.encoder import EncoderConfig, SceneGraphEncoder
from model.inference import InferenceEncoder, embed, prepare_for_inference

NAMES: Final = 2000
SIZES: Final = {"22 nodes 36 edges": (21, 15), "4 nodes 6 edges": (3, 3)}  # objects and relationships
BATCHES: Final = (1, 16, 64)


def graphs_of(count: int, objects: int, relationships: int, random: np.random.Generator) -> PackedGraphs:
    """Invented graphs of one size."""
    return PackedGraphs(
        objects=random.integers(2, NAMES, count * objects, dtype=np.int32),
        object_offsets=offsets_of(np.full(count, objects)),
        subjects=random.integers(0, objects, count * relationships, dtype=np.int32),
        predicates=random.integers(2, NAMES, count * relationships, dtype=np.int32),
        targets=random.integers(0, objects, count * relationships, dtype=np.int32),
        relationship_offsets=offsets_of(np.full(count, relationships)),
    )


def new_encoder(random: np.random.Generator) -> SceneGraphEncoder:
    """Random weights, and running statistics of batch norm that have seen graphs."""
    torch.manual_seed(0)
    encoder = SceneGraphEncoder(EncoderConfig(object_names=NAMES, predicates=NAMES))
    with torch.no_grad():
        for _ in range(20):
            encoder(graphs_of(32, 10, 8, random).to_batch())
    return encoder.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40, help="measurements of each kind")
    options = parser.parse_args()
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    encoder = new_encoder(random)
    contestants: dict[str, InferenceEncoder] = {"trained": encoder, "served": prepare_for_inference(encoder)}
    ratios: dict[str, float] = {}
    for size, (objects, relationships) in SIZES.items():
        for count in BATCHES:
            graphs = graphs_of(count, objects, relationships, random)
            times: dict[str, list[float]] = {name: [] for name in contestants}
            for number in range(-3, options.rounds):  # three rounds to warm up
                for name, contestant in contestants.items():
                    started = time.perf_counter()
                    embed(contestant, graphs)
                    if number >= 0:
                        times[name].append(time.perf_counter() - started)
            medians = {name: 1000 * statistics.median(values) for name, values in times.items()}
            figures = ", ".join(f"{name} {median:.2f} ms" for name, median in medians.items())
            print(f"{size}, {count} at once: {figures}", flush=True)
            ratios[f"{size}, batch {count}"] = round(medians["trained"] / medians["served"], 2)
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
