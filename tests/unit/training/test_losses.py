"""Losses against values worked out by hand and against loops that say what the paper says."""

import math

import pytest
import torch
from torch import Tensor

from training.losses import infonce_loss, preference, ranking_excess, ranking_loss, triplet_loss


@pytest.fixture
def triples() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Similarities of embeddings (P, N) and of captions (P, N) of 50 triples."""
    generator = torch.Generator().manual_seed(0)
    positive, negative = torch.rand(2, 50, generator=generator) * 2 - 1
    s_positive, s_negative = torch.rand(2, 50, generator=generator) * 0.4 + 0.5
    return positive, negative, s_positive, s_negative


def test_ranking_loss_of_one_triple_by_hand() -> None:
    # P_hat = sigmoid(0.5 - 0.1) = 0.598688; P = 0.8 / (0.8 + 0.6) = 0.571429
    # -(0.571429 ln 0.598688 + 0.428571 ln 0.401312) = 0.293144 + 0.391300
    target = preference(torch.tensor([0.8]), torch.tensor([0.6]))
    loss = ranking_loss(torch.tensor([0.5]), torch.tensor([0.1]), target, temperature=1.0)
    assert target.item() == pytest.approx(4 / 7)
    assert loss.item() == pytest.approx(0.684444, abs=1e-6)


def test_ranking_loss_is_lowest_where_the_difference_is_the_log_of_the_ratio() -> None:
    target = preference(torch.tensor([0.8]), torch.tensor([0.6]))
    for temperature in (1.0, 0.25):
        difference = torch.tensor([temperature * math.log(0.8 / 0.6)], requires_grad=True)
        loss = ranking_loss(difference, torch.zeros(1), target, temperature=temperature)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        assert difference.grad is not None
        assert difference.grad.item() == pytest.approx(0, abs=1e-6)
        assert ranking_excess(loss.detach(), target).item() == pytest.approx(0, abs=1e-6)


def test_triplet_loss_by_hand() -> None:
    # max(0.1 - 0.5 + 0.5, 0) = 0.1; max(-0.2 - 0.9 + 0.5, 0) = 0; mean 0.05
    loss = triplet_loss(torch.tensor([0.5, 0.9]), torch.tensor([0.1, -0.2]), margin=0.5)
    assert loss.item() == pytest.approx(0.05)


def test_infonce_loss_by_hand() -> None:
    # -ln(e^0.5 / (e^0.5 + e^0.1)) = -ln 0.598688
    loss = infonce_loss(torch.tensor([0.5]), torch.tensor([0.1]), temperature=1.0)
    assert loss.item() == pytest.approx(0.513015, abs=1e-6)


def test_ranking_loss_and_excess_equal_naive_loops(triples: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    positive, negative, s_positive, s_negative = triples
    losses, divergences = [], []
    for sim_p, sim_n, s_p, s_n in zip(*(part.tolist() for part in triples), strict=True):
        predicted = 1 / (1 + math.exp(-(sim_p - sim_n) / 0.7))
        wanted = s_p / (s_p + s_n)
        losses.append(-wanted * math.log(predicted) - (1 - wanted) * math.log(1 - predicted))
        divergences.append(
            wanted * math.log(wanted / predicted) + (1 - wanted) * math.log((1 - wanted) / (1 - predicted))
        )
    target = preference(s_positive, s_negative)
    loss = ranking_loss(positive, negative, target, temperature=0.7)
    assert loss.item() == pytest.approx(sum(losses) / 50, rel=1e-5)
    assert ranking_excess(loss, target).item() == pytest.approx(sum(divergences) / 50, rel=1e-4)


def test_triplet_and_infonce_equal_naive_loops(triples: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    positive, negative, _, _ = triples
    pairs = list(zip(positive.tolist(), negative.tolist(), strict=True))
    hinge = [max(n - p + 0.5, 0) for p, n in pairs]
    nce = [-math.log(math.exp(p / 0.7) / (math.exp(p / 0.7) + math.exp(n / 0.7))) for p, n in pairs]
    assert triplet_loss(positive, negative, margin=0.5).item() == pytest.approx(sum(hinge) / 50, rel=1e-5)
    assert infonce_loss(positive, negative, temperature=0.7).item() == pytest.approx(sum(nce) / 50, rel=1e-5)
