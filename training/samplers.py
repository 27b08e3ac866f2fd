"""The four ways to choose a positive and a negative for an anchor (Maheshwari et al. 2021, "Sampling").

A sampler takes the anchors of a batch, the similarities and a generator, and returns positives and negatives, all as
positions of images. The anchor itself is never chosen.
"""

from collections.abc import Callable
from typing import Final

import torch
from torch import Generator, Tensor

from training.config import SamplerName
from training.similarity import CaptionSimilarity

Sampler = Callable[[Tensor, CaptionSimilarity, Generator], tuple[Tensor, Tensor]]


def sample_random(anchors: Tensor, similarity: CaptionSimilarity, generator: Generator) -> tuple[Tensor, Tensor]:
    """Uniform over all ordered pairs with s_AP > s_AN.

    Two different others drawn uniformly and put in order are such a pair; equal similarities are drawn again. An anchor
    all of whose others are equally similar has no such pair: after 64 draws the last one stands.

    Shapes: (B,) -> (B,), (B,).
    """
    positives, negatives = torch.empty_like(anchors), torch.empty_like(anchors)
    todo = torch.arange(len(anchors), device=anchors.device)
    for _ in range(64):
        anchor = anchors[todo]
        # One of N - 1 others, then one of the N - 2 left: shift past what is taken.
        first = _uniform(len(anchor), len(similarity) - 1, anchor.device, generator)
        second = _uniform(len(anchor), len(similarity) - 2, anchor.device, generator)
        second = second + (second >= first)
        first, second = first + (first >= anchor), second + (second >= anchor)
        s_first, s_second = similarity.pairs(anchor, first), similarity.pairs(anchor, second)
        positives[todo] = torch.where(s_first >= s_second, first, second)
        negatives[todo] = torch.where(s_first >= s_second, second, first)
        todo = todo[s_first == s_second]
        if not len(todo):
            break
    return positives, negatives


def sample_extreme(anchors: Tensor, similarity: CaptionSimilarity, _generator: Generator) -> tuple[Tensor, Tensor]:
    """P = argmax s_A., N = argmin s_A.; nothing is drawn.

    Shapes: (B,) -> (B,), (B,).
    """
    rows = similarity.rows(anchors)
    itself = anchors.unsqueeze(1)
    positives = rows.scatter(1, itself, -torch.inf).argmax(dim=1)
    negatives = rows.scatter(1, itself, torch.inf).argmin(dim=1)
    return positives, negatives


def sample_probability(anchors: Tensor, similarity: CaptionSimilarity, generator: Generator) -> tuple[Tensor, Tensor]:
    """p(P) proportional to s_AP and p(N) to 1 - s_AN, independently: the order may come out wrong.

    Shapes: (B,) -> (B,), (B,).
    """
    for_positive, for_negative = _cumulative_weights(anchors, similarity.rows(anchors))
    return _draw(for_positive, generator), _draw(for_negative, generator)


def sample_reject(anchors: Tensor, similarity: CaptionSimilarity, generator: Generator) -> tuple[Tensor, Tensor]:
    """As `sample_probability`, drawn again while s_AP < s_AN.

    Shapes: (B,) -> (B,), (B,).
    """
    rows = similarity.rows(anchors)
    for_positive, for_negative = _cumulative_weights(anchors, rows)
    positives, negatives = torch.empty_like(anchors), torch.empty_like(anchors)
    todo = torch.arange(len(anchors), device=anchors.device)
    while len(todo):
        positives[todo] = _draw(for_positive[todo], generator)
        negatives[todo] = _draw(for_negative[todo], generator)
        todo = todo[rows[todo, positives[todo]] < rows[todo, negatives[todo]]]
    return positives, negatives


SAMPLERS: Final[dict[SamplerName, Sampler]] = {
    "random": sample_random,
    "extreme": sample_extreme,
    "probability": sample_probability,
    "reject": sample_reject,
}


def _uniform(count: int, below: int, device: torch.device, generator: Generator) -> Tensor:
    return torch.randint(below, (count,), device=device, generator=generator)


def _cumulative_weights(anchors: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Running sums of the weights of positives and of negatives, the anchor's own weight being 0. Shapes: (B, N) each.

    In double precision: single precision would round away a share of 1e-7, that of one image among ten million.
    """
    itself = anchors.unsqueeze(1)
    positive = rows.double().scatter(1, itself, 0.0)
    negative = (1.0 - rows.double()).clamp(min=1e-12).scatter(1, itself, 0.0)
    return positive.cumsum(dim=1), negative.cumsum(dim=1)


def _draw(cumulative: Tensor, generator: Generator) -> Tensor:
    """One position a row, with probability proportional to its weight, by inverse transform. Shapes: (B, N) -> (B,)."""
    uniform = torch.rand(len(cumulative), 1, dtype=cumulative.dtype, device=cumulative.device, generator=generator)
    position = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True).squeeze(1)
    return position.clamp(max=cumulative.shape[1] - 1)
