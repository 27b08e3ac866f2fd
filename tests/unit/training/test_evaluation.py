"""Metrics against SciPy, hand-made cases and slow loops."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from model.batch import PackedGraphs
from model.checkpoint import load_checkpoint, save_checkpoint
from model.resolution import ResolvedGraph
from model.vocabulary import IN_IMAGE_ID, Vocabulary
from tests.random_graphs import packed, random_graphs, small_encoder
from tests.small_dataset import small_dataset
from training.evaluation import correlation
from training.evaluation.baselines import NodeMean, tf_idf_bag
from training.evaluation.correlation import agreement_with_captions
from training.evaluation.evaluate import evaluate
from training.evaluation.partial_graphs import Reading, partial_batches
from training.evaluation.report import to_markdown
from training.evaluation.retrieval import retrieval_scores
from training.evaluation.similarities import unit_rows


def unit_vectors(count: int, dimension: int, seed: int) -> NDArray[np.float32]:
    return unit_rows(np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32))


def test_coefficients_equal_scipy_on_the_full_matrices() -> None:
    embeddings, captions = unit_vectors(30, 4, 0), unit_vectors(30, 5, 1)
    scores = agreement_with_captions(embeddings, captions)
    f, s = embeddings @ embeddings.T, captions @ captions.T
    others = [np.arange(30) != row for row in range(30)]
    upper = np.triu_indices(30, 1)
    for name, function in (
        ("kendall_tau", stats.kendalltau),
        ("spearman_rho", stats.spearmanr),
        ("pearson_r", stats.pearsonr),
    ):
        rows = [function(f[row][others[row]], s[row][others[row]]).statistic for row in range(30)]
        assert scores[f"row_{name}"] == pytest.approx(np.mean(rows), abs=1e-5)
        assert scores[f"all_{name}"] == pytest.approx(function(f[upper], s[upper]).statistic, abs=1e-5)


def test_embeddings_that_are_the_captions_agree_perfectly() -> None:
    captions = unit_vectors(20, 5, 0)
    assert all(value == pytest.approx(1, abs=1e-4) for value in agreement_with_captions(captions, captions).values())


def test_embeddings_without_variation_count_as_zero() -> None:
    scores = agreement_with_captions(np.ones((5, 3), np.float32), unit_vectors(5, 4, 0))
    assert set(scores.values()) == {0.0}


def test_sampled_pairs_estimate_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    captions = unit_vectors(120, 5, 0)
    embeddings = unit_rows(captions + 0.3 * unit_vectors(120, 5, 1))
    exact = agreement_with_captions(embeddings, captions)
    monkeypatch.setattr(correlation, "_MAX_PAIRS", 5000)
    sampled = agreement_with_captions(embeddings, captions)
    assert sampled["all_kendall_tau"] != exact["all_kendall_tau"]
    assert sampled["all_kendall_tau"] == pytest.approx(exact["all_kendall_tau"], abs=0.03)


def test_retrieval_by_hand() -> None:
    gallery = np.eye(4, dtype=np.float32)
    queries = np.array(
        [[1, 0, 0, 0], [0.9, 0.5, 0, 0], [0.3, 0.2, 0.1, 0], [0.5, 0, 0, 0.5]],  # ranks 1, 2, 3, and a tie for first
        np.float32,
    )
    scores = retrieval_scores(queries, gallery)
    assert scores["recall_at_1"] == pytest.approx((1 + 0 + 0 + 0.5) / 4)
    assert scores["recall_at_2"] == pytest.approx((1 + 1 + 0 + 1) / 4)
    assert scores["recall_at_3"] == pytest.approx(1)
    assert scores["mean_reciprocal_rank"] == pytest.approx((1 + 1 / 2 + 1 / 3 + (1 + 1 / 2) / 2) / 4)


def test_retrieval_with_ties_is_the_mean_over_random_orders() -> None:
    random = np.random.default_rng(0)
    gallery = random.integers(0, 3, (12, 2)).astype(np.float32)
    queries = random.integers(0, 3, (12, 2)).astype(np.float32)
    expected: Counter[str] = Counter()
    for query, own in zip(queries, gallery, strict=True):
        values = gallery @ query
        better, tied = (values > own @ query).sum(), (values == own @ query).sum() - 1
        for rank in range(better + 1, better + tied + 2):  # each place among the equals is as likely
            weight = 1 / (tied + 1) / 12
            expected["mean_reciprocal_rank"] += weight / rank
            for k in range(1, 51):
                expected[f"recall_at_{k}"] += weight * (rank <= k)
    assert retrieval_scores(queries, gallery) == pytest.approx(dict(expected))


def test_a_graph_that_two_images_share_is_found_half_of_the_time() -> None:
    graph = random_graphs(1, seed=4)[0]
    with torch.inference_mode():
        vectors = small_encoder()(PackedGraphs.pack([graph, graph]).to_batch()).numpy()
    vectors[1] += 1e-8  # as another batch would
    assert retrieval_scores(vectors, vectors)["recall_at_1"] == 0.5


@pytest.mark.parametrize(
    ("relationships", "removal", "left"),
    [
        (4, 0.25, 3),
        (4, 0.5, 2),
        (4, 0.75, 1),
        (3, 0.75, 1),
        (2, 0.75, 1),
        (1, 0.75, 1),
        (6, 0.75, 2),
        (5, 2, 3),
        (5, 12, 1),
        (5, 0, 5),
    ],
)
def test_as_many_relationships_go_as_said_and_never_the_last(relationships: int, removal: float, left: int) -> None:
    ring = list(range(relationships))
    graph = ResolvedGraph(
        objects=[2] * relationships,
        subjects=ring,
        predicates=[2] * relationships,
        targets=[*ring[1:], 0],
        substitutions=(),
    )
    [batch] = partial_batches(PackedGraphs.pack([graph]), "relationships", removal, np.random.default_rng(0))
    assert int((batch.predicates != IN_IMAGE_ID).sum()) == left


@pytest.mark.parametrize("reading", ["all_edges", "relationships"])
def test_every_edge_is_as_likely_to_go(reading: Reading) -> None:
    graph = ResolvedGraph(objects=[2, 3, 4], subjects=[0, 1], predicates=[2, 3], targets=[1, 2], substitutions=())
    graphs = PackedGraphs.pack([graph] * 4000)
    kept: Counter[tuple[int, int]] = Counter()
    for batch in partial_batches(graphs, reading, 1, np.random.default_rng(0)):
        kept.update(zip(batch.predicates.tolist(), batch.nodes[batch.edges[:, 0]].tolist(), strict=True))
    removable = [(2, 2), (3, 3)] if reading == "relationships" else [(2, 2), (3, 3), (0, 2), (0, 3), (0, 4)]
    lost = [4000 - kept[edge] for edge in removable]
    assert stats.chisquare(lost).pvalue > 0.001


def test_all_edges_may_take_the_image_node_and_objects_without_edges_go() -> None:
    graphs = packed(50, seed=1)
    for batch in partial_batches(graphs, "all_edges", 5, np.random.default_rng(0)):
        assert set(batch.edges.flatten().tolist()) == set(range(len(batch.nodes)))
        assert set(batch.graph_of_node.tolist()) == set(range(50))
        assert (torch.bincount(batch.graph_of_node[batch.nodes == 0], minlength=50) == 0).any()


def test_bag_baseline_equals_counting_with_weights() -> None:
    training = packed(30, seed=2)
    vocabulary = Vocabulary.of_names([f"o{n}" for n in range(7)], ["p"])
    graphs = random_graphs(10, seed=3)
    frequency = Counter(
        name
        for graph in range(30)
        for name in set(training.objects[training.object_offsets[graph] : training.object_offsets[graph + 1]].tolist())
    )
    expected = np.zeros((10, 9))
    for row, graph in zip(expected, graphs, strict=True):
        for name in graph.objects:
            row[name] += np.log(30 / frequency[name])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    actual = tf_idf_bag(vocabulary, training)(PackedGraphs.pack(graphs).to_batch())
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_node_mean_leaves_the_image_node_out() -> None:
    table = np.eye(9, dtype=np.float32)
    graph = ResolvedGraph(objects=[2, 2, 3], subjects=[], predicates=[], targets=[], substitutions=())
    vector = NodeMean(table)(PackedGraphs.pack([graph]).to_batch())[0]
    np.testing.assert_allclose(vector[[2, 3]], np.array([2, 1]) / np.sqrt(5), rtol=1e-6)
    assert vector[0] == 0


def test_the_report_shows_the_encoder_beside_every_baseline(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path / "dataset")
    save_checkpoint(
        tmp_path / "run",
        encoder=small_encoder(),
        vocabulary=dataset.vocabulary,
        word_vectors=dataset.word_vectors,
        metadata={"config": {"loss": "ranking", "sampler": "probability", "seed": 5}, "epoch": 3, "figures": {}},
    )
    steps: list[tuple[str, int]] = []
    document = evaluate(
        load_checkpoint(tmp_path / "run"), dataset, split="test", seed=0, progress=lambda *step: steps.append(step)
    )
    assert steps == [(name, 7) for name in document["agreement"]]
    assert list(document["agreement_sentences"]) == ([] if dataset.sentence_vectors is None else [n for n, _ in steps])
    again = evaluate(load_checkpoint(tmp_path / "run"), dataset, split="test", seed=0)
    assert again == document
    markdown = to_markdown(document, "scenerank evaluate run dataset --out report")
    for method, scores in document["agreement"].items():
        assert f"| {method} | {scores['row_kendall_tau']:.3f}" in markdown
    assert markdown.count("| encoder |") == 6
    assert "scenerank evaluate run dataset" in markdown
    assert "Encoder: convolution, loss ranking, sampler probability, 3 epochs, training seed 5" in markdown
    document["protocol"]["training"] = {"config": {"encoder": "triples", "seed": 2}, "epoch": 0}
    assert "Encoder: triples, fitted in closed form, training seed 2" in to_markdown(document, "")
