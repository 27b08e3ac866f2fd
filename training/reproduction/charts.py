"""Figures 2 and 4 of the paper as SVG: made without any state of matplotlib's, readable on light and dark pages."""

import io
import re
from collections.abc import Sequence
from typing import Final

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model.dataset import SceneGraphDataset
from training.evaluation.partial_graphs import Reading
from training.evaluation.retrieval import MAX_K
from training.reproduction.paper import REMOVAL
from training.reproduction.results import Result, mean
from training.samplers import SAMPLERS
from training.similarity import CaptionSimilarity, supervised_images

COLOURS: Final = ("#2f7fd6", "#d1583f", "#2f9e62", "#a06bc4", "#c78a12", "#4aa5b5", "#8a8a8a")
"""Of curves, in their order: bright enough on black and dark enough on white."""

_INK: Final = "#010203"  # stands for the page's own text colour until the SVG is written
_ANCHORS: Final = 5
_TRIPLES: Final = 4096
_AT_ONCE: Final = 128


def similarity_charts(dataset: SceneGraphDataset, seed: int) -> dict[str, str]:
    """Figure 2: how similar captions are, and how far positives are above negatives, by sampler.

    Args:
        dataset: its captioned training images are drawn from.
        seed: chooses anchors, positives and negatives.

    Returns:
        SVG by title; nothing where fewer than three training images have captions.
    """
    members, captions = supervised_images(dataset, "train", "captions")
    if len(members) < 3:
        return {}
    similarity = CaptionSimilarity(torch.from_numpy(captions))
    random = np.random.default_rng(seed)
    figure, axes = _axes("other images, most similar first", "caption similarity")
    for colour, anchor in zip(COLOURS, random.permutation(len(members))[:_ANCHORS].tolist(), strict=False):
        row = np.delete(similarity.rows(torch.tensor([anchor]))[0].numpy(), anchor)
        axes.plot(np.sort(row)[::-1], color=colour, linewidth=1.5)
    charts = {f"Sorted similarities of {min(_ANCHORS, len(members))} random anchors": _svg(figure, "similarities")}

    figure, axes = _axes("s_AP - s_AN", "density")
    differences = {name: _differences(name, similarity, random, seed) for name in SAMPLERS}
    low, high = min(map(np.min, differences.values())), max(map(np.max, differences.values()))
    bins = np.linspace(low, high + 1e-6, 60)
    for colour, (name, values) in zip(COLOURS, differences.items(), strict=False):
        density, _ = np.histogram(values, bins, density=True)
        axes.stairs(density, bins, color=colour, linewidth=1.5, label=name.capitalize())
    axes.legend(frameon=False, labelcolor=_INK, fontsize=9)
    charts["Differences between positive and negative, by sampler"] = _svg(figure, "differences")
    return charts


def _differences(
    name: str, similarity: CaptionSimilarity, random: np.random.Generator, seed: int
) -> NDArray[np.float32]:
    """s_AP - s_AN of triples that a sampler draws. Shape (T,)."""
    generator = torch.Generator().manual_seed(seed)
    anchors = torch.from_numpy(random.integers(len(similarity), size=_TRIPLES))
    sample = next(sampler for key, sampler in SAMPLERS.items() if key == name)
    parts = []
    for chosen in torch.split(anchors, _AT_ONCE):
        positives, negatives = sample(chosen, similarity, generator)
        parts.append(similarity.pairs(chosen, positives) - similarity.pairs(chosen, negatives))
    differences: NDArray[np.float32] = torch.cat(parts).numpy()
    return differences


def recall_charts(results: Sequence[Result]) -> dict[str, str]:
    """Figure 4: recall over k at M = 12, and MRR and Recall@1 over M, under both readings.

    Args:
        results: the methods to draw, in the order of COLOURS; of several seeds the mean is drawn.

    Returns:
        SVG by title.
    """
    readings: Sequence[Reading] = ("all_edges", "relationships")
    charts = {}
    for reading in readings:
        ks = np.arange(1, MAX_K + 1)
        curves = [[mean(r.retrieval(reading, REMOVAL, f"recall_at_{k}")) for k in ks.tolist()] for r in results]
        charts[f"Recall@k at M = {REMOVAL}, {reading}"] = _curves(ks, curves, "k", "Recall@k", f"k-{reading}")
    for key, title in (("mean_reciprocal_rank", "MRR"), ("recall_at_1", "Recall@1")):
        for reading in readings:
            ms = np.arange(1, 21)
            curves = [[mean(r.retrieval(reading, m, key)) for m in ms.tolist()] for r in results]
            charts[f"{title} over M, {reading}"] = _curves(ms, curves, "M", title, f"{key}-{reading}")
    return charts


def _curves(
    x: NDArray[np.int64], curves: Sequence[Sequence[float | None]], x_label: str, y_label: str, salt: str
) -> str:
    figure, axes = _axes(x_label, y_label)
    for colour, curve in zip(COLOURS, curves, strict=False):
        axes.plot(x, np.array(curve, np.float64), color=colour, linewidth=1.7)
    axes.set_ylim(0, 1.02)
    axes.set_xticks([1, *range(x[-1] // 4, x[-1] + 1, x[-1] // 4)])
    return _svg(figure, salt)


def _axes(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.set_xlabel(x_label, color=_INK)
    axes.set_ylabel(y_label, color=_INK)
    axes.tick_params(colors=_INK, labelsize=9)
    axes.grid(color=_INK, alpha=0.12, linewidth=0.6)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_INK)
    return figure, axes


def _svg(figure: Figure, salt: str) -> str:
    """The figure as an `<svg>` element; `salt` keeps its identifiers apart from those of others on one page."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})  # type: ignore[no-untyped-call]
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Names such as "axes_1" are in every figure, and no reference uses them.
    svg = re.sub(r' id="[a-zA-Z0-9.]+_\d+"', "", svg)
    svg = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg [^>]*?) width="[^"]*"', r'\1 role="img"', svg, count=1)
    return svg.replace(_INK, "currentColor")
