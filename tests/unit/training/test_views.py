"""The loss on wholes, parts and captions against plain loops, and that both encoders learn from it."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from model.batch import PackedGraphs
from model.dataset import SceneGraphDataset
from model.encoders import Encoder
from model.resolution import ResolvedGraph
from model.vocabulary import UNKNOWN_ID
from tests.small_dataset import small_dataset
from training.config import TrainingConfig, load_recipe
from training.initial import new_encoder
from training.similarity import CaptionSimilarity, supervised_images
from training.views import ViewsObjective, remove_relationships, row_correlation

SMALL = ["caption_dimension=6", "identity_dimension=32", "batch_size=8", "device=cpu", "hidden=12"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> SceneGraphDataset:
    return small_dataset(tmp_path_factory.mktemp("data") / "dataset")


def objective_of(config: TrainingConfig, dataset: SceneGraphDataset) -> ViewsObjective:
    members, captions = supervised_images(dataset, "train", "captions")
    train = dataset.members("train")
    similarity = CaptionSimilarity(torch.from_numpy(captions))
    return ViewsObjective(config, dataset.graphs.select(train), np.searchsorted(train, members), similarity)


def star(ends: int) -> ResolvedGraph:
    """One object that is related to each of the others."""
    return ResolvedGraph(
        objects=[2] * (ends + 1),
        subjects=[0] * ends,
        predicates=[2] * ends,
        targets=list(range(1, ends + 1)),
        substitutions=(),
    )


def test_row_correlation_equals_scipy_without_the_diagonal() -> None:
    left, right = torch.randn(2, 7, 7, generator=torch.Generator().manual_seed(0)).double()
    expected = [
        stats.pearsonr(np.delete(left[row].numpy(), row), np.delete(right[row].numpy(), row)).statistic
        for row in range(7)
    ]
    np.testing.assert_allclose(row_correlation(left, right).numpy(), expected, atol=1e-10)


def test_parts_keep_a_relationship_and_lose_up_to_nine_tenths() -> None:
    graphs = PackedGraphs.pack([*[star(10)] * 3000, star(1)])
    parts = remove_relationships(graphs, np.random.default_rng(0))
    kept = parts.relationship_counts
    assert kept[-1] == 1
    assert kept[:-1].min() == 1
    assert kept[:-1].max() == 10
    # Uniform shares from 0 to 0.9 of ten: 1 and 10 have half a step of the nine, all between a whole one.
    expected = np.array([0.5, *[1.0] * 8, 0.5]) / 9 * 3000
    assert stats.chisquare(np.bincount(kept[:-1], minlength=11)[1:], expected).pvalue > 0.001
    assert (parts.object_counts == kept + 1).all()  # the centre and the ends that are left


def test_loss_is_what_its_parts_are_by_hand(dataset: SceneGraphDataset) -> None:
    config = load_recipe("default", [*SMALL, "identity_share=0.3", "temperature=0.2", "unknown_rate=0"])
    objective = objective_of(config, dataset)
    calls: list[tuple[PackedGraphs, Tensor]] = []
    generator = torch.Generator().manual_seed(1)

    def encode(graphs: PackedGraphs) -> Tensor:
        vectors = torch.nn.functional.normalize(torch.randn(len(graphs), 5, generator=generator), dim=1)
        calls.append((graphs, vectors))
        return vectors

    anchors = torch.tensor([3, 0, 7, 5])
    loss = objective(encode, anchors, generator, np.random.default_rng(0)).loss.item()
    (first, vectors), (parts, part) = calls
    whole, spoken = vectors[:4], vectors[4:]
    drawn = np.sort(np.random.default_rng(0).permutation(len(objective.captioned))[:4])
    assert (
        first.objects.tolist()
        == objective.graphs.select(np.array([3, 0, 7, 5, *objective.captioned[drawn]])).objects.tolist()
    )
    assert len(parts) == 4
    identity = -np.mean([torch.log_softmax(part[n] @ whole.T / 0.2, 0)[n].item() for n in range(4)])
    captions = objective.similarity.vectors[drawn]
    rows = [
        np.corrcoef(
            [(spoken[n] @ spoken[m]).item() for m in range(4) if m != n],
            [(captions[n] @ captions[m]).item() for m in range(4) if m != n],
        )[0, 1]
        for n in range(4)
    ]
    assert loss == pytest.approx(0.3 * identity + 0.7 * (1 - np.mean(rows)), abs=1e-5)


def test_names_are_hidden_in_the_parts_alone(dataset: SceneGraphDataset) -> None:
    objective = objective_of(load_recipe("default", [*SMALL, "unknown_rate=0.9"]), dataset)
    seen: list[PackedGraphs] = []

    def encode(graphs: PackedGraphs) -> Tensor:
        seen.append(graphs)
        return torch.eye(40)[: len(graphs)]

    objective(encode, torch.arange(8), torch.Generator(), np.random.default_rng(0))
    whole, parts = seen
    assert (whole.objects == UNKNOWN_ID).mean() < 0.3
    assert (parts.objects == UNKNOWN_ID).mean() > 0.7


@pytest.mark.parametrize(
    "settings",
    [["start=words"], ["start=linear"], ["encoder=convolution", "start=words", "epochs=1"]],
    ids=["words", "linear", "convolution"],
)
def test_loss_falls(settings: list[str], dataset: SceneGraphDataset) -> None:
    config = load_recipe("default", [*SMALL, *settings, "unknown_rate=0"])
    objective = objective_of(config, dataset)
    encoder: Encoder = new_encoder(config, dataset).train()
    optimizer = torch.optim.Adam(encoder.parameters(), lr=0.01)
    losses = []
    for _ in range(25):
        step = objective(
            lambda graphs: encoder(graphs.to_batch()), torch.arange(16), torch.Generator(), np.random.default_rng(0)
        )
        optimizer.zero_grad()
        step.loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        optimizer.step()
        losses.append(step.loss.item())
    assert losses[-1] < 0.8 * losses[0]
