"""The closed form of the triple encoder against plain least squares, and what its random signs promise."""

import numpy as np
import pytest
import torch

from model.batch import PackedGraphs
from model.dataset import SceneGraphDataset
from model.resolution import ResolvedGraph
from model.triple_encoder import TripleEncoder, TripleEncoderConfig
from model.vocabulary import UNKNOWN_ID
from tests.small_dataset import small_dataset
from training import linear_start
from training.config import load_recipe
from training.initial import new_encoder
from training.linear_start import ends_of, fit_caption_part, relative_idf, start_identity_part


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> SceneGraphDataset:
    return small_dataset(tmp_path_factory.mktemp("data") / "dataset")


def encoder_for(dataset: SceneGraphDataset, **values: float) -> TripleEncoder:
    sizes = {"caption_dimension": 8, "identity_dimension": 512} | values
    names = {
        "object_names": len(dataset.vocabulary.objects),
        "predicates": len(dataset.vocabulary.predicates),
    }
    return TripleEncoder(TripleEncoderConfig(**(names | sizes)))  # type: ignore[arg-type]  # sizes are whole


def caption_parts(encoder: TripleEncoder, graphs: PackedGraphs) -> np.ndarray:
    """c of every graph, name by name."""
    rows, bias = encoder.caption_embedding.weight.detach().numpy(), encoder.caption_bias.detach().numpy()
    bounds = zip(graphs.object_offsets[:-1], graphs.object_offsets[1:], strict=True)
    return np.array(
        [bias + rows[graphs.objects[a:b]].sum(axis=0) / (b - a) ** encoder.config.pooling_power for a, b in bounds]
    )


def predictions(dataset: SceneGraphDataset, power: float, shrinkage: float) -> tuple[np.ndarray, np.ndarray]:
    """Expected captions of all images by weighted ridge regression as a least-squares problem; and the mean caption."""
    words, _ = dataset.word_vectors.means(dataset.vocabulary.objects)
    words[:2] = 0
    names = np.eye(len(words))
    names[:2] = 0
    table = np.hstack(
        [linear_start._ONE_HOT_SCALE * names, words / np.maximum(np.linalg.norm(words, axis=1), 1e-9)[:, None]]
    )
    graphs = dataset.graphs
    x = np.array(
        [
            table[graphs.objects[a:b]].sum(axis=0) / (b - a) ** power
            for a, b in zip(graphs.object_offsets[:-1], graphs.object_offsets[1:], strict=True)
        ]
    )
    members = dataset.members("train")
    members = members[dataset.caption_counts[members] > 0]
    weights = dataset.caption_counts[members] / (dataset.caption_counts[members] + 1)
    weights = weights / weights.mean()
    y = dataset.caption_vectors[members]
    mean = np.average(y, axis=0, weights=weights)
    centre = np.average(x[members], axis=0, weights=weights)
    root = np.sqrt(weights)[:, None]
    a = np.vstack([root * (x[members] - centre), np.sqrt(shrinkage) * np.eye(x.shape[1])])
    b = np.vstack([root * (y - mean), np.zeros((x.shape[1], y.shape[1]))])
    solution = np.linalg.lstsq(a, b, rcond=None)[0]
    return (x - centre) @ solution + mean, mean


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_inner_products_are_those_of_the_expected_captions_but_for_what_all_share(
    power: float, dataset: SceneGraphDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_start, "_GRAPHS_AT_ONCE", 7)  # several blocks
    encoder = encoder_for(dataset, pooling_power=power)
    fit_caption_part(encoder, dataset, "captions", 2.0)
    expected, mean = predictions(dataset, power, 2.0)
    # Names in the graphs may be the unknown, whose row is no feature's: leave those graphs out.
    unknown = np.unique(
        np.repeat(np.arange(len(dataset)), dataset.graphs.object_counts)[dataset.graphs.objects == UNKNOWN_ID]
    )
    known = np.setdiff1d(np.arange(len(dataset)), unknown)
    c = caption_parts(encoder, dataset.graphs)[known]
    d = expected[known] - mean
    k = linear_start._SHARED_LENGTH
    shared = d @ mean
    others = d - np.outer(d @ mean, mean) / (mean @ mean)
    by_hand = (k + shared[:, None] / k) * (k + shared[None] / k) + others @ others.T
    members = np.intersect1d(dataset.members("train"), np.flatnonzero(dataset.caption_counts))
    scale = np.square(caption_parts(encoder, dataset.graphs.select(members))).sum(axis=1).mean()
    assert scale == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(c @ c.T, by_hand * (c[0] @ c[0]) / by_hand[0, 0], atol=1e-3)


