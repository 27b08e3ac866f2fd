"""One training step of the paper's shape: concatenation per edge, DGL, and SceneRank in single and half precision.

48 graphs (16 triples) of 21 objects and 15 relationships, five layers, D = 300, H = 512, 2,416 object names and 478
predicates; a step is packing, forward, Ranking loss, backward and Adam. Rounds are interleaved, so that other work on
the machine slows all of them alike. Prints medians and, as last line, ratios to the first as one JSON object.

    python benchmarks/training_step.py [--rounds 15] [--cuda]

With --cuda the same on a GPU, and the time of an epoch of `scenerank train` over 45,358 invented graphs of the paper's
sizes, times 100, with the paper's batches and with 16 times as large ones.
"""

import argparse
import copy
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from torch import Tensor

from model.batch import GraphBatch, PackedGraphs, offsets_of
from model.dataset import SceneGraphDataset
from model.encoder import EncoderConfig, SceneGraphEncoder
from model.engines import EngineName
from model.layers import GraphConvolution
from model.vocabulary import Vocabulary
from model.word_vectors import WordVectors
from training.config import load_recipe
from training.losses import ranking_loss
from training.trainer import new_optimizer, train

TRIPLES, OBJECTS, RELATIONSHIPS = 16, 21, 15
OBJECT_NAMES, PREDICATES, IMAGES = 2416, 478, 45_358

Forward = Callable[[GraphBatch], Tensor]


def straightforward(encoder: SceneGraphEncoder, batch: GraphBatch) -> Tensor:
    """The encoder as the paper tells it and sg2im does it: one network with three heads on [x_u, x_e, x_v]."""
    nodes, edges = encoder.object_embedding(batch.nodes), encoder.predicate_embedding(batch.predicates)
    source, target = batch.edges.unbind(dim=1)
    for module in encoder.convolutions:
        layer = cast("GraphConvolution", module)
        triples = torch.cat([nodes[source], edges, nodes[target]], dim=1)  # (E, 3D)
        hidden = F.relu(layer.edge_norm(layer.edge_network(triples)))  # (E, H)
        to_source, to_target = layer.source_head(hidden), layer.target_head(hidden)
        pooled = torch.zeros(len(nodes), hidden.shape[1], device=nodes.device)
        pooled = pooled.index_add(0, source, to_source).index_add(0, target, to_target)
        count = torch.zeros(len(nodes), device=nodes.device)
        ones = torch.ones(len(source), device=nodes.device)
        count = count.index_add(0, source, ones).index_add(0, target, ones).clamp(min=1).unsqueeze(1)
        nodes = F.normalize(layer.node_network(pooled / count), dim=1)
        if layer.edge_head is not None:
            edges = layer.edge_head(hidden)
    total = torch.zeros(batch.graphs, nodes.shape[1], device=nodes.device).index_add(0, batch.graph_of_node, nodes)
    return F.normalize(total / torch.bincount(batch.graph_of_node).unsqueeze(1), dim=1)


