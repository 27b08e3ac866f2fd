"""Samplers against the distributions they promise: chi-square tests with fixed seeds."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from training.config import SamplerName
from training.samplers import SAMPLERS, sample_extreme
from training.similarity import CaptionSimilarity

IMAGES, ANCHOR, DRAWS = 8, 3, 40_000
OTHERS = [image for image in range(IMAGES) if image != ANCHOR]


@pytest.fixture(scope="module")
def similarity() -> CaptionSimilarity:
    """Similarities to the anchor spread widely, so that a wrong distribution shows."""
    generator = torch.Generator().manual_seed(1)
    vectors = torch.rand(IMAGES, 5, generator=generator) ** 3
    return CaptionSimilarity(torch.nn.functional.normalize(vectors, dim=1))


@pytest.fixture(scope="module")
def s(similarity: CaptionSimilarity) -> NDArray[np.float64]:
    row: NDArray[np.float64] = similarity.rows(torch.tensor([ANCHOR]))[0].double().numpy()
    return row


def draw(name: SamplerName, similarity: CaptionSimilarity, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return SAMPLERS[name](torch.full((DRAWS,), ANCHOR), similarity, generator)


def probability_table(s: NDArray[np.float64]) -> NDArray[np.float64]:
    """p(P, N) of the Probability sampler, by the definition."""
    table = np.zeros((IMAGES, IMAGES))
    for positive in OTHERS:
        for negative in OTHERS:
            table[positive, negative] = s[positive] * (1 - s[negative])
    shares: NDArray[np.float64] = table / table.sum()
    return shares


def expected_table(name: SamplerName, s: NDArray[np.float64]) -> NDArray[np.float64]:
    if name == "probability":
        return probability_table(s)
    right_way = np.array([[s[p] >= s[n] for n in range(IMAGES)] for p in range(IMAGES)])
    table = probability_table(s) * right_way
    if name == "random":
        table = np.zeros((IMAGES, IMAGES))
        for positive in OTHERS:
            for negative in OTHERS:
                table[positive, negative] = s[positive] > s[negative]
    shares: NDArray[np.float64] = table / table.sum()
    return shares


@pytest.mark.parametrize("name", ["random", "probability", "reject"])
def test_pairs_follow_the_distribution(
    name: SamplerName, similarity: CaptionSimilarity, s: NDArray[np.float64]
) -> None:
    positives, negatives = draw(name, similarity)
    observed = np.zeros((IMAGES, IMAGES))
    np.add.at(observed, (positives.numpy(), negatives.numpy()), 1)
    expected = expected_table(name, s) * DRAWS
    assert observed[expected == 0].sum() == 0
    likely = expected >= 5  # the chi-square approximation needs a few in each cell; the rest go into one
    counts = np.append(observed[likely], observed[~likely].sum())
    wanted = np.append(expected[likely], expected[~likely].sum())
    if wanted[-1] == 0:
        counts, wanted = counts[:-1], wanted[:-1]
    assert stats.chisquare(counts, wanted).pvalue > 0.001


def test_the_chi_square_test_would_notice_another_sampler(
    similarity: CaptionSimilarity, s: NDArray[np.float64]
) -> None:
    positives, _ = draw("reject", similarity)
    observed = np.bincount(positives.numpy(), minlength=IMAGES)[OTHERS]
    expected = probability_table(s).sum(axis=1)[OTHERS] * DRAWS
    assert stats.chisquare(observed, expected).pvalue < 1e-6


def test_extreme_takes_the_most_and_the_least_similar_other(similarity: CaptionSimilarity) -> None:
    anchors = torch.arange(IMAGES)
    positives, negatives = sample_extreme(anchors, similarity, torch.Generator())
    rows = similarity.rows(anchors).numpy()
    for anchor in range(IMAGES):
        others = [image for image in range(IMAGES) if image != anchor]
        assert positives[anchor] == max(others, key=lambda image: rows[anchor, image])
        assert negatives[anchor] == min(others, key=lambda image: rows[anchor, image])


@pytest.mark.parametrize("name", ["random", "extreme", "probability", "reject"])
def test_the_anchor_is_never_chosen_and_the_seed_decides(name: SamplerName, similarity: CaptionSimilarity) -> None:
    anchors = torch.arange(IMAGES).repeat(500)
    first = SAMPLERS[name](anchors, similarity, torch.Generator().manual_seed(7))
    again = SAMPLERS[name](anchors, similarity, torch.Generator().manual_seed(7))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not (first[0] == anchors).any()
    assert not (first[1] == anchors).any()


@pytest.mark.parametrize("name", ["random", "reject"])
def test_equal_similarities_do_not_hang(name: SamplerName) -> None:
    similarity = CaptionSimilarity(torch.ones(5, 1))
    positives, negatives = SAMPLERS[name](torch.arange(5), similarity, torch.Generator().manual_seed(0))
    assert not (positives == torch.arange(5)).any()
    assert not (negatives == torch.arange(5)).any()
