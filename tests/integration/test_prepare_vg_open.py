"""Preparation of the real vg-open files, in the form and with the noise in which they are distributed."""

from pathlib import Path

import numpy as np
import pytest

from model.collection import read_collection
from model.dataset import SceneGraphDataset, load_dataset, read_texts
from training.data.prepare import prepare
from training.data.report import Report


@pytest.fixture(scope="module")
def prepared(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    source, out = shared_data / "vg-open", tmp_path_factory.mktemp("vg-open") / "dataset"
    report = prepare(
        visual_genome=source,
        captions=[source / "captions_coco.json.gz"],
        word_vectors=source / "glove.6B.300d.txt.gz",
        out=out,
        min_count=10,
        min_objects=2,
        split_file=source / "splits.json",
    )
    return out, report


@pytest.fixture(scope="module")
def dataset(prepared: tuple[Path, Report]) -> SceneGraphDataset:
    return load_dataset(prepared[0])


def test_the_benchmark_split_survives_the_filters_whole(prepared: tuple[Path, Report]) -> None:
    _, report = prepared
    for split, count in (("test", 600), ("val", 300)):
        step = next(step for step in report.steps if step.name == f"images of the split file's {split!r}")
        assert (step.kept, step.dropped) == (count, 0)
        assert report.kept(f"{split} images with captions") == count


def test_every_file_is_read_whole(prepared: tuple[Path, Report]) -> None:
    _, report = prepared

    assert report.kept("images") == 44_957
    assert report.kept("objects") == 184_203
    assert report.kept("relationships") == 118_554
    assert report.oddities == {}


def test_graphs_respect_the_filters(dataset: SceneGraphDataset) -> None:
    graphs = dataset.graphs
    graph_of_edge = np.repeat(np.arange(len(dataset)), graphs.relationship_counts)

    assert graphs.object_counts.min() >= 2
    assert graphs.object_counts.max() <= 40
    assert graphs.relationship_counts.min() >= 1
    assert (graphs.subjects < graphs.object_counts[graph_of_edge]).all()
    assert (graphs.targets < graphs.object_counts[graph_of_edge]).all()
    assert graphs.objects.min() == graphs.predicates.min() == 2
    assert graphs.objects.max() == len(dataset.vocabulary.objects) - 1


def test_stored_supervision_equals_the_mean_similarity_of_captions(
    prepared: tuple[Path, Report], dataset: SceneGraphDataset
) -> None:
    members = dataset.members("test")[:20]
    texts = [text["captions"] for text in read_texts(prepared[0])]

    def units(image: int) -> list[np.ndarray]:
        means = [dataset.word_vectors.mean(caption) for caption in texts[image]]
        return [mean / np.linalg.norm(mean) for mean in means if mean is not None]

    naive = [[np.mean([u @ v for u in units(x) for v in units(y)]) for y in members] for x in members]
    stored = dataset.caption_vectors[members] @ dataset.caption_vectors[members].T
    np.testing.assert_allclose(stored, naive, atol=1e-5)


def test_the_data_set_and_the_directory_hold_the_same_relationships(
    prepared: tuple[Path, Report], dataset: SceneGraphDataset, shared_data: Path
) -> None:
    official = {record.image_id: record.graph for record in read_collection(shared_data / "vg-open")}
    known = set(dataset.vocabulary.objects), set(dataset.vocabulary.predicates)
    for record in read_collection(prepared[0], split="test"):
        graph = official[record.image_id]
        name = {item.id: item.name for item in graph.objects}
        expected = [
            (name[edge.subject], edge.predicate, name[edge.object])
            for edge in graph.relationships
            if name[edge.subject] in known[0] and name[edge.object] in known[0] and edge.predicate in known[1]
        ]
        name = {item.id: item.name for item in record.graph.objects}
        assert [(name[e.subject], e.predicate, name[e.object]) for e in record.graph.relationships] == expected
