"""The report of an experiment, written as HTML, Markdown and JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from model.atomic import write_atomically
from model.checkpoint import Checkpoint
from training.evaluation.methods import NORMAL
from training.reproduction.charts import recall_charts, similarity_charts
from training.reproduction.page import figures_html, to_html, to_markdown
from training.reproduction.results import Result
from training.reproduction.runs import Study
from training.reproduction.samples import sample_results
from training.reproduction.sections import (
    Section,
    ablation_section,
    agreement_section,
    extra_section,
    protocol_section,
    retrieval_section,
)
from training.reproduction.summary import order_section, summary_section

TITLE: Final = "Scene graph embeddings: the paper's experiments"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All figures of an experiment.

    Args:
        document: command, protocol and settings, as JSON.
        papers: the twelve models of the paper.
        best: name of the one that validation images preferred.
        default: the default recipe.
        baselines: the baselines, image features included.
        ablations: variants of the default recipe; none if they were left out.
    """

    document: Mapping[str, Any]
    papers: Sequence[Result]
    best: str
    default: Result
    baselines: Sequence[Result]
    ablations: Sequence[Result]

    @property
    def best_paper(self) -> Result:
        """The best paper model."""
        return next(result for result in self.papers if result.name == self.best)

    @property
    def everyone(self) -> list[Result]:
        """All methods of the tables, in their order."""
        return [*self.papers, self.default, *self.baselines]


def write_report(report: Report, study: Study, encoders: Mapping[str, Checkpoint]) -> Path:
    """Write report.html, report.md and report.json.

    Args:
        report: the figures.
        study: what they were measured on.
        encoders: those whose results for sample queries are shown, by title.

    Returns:
        The path of the HTML report.
    """
    sections = _sections(report, study, encoders)
    document = {
        **report.document,
        "best_paper_model": report.best,
        "methods": [result.to_json() for result in report.everyone],
        "ablations": [result.to_json() for result in report.ablations],
    }
    write_atomically(study.out / "report.json", (json.dumps(document) + "\n").encode())
    write_atomically(study.out / "report.md", to_markdown(TITLE, sections).encode())
    write_atomically(study.out / "report.html", to_html(TITLE, sections).encode())
    return study.out / "report.html"


def _sections(report: Report, study: Study, encoders: Mapping[str, Checkpoint]) -> list[Section]:
    dataset, benchmark = study.dataset, study.benchmark
    trained = [*report.papers, report.default, *report.ablations]
    curves = [report.default, report.best_paper, *(r for r in report.baselines if r.name != NORMAL)]
    curves = [result for result in curves if result.scores[0]["retrieval"]]
    sections = [
        summary_section(report.default, report.papers, report.best_paper, report.baselines),
        agreement_section(report.everyone, "agreement", None),
    ]
    if any(scores["agreement_sentences"] for result in report.everyone for scores in result.scores):
        sections.append(agreement_section(report.everyone, "agreement_sentences", dataset.sentence_encoder))
    sections += [
        retrieval_section(report.everyone),
        order_section(report.papers),
        Section(
            title="Figure 2: caption similarities",
            html=figures_html(similarity_charts(dataset, benchmark.seed)),
        ),
        Section(
            title="Figure 3: what is found for a part of a graph",
            html=sample_results(encoders, dataset, benchmark),
        ),
        Section(
            title="Figure 4: recall and noise",
            html=figures_html(recall_charts(curves), [result.title for result in curves]),
        ),
    ]
    if report.ablations:
        sections.append(ablation_section(report.default, report.ablations))
    for name, (extra, its_benchmark) in study.extras.items():
        whose = "its training split" if len(extra.members("train")) else "all of its graphs"
        note = (
            f"The idf of the bags comes from {whose}; the linear baselines are those fitted on the captions of the "
            "main data set."
        )
        sections.append(extra_section(name, len(its_benchmark.graphs), report.everyone, note))
    sections.append(protocol_section(report.document, trained))
    return sections
