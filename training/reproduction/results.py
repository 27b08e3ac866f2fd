"""Scores of a report's methods over their seeds, and how a figure with its spread is written."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from training.evaluation.evaluate import Scores
from training.evaluation.partial_graphs import Reading

AgreementTable = Literal["agreement", "agreement_sentences"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one method scored, run by run.

    Args:
        name: of the method.
        title: as tables show it.
        kind: "paper", "default", "ablation", "baseline" or "features".
        scores: of each run, in the order of seeds; a baseline has one.
        training: the course of each run; none of a baseline.
        extras: retrieval on other data sets, by their name, of seed 0.
        changes: for an ablation, what is other than in the default recipe.
    """

    name: str
    title: str
    kind: str
    scores: Sequence[Scores]
    training: Sequence[Mapping[str, Any]] = ()
    extras: Mapping[str, Sequence[Mapping[str, Any]]]
    changes: Mapping[str, Any]

    @classmethod
    def of_runs(
        cls, name: str, title: str, kind: str, runs: Sequence[dict[str, Any]], changes: Mapping[str, Any]
    ) -> Self:
        """The result of a trained model from the documents of its runs, that of seed 0 first."""
        return cls(
            name=name,
            title=title,
            kind=kind,
            scores=[run["scores"] for run in runs],
            training=[run["training"] | {"checkpoint": run["checkpoint"]} for run in runs],
            extras=runs[0]["extras"],
            changes=changes,
        )

    def agreement(self, key: str, table: AgreementTable = "agreement") -> list[float]:
        """A coefficient of each run; none without captions."""
        return [scores[table][key] for scores in self.scores if scores[table]]

    def retrieval(self, reading: Reading, removal: float, key: str) -> list[float]:
        """A retrieval score of each run; none of image features, which know no partial query."""
        return [value for scores in self.scores for value in retrieved(scores["retrieval"], reading, removal, key)]

    def to_json(self) -> dict[str, Any]:
        """The result as a JSON document."""
        return {
            "name": self.name,
            "title": self.title,
            "kind": self.kind,
            "changes": dict(self.changes),
            "scores": list(self.scores),
            "training": list(self.training),
            "extras": dict(self.extras),
        }


def retrieved(rows: Sequence[Mapping[str, Any]], reading: Reading, removal: float, key: str) -> list[float]:
    """One score out of a list of retrieval scores, as a list of one or none."""
    return [row[key] for row in rows if row["reading"] == reading and row["removal"] == removal]


def mean(values: Sequence[float]) -> float | None:
    """The mean; None of nothing."""
    return statistics.fmean(values) if values else None


def show(values: Sequence[float]) -> str:
    """The mean with three digits, and from two values on their standard deviation: ".302 ± .004"; "-" of nothing."""
    if not values:
        return "-"
    text = digits(statistics.fmean(values))
    return text if len(values) == 1 else f"{text} ± {digits(statistics.stdev(values))}"


def digits(value: float) -> str:
    """A coefficient or share with three digits and no zero before the point: ".302", "-.012", "1.000"."""
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 0.9995 else f"{value:.3f}"