class Contestant:
    """An encoder with its own weights and optimizer.

    Args:
        encoder: where its weights start.
        engine: what moves states along edges.
        precision: "bf16" runs the layers under autocast.
        naive: whether to compute it the straightforward way, with Adam as PyTorch gives it.
    """

    def __init__(
        self, encoder: SceneGraphEncoder, *, engine: EngineName = "torch", precision: str = "fp32", naive: bool = False
    ) -> None:
        self.encoder = copy.deepcopy(encoder).train()
        self.encoder.engine = engine
        self.precision = precision
        self.naive = naive
        parameters = self.encoder.parameters()
        self.optimizer = torch.optim.Adam(parameters, lr=1e-4) if naive else new_optimizer(parameters, 1e-4)
        self.device = encoder.object_embedding.weight.device

    def embed(self, graphs: PackedGraphs) -> Tensor:
        """Embeddings with gradient. Shapes: N graphs -> (N, D)."""
        batch = graphs.to_batch().to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            embeddings: Tensor = straightforward(self.encoder, batch) if self.naive else self.encoder(batch)
        return embeddings

    def step(self, graphs: PackedGraphs) -> None:
        """Learn from triples: anchors, then positives, then negatives."""
        anchor, positive, negative = self.embed(graphs).chunk(3)
        target = torch.full((len(anchor),), 0.52, device=self.device)
        loss = ranking_loss(
            torch.linalg.vecdot(anchor, positive), torch.linalg.vecdot(anchor, negative), target, temperature=1.0
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        self.optimizer.step()

    def seconds(self, graphs: PackedGraphs) -> float:
        """Time of one step, everything that it put into a GPU's queue included."""
        self._finish()
        started = time.perf_counter()
        self.step(graphs)
        self._finish()
        return time.perf_counter() - started

    def _finish(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def invented_graphs(count: int, random: np.random.Generator) -> PackedGraphs:
    """Graphs of the paper's average size, with names as rare as in a language (Zipf)."""

    def names(size: int, kinds: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        weights = 1 / np.arange(1, kinds - 1)
        return 2 + random.choice(kinds - 2, size, p=weights / weights.sum()).astype(np.int32)

    return PackedGraphs(
        objects=names(count * OBJECTS, OBJECT_NAMES),
        object_offsets=offsets_of(np.full(count, OBJECTS)),
        subjects=random.integers(0, OBJECTS, count * RELATIONSHIPS, dtype=np.int32),
        predicates=names(count * RELATIONSHIPS, PREDICATES),
        targets=random.integers(0, OBJECTS, count * RELATIONSHIPS, dtype=np.int32),
        relationship_offsets=offsets_of(np.full(count, RELATIONSHIPS)),
    )


def compare(device: torch.device, rounds: int) -> dict[str, float]:
    random = np.random.default_rng(0)
    torch.manual_seed(0)
    encoder = SceneGraphEncoder(EncoderConfig(object_names=OBJECT_NAMES, predicates=PREDICATES)).to(device)
    contestants = {
        "straightforward fp32": Contestant(encoder, naive=True),
        "ours fp32": Contestant(encoder),
        "ours bf16": Contestant(encoder, precision="bf16"),
    }
    if device.type == "cpu":
        contestants["dgl fp32"] = Contestant(encoder, engine="dgl")
    graphs = invented_graphs(3 * TRIPLES, random)
    first = contestants["straightforward fp32"]
    expected = first.embed(graphs)
    for name, contestant in contestants.items():
        difference = (contestant.embed(graphs) - expected).abs().max().item()
        print(f"{name}: outputs differ from the straightforward ones by {difference:.1e} at most")
        assert difference < (1e-4 if contestant.precision == "fp32" else 0.05), name

    times: dict[str, list[float]] = {name: [] for name in contestants}
    for count in range(-2, rounds):  # two rounds to warm up
        graphs = invented_graphs(3 * TRIPLES, random)
        for name, contestant in contestants.items():
            seconds = contestant.seconds(graphs)
            if count >= 0:
                times[name].append(seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{device.type} {name}: {1000 * median:,.1f} ms a step, {3 * TRIPLES / median:,.0f} graphs/s")
    base = medians["straightforward fp32"]
    return {f"{device.type} {name}": round(base / median, 2) for name, median in medians.items()}


def invented_dataset(images: int) -> SceneGraphDataset:
    """Graphs of the paper's average size with invented captions, all for training; only in memory."""
    random = np.random.default_rng(0)
    objects = [f"object {number}" for number in range(OBJECT_NAMES - 2)]
    predicates = [f"predicate {number}" for number in range(PREDICATES - 2)]
    captions = 1 + random.random((images, 300), np.float32)
    return SceneGraphDataset(
        image_ids=np.arange(images).astype(str),
        graphs=invented_graphs(images, random),
        boxes=np.zeros((images * OBJECTS, 4), np.float32),
        attributes=np.zeros(0, np.int32),
        attribute_offsets=np.zeros(images * OBJECTS + 1, np.int64),
        attribute_names=[],
        urls=[""] * images,
        widths=np.zeros(images, np.int32),
        heights=np.zeros(images, np.int32),
        split=np.zeros(images, np.int8),
        caption_vectors=captions / np.linalg.norm(captions, axis=1, keepdims=True),
        caption_counts=np.full(images, 5, np.int32),
        phrase_vectors=np.zeros((images, 300), np.float32),
        phrase_counts=np.zeros(images, np.int32),
        vocabulary=Vocabulary.of_names(objects, predicates),
        word_vectors=WordVectors(["object", "predicate"], random.normal(size=(2, 300)).astype(np.float32)),
        manifest={"sha256": {}},
    )


def minutes_of_100_epochs(device: str, images: int, batch_size: int) -> float:
    """From one epoch of the paper's recipe in half precision; an epoch of few images before it warms up."""
    settings = [f"device={device}", f"batch_size={batch_size}", "precision=bf16", "epochs=1"]
    with tempfile.TemporaryDirectory() as directory:
        train(load_recipe("paper", settings), invented_dataset(10 * batch_size), Path(directory) / "warm")
        history = train(load_recipe("paper", settings), invented_dataset(images), Path(directory) / "run").history
    minutes = 100 * history[0]["seconds"] / 60
    print(f"{device}, {images:,} graphs, batches of {batch_size} triples: 100 epochs take {minutes:,.1f} minutes")
    return minutes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="steps of each kind")
    parser.add_argument("--cuda", action="store_true", help="on a GPU too, and a whole epoch there")
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} CPU threads")
    figures = compare(torch.device("cpu"), options.rounds)
    if options.cuda:
        print(torch.cuda.get_device_name())
        figures |= compare(torch.device("cuda"), 10 * options.rounds)
        for batch_size in (TRIPLES, 16 * TRIPLES):
            minutes = minutes_of_100_epochs("cuda", IMAGES, batch_size)
            figures[f"cuda minutes of 100 epochs, batch {batch_size}"] = round(minutes, 1)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
