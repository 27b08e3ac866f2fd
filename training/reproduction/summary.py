"""The report's first page: who is ahead, said plainly; and whether the order of methods is the paper's."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from scipy import stats

from training.reproduction.paper import REMOVAL, TABLE_2, TABLE_3
from training.reproduction.plan import LOSS_TITLES, LOSSES, SAMPLERS, paper_name
from training.reproduction.results import Result, digits, mean, show
from training.reproduction.sections import Cell, Section, Table

Measure = Callable[[Result], list[float]]

MEASURES: Final[tuple[tuple[str, Measure], ...]] = (
    ("row tau", lambda result: result.agreement("row_kendall_tau")),
    ("R@1, 50 % removed", lambda result: result.retrieval("relationships", 0.5, "recall_at_1")),
    ("R@1, 75 % removed", lambda result: result.retrieval("relationships", 0.75, "recall_at_1")),
)
"""Agreement with captions, and identity from a half and a quarter of the relationships."""


def summary_section(default: Result, papers: Sequence[Result], best: Result, baselines: Sequence[Result]) -> Section:
    """The default recipe against the best paper model and every baseline.

    Args:
        default: the default recipe.
        papers: the twelve paper models.
        best: the one of them that validation images preferred.
        baselines: the baselines, image features included.
    """
    shown = [default, best, *baselines]
    rows = [[Cell(result.title), *(Cell(show(measure(result))) for _, measure in MEASURES)] for result in shown]
    rows[1][0] = Cell(f"{best.title} (best paper model by validation row tau)")
    return Section(
        title="Summary",
        text=[
            "The default recipe: " + ", ".join(f"{name} {show(measure(default))}" for name, measure in MEASURES) + ".",
            f"Of the {len(papers)} paper models {_ahead(default, papers)}",
            f"Of the {len(baselines)} baselines {_ahead(default, baselines)}",
        ],
        tables=[
            Table(header=["method", *(name for name, _ in MEASURES)], rows=rows, strong=frozenset({0})),
        ],
    )


def _ahead(default: Result, others: Sequence[Result]) -> str:
    """How many are ahead of the default recipe, measure by measure, and which on agreement and retrieval at once."""
    leaders = {name: _leaders(default, others, measure) for name, measure in MEASURES}
    told = []
    for name, measure in MEASURES:
        ahead = leaders[name]
        best = f" (the best: {ahead[0].title}, {show(measure(ahead[0]))})" if ahead else ""
        told.append(f"{len(ahead) or 'none'} on {name}{best}")
    tau, *recalls = (set(map(id, leaders[name])) for name, _ in MEASURES)
    both = [other.title for other in others if id(other) in tau and any(id(other) in recall for recall in recalls)]
    return f"are ahead of it: {'; '.join(told)}. On row tau and a Recall@1 at once: {'; '.join(both) or 'none'}."


def _leaders(default: Result, others: Sequence[Result], measure: Measure) -> list[Result]:
    """Those ahead of the default recipe, the best first."""
    ahead = [other for other in others if _gap(other, default, measure) > 0]
    return sorted(ahead, key=lambda other: -_gap(other, default, measure))


def _gap(other: Result, default: Result, measure: Measure) -> float:
    """How far another method is ahead; 0 where one of the two has no such score."""
    theirs, ours = mean(measure(other)), mean(measure(default))
    return 0.0 if theirs is None or ours is None else theirs - ours


def order_section(papers: Sequence[Result]) -> Section:
    """Whether losses and samplers come in the paper's order: rank correlations of the twelve figures."""
    by_name = {result.name: result for result in papers}
    measures: tuple[tuple[str, Measure, dict[str, float]], ...] = (
        ("row tau", lambda r: r.agreement("row_kendall_tau"), {name: row[0] for name, row in TABLE_2.items()}),
        (
            f"R@1, M = {REMOVAL}, all_edges",
            lambda r: r.retrieval("all_edges", REMOVAL, "recall_at_1"),
            {name: row[1] for name, row in TABLE_3.items()},
        ),
    )
    rows = []
    for title, measure, paper in measures:
        ours = {name: mean(measure(result)) for name, result in by_name.items()}
        known = {name: value for name, value in ours.items() if value is not None}
        if len(known) < len(by_name):
            continue
        rows.append(
            [
                Cell(title),
                *map(Cell, _rank_correlations([known[name] for name in by_name], [paper[name] for name in by_name])),
                Cell(_order(known, by_loss=True), _order(paper, by_loss=True)),
                Cell(_order(known, by_loss=False), _order(paper, by_loss=False)),
            ]
        )
    return Section(
        title="The order of losses and samplers",
        text=[
            (
                "Rank correlation of our twelve figures with the paper's (1: the same order), and the order of losses "
                "(means over samplers) and samplers (means over losses); small or in brackets: the paper's order."
            )
        ],
        tables=[Table(header=["measure", "Kendall tau", "Spearman rho", "losses", "samplers"], rows=rows)]
        if rows
        else [],
    )


def _rank_correlations(ours: list[float], paper: list[float]) -> tuple[str, str]:
    if np.ptp(ours) == 0:
        return "-", "-"
    return digits(float(stats.kendalltau(ours, paper).statistic)), digits(float(stats.spearmanr(ours, paper).statistic))


def _order(figures: dict[str, float], *, by_loss: bool) -> str:
    """Losses or samplers by their mean figure, best first."""
    if by_loss:
        means = {LOSS_TITLES[loss]: np.mean([figures[paper_name(loss, s)] for s in SAMPLERS]) for loss in LOSSES}
    else:
        means = {s.capitalize(): np.mean([figures[paper_name(loss, s)] for loss in LOSSES]) for s in SAMPLERS}
    return " > ".join(sorted(means, key=lambda name: -means[name]))
