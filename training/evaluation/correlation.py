"""Evaluation 1, whether the similarity of embeddings agrees with that of captions: Maheshwari et al. 2021, Table 2."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from training.evaluation.similarities import Rows, paired_similarities, similarity_blocks

PRIMARY: Final = "row_kendall_tau"

_MAX_PAIRS: Final = 20_000_000
"""Pairs held at once for the coefficients over all pairs: those of 6,325 images. Above, as many are drawn at random."""


def agreement_with_captions(embeddings: Rows, captions: NDArray[np.float32]) -> dict[str, float]:
    """Kendall tau-b, Spearman rho and Pearson r between f_X . f_Y and s_XY.

    `row_*` is the mean over images X of the coefficient over all Y != X ("per image"); `all_*` is the coefficient
    over all pairs at once ("all pairs"). A row without variation on either side has no coefficient and counts as 0.

    Args:
        embeddings: f, dense or sparse. Shape (N, D).
        captions: mean caption embeddings of the same images, so that s is an inner product of rows. Shape (N, C).

    Returns:
        row_kendall_tau, row_spearman_rho, row_pearson_r, all_kendall_tau, all_spearman_rho, all_pearson_r.
    """
    rows = row_agreement(embeddings, captions)
    return {**rows, **_all_pairs(embeddings, captions)}


def row_agreement(embeddings: Rows, captions: NDArray[np.float32]) -> dict[str, float]:
    """The `row_*` part of `agreement_with_captions`."""
    coefficients = np.zeros((len(captions), 3))
    for start, block in similarity_blocks(embeddings):
        for image, row in enumerate(block, start=start):
            predicted, supervised = np.delete(row, image), np.delete(captions @ captions[image], image)
            coefficients[image] = _coefficients(predicted, supervised)
    tau, rho, r = coefficients.mean(axis=0) if len(coefficients) else np.zeros(3)
    return {"row_kendall_tau": float(tau), "row_spearman_rho": float(rho), "row_pearson_r": float(r)}


def _all_pairs(embeddings: Rows, captions: NDArray[np.float32]) -> dict[str, float]:
    count = len(captions)
    if count * (count - 1) // 2 <= _MAX_PAIRS:
        predicted, supervised = _upper_triangle(embeddings), _upper_triangle(captions)
    else:
        random = np.random.default_rng(0)
        left = random.integers(count, size=_MAX_PAIRS)
        right = (left + random.integers(1, count, size=_MAX_PAIRS)) % count
        blocks = range(0, _MAX_PAIRS, 1 << 16)
        predicted, supervised = (
            np.concatenate(
                [paired_similarities(rows[left[i : i + (1 << 16)]], rows[right[i : i + (1 << 16)]]) for i in blocks]
            )
            for rows in (embeddings, captions)
        )
    tau, rho, r = _coefficients(predicted, supervised)
    return {"all_kendall_tau": tau, "all_spearman_rho": rho, "all_pearson_r": r}


def _upper_triangle(rows: Rows) -> NDArray[np.float32]:
    """Similarities of all pairs (i, j) with i < j. Shape (N (N - 1) / 2,)."""
    return np.concatenate(
        [row[image + 1 :] for start, block in similarity_blocks(rows) for image, row in enumerate(block, start=start)]
    )


def _coefficients(predicted: NDArray[np.float32], supervised: NDArray[np.float32]) -> tuple[float, float, float]:
    """Kendall tau-b, Spearman rho, Pearson r; zeros where one side does not vary."""
    if len(predicted) < 2 or np.ptp(predicted) == 0 or np.ptp(supervised) == 0:
        return 0.0, 0.0, 0.0
    return (
        float(stats.kendalltau(predicted, supervised).statistic),
        float(stats.spearmanr(predicted, supervised).statistic),
        float(np.corrcoef(predicted.astype(np.float64), supervised.astype(np.float64))[0, 1]),
    )
