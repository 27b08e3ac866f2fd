"""A small data set made from random graphs, without any file."""

from pathlib import Path

import numpy as np

from model.batch import PackedGraphs
from model.dataset import SceneGraphDataset, load_dataset, save_dataset
from model.vocabulary import Vocabulary
from model.word_vectors import WordVectors
from tests.random_graphs import NAMES, random_graphs


def small_dataset(directory: Path, images: int = 60, seed: int = 0, *, sentences: bool = False) -> SceneGraphDataset:
    """60 images, written and read back: 40 for training, 10 for validation, 10 for testing.

    Captions speak of an image's objects; one in five training images has none. With `sentences` the captions have
    sentence vectors besides, of 6 numbers: a random projection of the caption vectors, so many similarities are
    negative.
    """
    random = np.random.default_rng(seed)
    graphs = PackedGraphs.pack(random_graphs(images, seed))
    objects = [f"object{n}" for n in range(NAMES - 2)]
    predicates = [f"predicate{n}" for n in range(NAMES - 2)]
    vectors = random.normal(size=(2 * (NAMES - 2) + 2, 8)).astype(np.float32)
    graph_of_object = np.repeat(np.arange(images), graphs.object_counts)
    captions = np.ones((images, 8), np.float32)
    np.add.at(captions, graph_of_object, vectors[graphs.objects])
    captions *= 0.9 / np.linalg.norm(captions, axis=1, keepdims=True)
    counts = np.full(images, 5, np.int32)
    counts[: images * 2 // 3 : 5] = 0
    captions[counts == 0] = 0
    split = np.zeros(images, np.int8)
    split[images * 2 // 3 :] = 1
    split[images * 5 // 6 :] = 2
    sentence_vectors = (captions - captions[counts > 0].mean(axis=0)) @ random.normal(size=(8, 6)).astype(np.float32)
    sentence_vectors *= 0.9 / np.linalg.norm(sentence_vectors, axis=1, keepdims=True)
    sentence_vectors[counts == 0] = 0
    dataset = SceneGraphDataset(
        image_ids=np.array([str(100 + n) for n in range(images)]),
        graphs=graphs,
        boxes=np.full((len(graphs.objects), 4), np.nan, np.float32),
        attributes=np.zeros(0, np.int32),
        attribute_offsets=np.zeros(len(graphs.objects) + 1, np.int64),
        attribute_names=[],
        urls=[""] * images,
        widths=np.zeros(images, np.int32),
        heights=np.zeros(images, np.int32),
        split=split,
        caption_vectors=captions,
        caption_counts=counts,
        phrase_vectors=np.zeros((images, 8), np.float32),
        phrase_counts=np.zeros(images, np.int32),
        vocabulary=Vocabulary.of_names(objects, predicates),
        word_vectors=WordVectors(
            [*objects, *predicates, "image", "in"],
            vectors,
        ),
        manifest={"settings": {"min_count": 1}},
        sentence_vectors=sentence_vectors if sentences else None,
        sentence_encoder="tiny" if sentences else None,
    )
    texts = ({"image_id": image_id, "captions": [], "phrases": []} for image_id in dataset.image_ids.tolist())
    save_dataset(directory, dataset, texts)
    return load_dataset(directory)
