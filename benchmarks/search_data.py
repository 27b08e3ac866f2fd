"""What benchmarks/search.py searches in and asks for: two encoders, made-up images indexed as a user would, queries."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from sqlalchemy import URL

from model.batch import PackedGraphs
from model.checkpoint import PRETRAINED, load_checkpoint, save_checkpoint
from model.collection import ImageRecord
from model.encoder import EncoderConfig, SceneGraphEncoder
from model.formats import write_graph
from model.scene_graph import Relationship, SceneGraph, SceneObject
from model.vocabulary import Vocabulary
from service.catalogue import Catalogue
from service.database import open_database
from service.index.manifest import read_manifest
from service.index.versions import IndexStore

SIZES: Final = {"large": (22, 36), "small": (4, 6)}
"""Queries: how many objects and relationships they have."""

QUERIES: Final = 4096  # of each size


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A data directory with an index, and files of queries, one body of POST /search a line."""

    directory: Path

    @property
    def data_dir(self) -> Path:
        """What SCENERANK_DATA_DIR names."""
        return self.directory / "data"

    @property
    def environment(self) -> dict[str, str]:
        """Of a service as a user runs it: nothing else is set."""
        outside = {name: value for name, value in os.environ.items() if not name.startswith("SCENERANK_")}
        return outside | {"SCENERANK_DATA_DIR": str(self.data_dir)}

    @property
    def version(self) -> Path:
        """The directory of the index version in use."""
        store = IndexStore(self.data_dir / "index")
        name = store.current()
        assert name is not None
        return store.directory(name)

    def queries(self, size: str) -> Path:
        """The file of the queries of a size."""
        return self.directory / f"{size}.jsonl"


def prepare(directory: Path, *, checkpoint: Path, images: int, objects: int) -> Place:
    """A catalogue of made-up images with its index and queries; what is there already stays.

    Args:
        directory: where to make it.
        checkpoint: of the encoder.
        images: how many.
        objects: how many an image has at most.
    """
    place = Place(directory=directory)
    vocabulary = load_checkpoint(checkpoint).vocabulary
    place.data_dir.mkdir(parents=True, exist_ok=True)
    for size, (nodes, edges) in SIZES.items():
        random = np.random.default_rng(nodes)
        graphs = (_graph(vocabulary, random, nodes, edges) for _ in range(QUERIES))
        lines = [json.dumps({"graph": write_graph(graph), "limit": 10}) for graph in graphs]
        place.queries(size).write_text("\n".join(lines))
    database = open_database(URL.create("sqlite", database=str(place.data_dir / "scenerank.db")))
    catalogue = Catalogue(database)
    if catalogue.count() < images:
        catalogue.upsert(_records(vocabulary, images, objects))
    database.dispose()
    current = IndexStore(place.data_dir / "index").current()
    if current is None or read_manifest(place.version).count < images:
        command = [sys.executable, "-m", "scenerank", "index", "build", "--checkpoint", str(checkpoint)]
        subprocess.run(command, env=place.environment, check=True)
    return place


def convolution_checkpoint(directory: Path, *, layers: int = 5, hidden: int = 512) -> Path:
    """The paper's encoder with random weights and the vocabulary of the shipped one; by default of the paper's size."""
    shipped = load_checkpoint(Path(PRETRAINED))
    vocabulary, random = shipped.vocabulary, np.random.default_rng(0)
    config = EncoderConfig(
        object_names=len(vocabulary.objects), predicates=len(vocabulary.predicates), layers=layers, hidden=hidden
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = SceneGraphEncoder(config)
    # Batch norm has to have seen graphs, else all embeddings point nearly the same way.
    for _ in range(20):
        graphs = [_graph(vocabulary, random, 12, 12) for _ in range(64)]
        encoder(PackedGraphs.pack(map(shipped.resolver.resolve, graphs)).to_batch())
    save_checkpoint(
        directory,
        encoder=encoder.eval(),
        vocabulary=vocabulary,
        word_vectors=shipped.word_vectors,
        metadata={"recipe": "random"},
    )
    return directory


def _records(vocabulary: Vocabulary, count: int, objects: int) -> Iterator[ImageRecord]:
    random = np.random.default_rng(1)
    for row in range(count):
        nodes, edges = random.integers(2, objects, endpoint=True), random.integers(1, objects, endpoint=True)
        yield ImageRecord(
            image_id=str(1_000_000 + row),
            graph=_graph(vocabulary, random, int(nodes), int(edges)),
            url=f"https://images.example/{row}.jpg",
            width=640,
            height=480,
        )


def _graph(vocabulary: Vocabulary, random: np.random.Generator, nodes: int, edges: int) -> SceneGraph:
    """A graph of known names, as rare as in a language (Zipf)."""

    def names(known: tuple[str, ...], count: int) -> list[str]:
        places: NDArray[np.int64] = (np.exp(random.random(count) * np.log(len(known) - 2)) - 1).astype(np.int64)
        return [known[2 + place] for place in places.tolist()]

    objects = [SceneObject(id=str(row), name=name) for row, name in enumerate(names(vocabulary.objects, nodes))]
    ends: Any = random.integers(0, nodes, (edges, 2)).astype(str).tolist()
    predicates = names(vocabulary.predicates, edges)
    return SceneGraph(
        tuple(objects),
        tuple(
            Relationship(subject=subject, predicate=predicate, object=target)
            for (subject, target), predicate in zip(ends, predicates, strict=True)
        ),
    )
