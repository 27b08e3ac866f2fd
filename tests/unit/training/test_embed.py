"""Embedding a collection: every graph in order, names resolved as in a query."""

from pathlib import Path

import numpy as np
import pytest

from model.batch import PackedGraphs
from model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.collection import ImageRecord
from model.errors import DataError
from model.formats import read_graph
from model.inference import embed
from model.vocabulary import Vocabulary
from model.word_vectors import WordVectors
from tests.random_graphs import small_encoder
from training.embed import embed_collection, save_embeddings


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    names = ["man", "horse", "beach", "dog", "couch", "car", "tree"]
    save_checkpoint(
        tmp_path / "run",
        encoder=small_encoder(),
        vocabulary=Vocabulary.of_names(names, ["riding", "on", "near", "has", "in", "under", "behind"]),
        word_vectors=WordVectors(["couch", "sofa"], np.ones((2, 8), np.float32)),
        metadata={},
    )
    return load_checkpoint(tmp_path / "run")


def record(image_id: str, objects: list[str | None], relationships: list[list[object]]) -> ImageRecord:
    graph = read_graph({"objects": objects, "relationships": relationships}, "sg2im")
    return ImageRecord(image_id=image_id, graph=graph, url=None, width=None, height=None)


def test_unknown_names_and_wildcards_are_embedded_as_in_a_query(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.embed._GRAPHS_AT_ONCE", 2)
    records = [
        record("7", ["man", "horse"], [[0, "riding", 1]]),
        record("a", ["sofa", "dog"], [[1, "on", 0]]),  # the nearest known name is couch
        record("b", ["couch", "dog"], [[1, "on", 0]]),
        record("c", [None, "dog"], [[1, None, 0]]),
        record("d", ["xyzzy", "dog"], [[1, "xyzzy", 0]]),  # both become the unknown
    ]
    steps: list[int] = []
    embedded = embed_collection(checkpoint, records, steps.append)
    assert steps == [2, 4, 5]
    assert embedded.substituted == 3
    save_embeddings(tmp_path / "out" / "embeddings.npz", embedded)

    with np.load(tmp_path / "out" / "embeddings.npz", allow_pickle=False) as file:
        ids, embeddings = file["ids"], file["embeddings"]
    assert ids.tolist() == ["7", "a", "b", "c", "d"]
    assert embeddings.shape == (5, 8)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(embeddings[1], embeddings[2], atol=1e-6)
    np.testing.assert_allclose(embeddings[3], embeddings[4], atol=1e-6)
    alone = embed(checkpoint.encoder, PackedGraphs.pack([checkpoint.resolver.resolve(records[0].graph)]))
    np.testing.assert_allclose(embeddings[:1], alone, atol=1e-6)


def test_an_empty_collection_is_a_clear_error(checkpoint: Checkpoint) -> None:
    with pytest.raises(DataError, match="no scene graph to embed"):
        embed_collection(checkpoint, [])


def test_of_several_images_with_one_id_the_last_is_embedded(checkpoint: Checkpoint) -> None:
    records = [record("a", ["man"], []), record("b", ["horse"], []), record("a", ["dog"], [])]
    embedded = embed_collection(checkpoint, records)
    alone = embed_collection(checkpoint, records[1:])
    assert embedded.ids.tolist() == ["b", "a"]
    np.testing.assert_array_equal(embedded.embeddings, alone.embeddings)
