"""Things that several tests need: a tiny checkpoint with random weights, and made-up images."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from model.batch import PackedGraphs
from model.checkpoint import save_checkpoint
from model.collection import ImageRecord
from model.encoder import EncoderConfig, SceneGraphEncoder
from model.formats import write_graph
from model.resolution import NameResolver
from model.scene_graph import Box, Relationship, SceneGraph, SceneObject
from model.vocabulary import Vocabulary
from model.word_vectors import WordVectors

OBJECT_NAMES: Final = ("man", "woman", "horse", "dog", "table", "cup", "car", "tree", "street", "beach")
PREDICATES: Final = ("on", "riding", "next to", "holding", "under", "wearing")


def make_checkpoint(directory: Path, *, seed: int = 0, dimension: int = 16, layers: int = 2) -> str:
    """Write a tiny encoder with random weights that knows OBJECT_NAMES and PREDICATES; returns its digest."""
    vocabulary = Vocabulary.of_names(OBJECT_NAMES, PREDICATES, object_aliases={"lady": "woman"})
    words = sorted({word for name in (*OBJECT_NAMES, *PREDICATES) for word in name.split()})
    vectors = np.random.default_rng(seed).normal(size=(len(words) + 1, 32)).astype(np.float32)
    vectors[-1] = vectors[words.index("horse")] * 0.9  # a word outside the vocabulary whose nearest name is "horse"
    config = EncoderConfig(
        object_names=len(vocabulary.objects),
        predicates=len(vocabulary.predicates),
        dimension=dimension,
        hidden=2 * dimension,
        layers=layers,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = SceneGraphEncoder(config)
        # Batch norm has to have seen graphs, else all embeddings point nearly the same way.
        resolver, generator = NameResolver(vocabulary, None), np.random.default_rng(seed)
        graphs = PackedGraphs.pack(resolver.resolve(make_graph(generator)) for _ in range(64))
        for _ in range(20):
            encoder(graphs.to_batch())
        encoder.eval()
    return save_checkpoint(
        directory,
        encoder=encoder,
        vocabulary=vocabulary,
        word_vectors=WordVectors([*words, "pony"], vectors),
        metadata={"recipe": "random"},
    )


def make_graph(generator: np.random.Generator) -> SceneGraph:
    """A scene graph of two to six objects, with boxes."""
    names = generator.choice(OBJECT_NAMES, size=generator.integers(2, 7))
    objects = tuple(
        SceneObject(
            id=str(row),
            name=str(name),
            attributes=("tall",) if row == 0 else (),
            box=Box(*(float(side) for side in generator.integers(1, 200, 4))),
        )
        for row, name in enumerate(names)
    )
    edges = tuple(
        Relationship(subject=str(a), predicate=str(generator.choice(PREDICATES)), object=str(b))
        for a, b in generator.integers(0, len(objects), size=(int(generator.integers(1, 6)), 2))
    )
    return SceneGraph(objects, edges)


@cache
def _graphs(count: int, seed: int) -> tuple[SceneGraph, ...]:
    generator = np.random.default_rng(seed)
    return tuple(make_graph(generator) for _ in range(count))


def make_records(count: int, *, seed: int = 0) -> list[ImageRecord]:
    """Images "image-0000", ...; every tenth has the same graph as the one before it."""
    graphs = _graphs(count, seed)
    return [
        ImageRecord(
            image_id=f"image-{row:04}",
            graph=graphs[row - 1 if row % 10 == 9 else row],
            url=f"https://images.example/{row}.jpg",
            width=640,
            height=480,
        )
        for row in range(count)
    ]


def write_records(path: Path, records: Sequence[ImageRecord]) -> Path:
    """The records as a .jsonl file, one to a line."""
    lines: list[dict[str, Any]] = [
        {
            "image_id": record.image_id,
            "url": record.url,
            "width": record.width,
            "height": record.height,
            **write_graph(record.graph),
        }
        for record in records
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