def test_fewer_dimensions_keep_the_principal_directions(dataset: SceneGraphDataset) -> None:
    full, small = encoder_for(dataset), encoder_for(dataset, caption_dimension=3)
    for encoder in (full, small):
        fit_caption_part(encoder, dataset, "captions", 2.0)
    members = dataset.members("train")
    members = members[dataset.caption_counts[members] > 0]
    graphs = dataset.graphs.select(members)
    c, part = caption_parts(full, graphs), caption_parts(small, graphs)
    kept = c[:, :3] @ c[:, :3].T
    np.testing.assert_allclose(part @ part.T, kept / np.trace(kept) * len(c), atol=1e-4)
    squares = (c[:, 1:] ** 2).sum(axis=0)
    assert (np.diff(squares) <= 1e-6).all()


def test_the_unknown_is_the_mean_of_the_names_as_often_as_they_occur(dataset: SceneGraphDataset) -> None:
    encoder = encoder_for(dataset)
    start_identity_part(encoder, dataset, np.random.default_rng(0))
    graphs = dataset.graphs.select(dataset.members("train"))
    subjects, targets = ends_of(graphs)
    for role, seen in (
        (encoder.subject_role, subjects),
        (encoder.predicate_role, graphs.predicates),
        (encoder.object_role, targets),
    ):
        rows = role.weight.detach().numpy()
        known = seen[seen > UNKNOWN_ID]
        np.testing.assert_allclose(rows[UNKNOWN_ID], rows[known].mean(axis=0), atol=1e-5)
        assert not rows[0].any()
    assert not encoder.object_embedding.weight[UNKNOWN_ID].any()


def test_triples_are_about_as_long_as_each_other_and_nearly_orthogonal(dataset: SceneGraphDataset) -> None:
    encoder = encoder_for(dataset, identity_dimension=4096)
    start_identity_part(encoder, dataset, np.random.default_rng(0))
    with torch.no_grad():
        names = torch.arange(2, 9)
        s, p, o = (part.flatten() for part in torch.meshgrid(names, names, names, indexing="ij"))
        triples = encoder.subject_role(s) * encoder.predicate_role(p) * encoder.object_role(o)
        products = triples @ triples.T
    lengths = products.diagonal()
    assert 0.9 < lengths.mean() < 1.1
    different = (s[:, None] != s) & (p[:, None] != p) & (o[:, None] != o)
    assert products[different].abs().mean() < 0.05
    # What roles have in common lets a wildcard find what it stands for.
    wildcard = (
        encoder.subject_role.weight[2] * encoder.predicate_role.weight[UNKNOWN_ID] * encoder.object_role.weight[3]
    )
    same = (s == 2) & (o == 3)
    found = (triples @ wildcard).detach()
    assert found[same].min() > 2 * found[~same].abs().max()


def test_relative_idf_is_counted_over_graphs_not_over_objects() -> None:
    def objects(*names: int) -> ResolvedGraph:
        return ResolvedGraph(objects=names, subjects=(), predicates=(), targets=(), substitutions=())

    graphs = PackedGraphs.pack([objects(2, 2, 3), objects(2), objects(2, 4), objects(2, 3)])
    expected = [1, 1, 0, np.log(4 / 2) / np.log(4), 1, 1]
    np.testing.assert_allclose(relative_idf(graphs, 6), expected, atol=1e-6)


def test_ends_of_relationships_are_the_names_at_their_positions(dataset: SceneGraphDataset) -> None:
    graphs = dataset.graphs
    first = np.repeat(graphs.object_offsets[:-1], np.diff(graphs.relationship_offsets))
    expected = [
        (graphs.objects[start + subject], graphs.objects[start + target])
        for start, subject, target in zip(first, graphs.subjects, graphs.targets, strict=True)
    ]
    assert list(zip(*ends_of(graphs), strict=True)) == expected


def test_the_same_seed_gives_the_same_encoder_and_another_other_signs(dataset: SceneGraphDataset) -> None:
    first, same, other = (
        new_encoder(load_recipe("default", [f"seed={seed}", "caption_dimension=4"]), dataset).state_dict()
        for seed in (0, 0, 1)
    )
    assert all(torch.equal(tensor, same[name]) for name, tensor in first.items())
    assert torch.equal(first["caption_embedding.weight"], other["caption_embedding.weight"])
    assert not torch.equal(first["subject_role.weight"], other["subject_role.weight"])


def test_words_alone_need_no_captions(dataset: SceneGraphDataset) -> None:
    encoder = new_encoder(load_recipe("default", ["start=words", "caption_dimension=4"]), dataset)
    assert isinstance(encoder, TripleEncoder)
    rows = encoder.caption_embedding.weight
    assert rows[2:].any()
    assert not rows[:2].any()
