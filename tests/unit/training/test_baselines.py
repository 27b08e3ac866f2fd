"""Baselines against slow loops: bags by counting, ridge regression by solving the normal equations anew."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from model.batch import PackedGraphs
from model.errors import DataError
from model.resolution import ResolvedGraph
from model.vocabulary import Vocabulary
from tests.random_graphs import NAMES, packed, random_graphs
from tests.small_dataset import small_dataset
from training.evaluation import ridge
from training.evaluation.baselines import NodeMean, SideBySide, tf_idf_bag, word_vector_mean
from training.evaluation.correlation import agreement_with_captions, row_agreement
from training.evaluation.features import read_features
from training.evaluation.methods import linear_baselines, untrained_baselines
from training.evaluation.partial_graphs import gallery_batches, partial_batches, whole_batches
from training.evaluation.retrieval import retrieval_scores
from training.evaluation.similarities import paired_similarities, similarities, unit_rows
from training.evaluation.triples import TripleBag
from training.similarity import supervised_images

VOCABULARY = Vocabulary.of_names([f"o{n}" for n in range(NAMES - 2)], [f"p{n}" for n in range(NAMES - 2)])


def triples_of(graph: ResolvedGraph) -> list[tuple[int, int, int]]:
    return [
        (graph.objects[subject], predicate, graph.objects[target])
        for subject, predicate, target in zip(graph.subjects, graph.predicates, graph.targets, strict=True)
    ]


def dense(count: int, dimension: int, seed: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    rows[np.abs(rows) < 1] = 0  # mostly zeros, as a bag is
    return unit_rows(rows)


def test_the_bag_of_triples_equals_counting_with_weights() -> None:
    training, others = random_graphs(30, seed=2), random_graphs(12, seed=3)
    bag = TripleBag.of_graphs(VOCABULARY, PackedGraphs.pack([*training, *others]), PackedGraphs.pack(training))
    frequency = Counter(triple for graph in training for triple in set(triples_of(graph)))

    def by_hand(graph: ResolvedGraph) -> dict[tuple[int, int, int], float]:
        weights = {
            triple: count * np.log(30 / max(frequency[triple], 1))
            for triple, count in Counter(triples_of(graph)).items()
        }
        length = np.sqrt(sum(weight**2 for weight in weights.values()))
        return {triple: weight / length for triple, weight in weights.items() if length > 0}

    bags = [by_hand(graph) for graph in others]
    expected = [[sum(a[t] * b.get(t, 0) for t in a) for b in bags] for a in bags]
    rows = bag(PackedGraphs.pack(others).to_batch())
    np.testing.assert_allclose(similarities(rows, rows), expected, atol=1e-5)


def test_a_triple_that_no_training_graph_has_finds_its_image() -> None:
    seen = ResolvedGraph(objects=[2, 3], subjects=[0], predicates=[2], targets=[1], substitutions=())
    unseen = ResolvedGraph(objects=[3, 4, 5], subjects=[0, 1], predicates=[4, 2], targets=[1, 2], substitutions=())
    gallery = PackedGraphs.pack([seen, unseen])
    bag = TripleBag.of_graphs(VOCABULARY, gallery, PackedGraphs.pack([seen] * 4))
    whole = bag(gallery.to_batch())
    [query] = partial_batches(gallery, "relationships", 1, np.random.default_rng(0))
    assert (similarities(bag(query), whole)[1] > [0, 0.5]).tolist() == [False, True]


def test_a_query_s_triple_that_no_graph_has_matches_nothing() -> None:
    bag = TripleBag.of_graphs(VOCABULARY, packed(5, seed=0), packed(5, seed=0))
    strange = ResolvedGraph(objects=[8, 8], subjects=[0], predicates=[8], targets=[1], substitutions=())
    empty = ResolvedGraph(objects=[2], subjects=[], predicates=[], targets=[], substitutions=())
    assert bag(PackedGraphs.pack([strange, empty]).to_batch()).toarray().any() == np.False_


def test_sparse_rows_score_as_dense_ones() -> None:
    rows, queries, captions = dense(30, 12, 0), dense(30, 12, 1), unit_rows(dense(30, 5, 2) + 1)
    thin, thin_queries = sparse.csr_array(rows), sparse.csr_array(queries)
    np.testing.assert_allclose(similarities(thin_queries, thin), queries @ rows.T, atol=1e-6)
    np.testing.assert_allclose(paired_similarities(thin_queries, thin), (queries * rows).sum(axis=1), atol=1e-6)
    assert retrieval_scores(thin_queries, thin) == pytest.approx(retrieval_scores(queries, rows))
    assert agreement_with_captions(thin, captions) == pytest.approx(agreement_with_captions(rows, captions), abs=0.01)


def test_ridge_is_the_solution_of_its_normal_equations_and_the_best_strength_by_validation(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path / "dataset")
    features = word_vector_mean(dataset.vocabulary, dataset.word_vectors)
    fitted = ridge.fit_ridge(features, dataset)
    assert fitted is not None
    members, captions = supervised_images(dataset, "train", "captions")
    x = np.concatenate([features(batch) for batch in whole_batches(dataset.graphs.select(members))]).astype(np.float64)
    val, val_captions = supervised_images(dataset, "val", "captions")
    gallery = np.concatenate([features(batch) for batch in gallery_batches(dataset.graphs.select(val))])
    scores = {}
    for strength in ridge.STRENGTHS:
        weights = np.linalg.solve(x.T @ x + strength * np.eye(x.shape[1]), x.T @ captions)
        scores[strength] = row_agreement(unit_rows((gallery @ weights).astype(np.float32)), val_captions)
        if strength == fitted.strength:
            np.testing.assert_allclose(fitted.weights, weights, atol=1e-4)
    best = max(scores.values(), key=lambda score: score["row_kendall_tau"])["row_kendall_tau"]
    assert scores[fitted.strength]["row_kendall_tau"] == pytest.approx(best, abs=1e-3)


def test_ridge_without_validation_images_has_a_fixed_strength(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path / "dataset")
    without = replace(dataset, split=np.where(dataset.split == 1, 0, dataset.split).astype(np.int8))
    fitted = ridge.fit_ridge(word_vector_mean(dataset.vocabulary, dataset.word_vectors), without)
    assert fitted is not None
    assert fitted.strength == 10


def test_a_data_set_without_captions_has_no_linear_baselines(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path / "dataset")
    silent = replace(dataset, caption_counts=np.zeros_like(dataset.caption_counts))
    assert linear_baselines(silent) == {}
    assert len(linear_baselines(dataset)) == 2


def test_a_data_set_without_training_images_counts_on_all_of_them(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path / "dataset")
    test_only = replace(dataset, split=np.full(len(dataset), 2, np.int8))
    bag = untrained_baselines(test_only, 0)["tf-idf bag of objects"]
    assert isinstance(bag, NodeMean)
    np.testing.assert_array_equal(bag.table, tf_idf_bag(dataset.vocabulary, dataset.graphs).table)


def test_side_by_side_similarities_are_the_weighted_sum() -> None:
    left, right = NodeMean(dense(NAMES, 5, 0)), NodeMean(dense(NAMES, 7, 1))
    batch = packed(10, seed=1).to_batch()
    both = SideBySide((left, 0.6), (right, 0.4))(batch)
    expected = 0.6 * left(batch) @ left(batch).T + 0.4 * right(batch) @ right(batch).T
    np.testing.assert_allclose(both @ both.T, expected, atol=1e-5)


def test_features_are_found_by_image_id(tmp_path: Path) -> None:
    rows = dense(4, 3, 0) * 5
    np.savez(tmp_path / "features.npz", ids=np.array([30, 10, 20, 40]), features=rows)
    found = read_features(tmp_path / "features.npz", np.array(["10", "40"]))
    np.testing.assert_allclose(found, unit_rows(rows)[[1, 3]], rtol=1e-5)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"ids": np.array(["1"]), "features": np.ones((1, 2))}, "no features for 1 of 2 images, 2 among them"),
        ({"ids": np.array(["1", "2"]), "vectors": np.ones((2, 2))}, "must hold ids and features or embeddings"),
        ({"ids": np.array(["1", "2"]), "features": np.ones((3, 2))}, "must be"),
        ({"ids": np.array([None, "2"]), "features": np.ones((2, 2))}, "cannot be read"),
    ],
)
def test_a_file_of_features_that_does_not_fit_says_what_would(
    tmp_path: Path, arrays: dict[str, NDArray[np.generic]], message: str
) -> None:
    path = tmp_path / "features.npz"
    with path.open("wb") as file:
        np.savez(file, allow_pickle=True, **arrays)
    with pytest.raises(DataError, match=message):
        read_features(path, np.array(["1", "2"]))
