"""What a report says, before it is HTML or Markdown: sections of paragraphs and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from training.evaluation.partial_graphs import Reading
from training.reproduction.hardware import hardware_line
from training.reproduction.paper import AGREEMENT_KEYS, REMOVAL, RETRIEVAL_KEYS, TABLE_2, TABLE_3
from training.reproduction.results import AgreementTable, Result, digits, mean, retrieved, show

SHARES: Final = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table, and the paper's figure for it if there is one."""

    text: str
    paper: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table.

    Args:
        header: titles of the columns; the first column holds text, the others figures.
        rows: the cells.
        strong: numbers of the rows to stand out.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    strong: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the report.

    Args:
        title: its heading.
        text: paragraphs; a line that starts with four spaces is a command.
        tables: below the text.
        html: what only the HTML report shows, such as figures.
    """

    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    html: str = field(default="", repr=False)


def agreement_section(results: Sequence[Result], table: AgreementTable, encoder: str | None) -> Section:
    """Table 2; with `agreement_sentences` the same against the vectors of a sentence encoder, not in the paper."""
    rows = [
        [Cell(result.title)]
        + [
            Cell(
                show(result.agreement(key, table)),
                digits(TABLE_2[result.name][column]) if table == "agreement" and result.name in TABLE_2 else "",
            )
            for column, (_, key) in enumerate(AGREEMENT_KEYS)
        ]
        for result in results
    ]
    text = [
        (
            "Correlation of the similarity of embeddings with that of captions, per image (row) and over all "
            "pairs (all): Kendall tau, Spearman rho, Pearson r."
        )
    ]
    if table == "agreement":
        title = "Table 2: agreement with captions"
        text.append(
            "Small or in brackets: the paper's figure, measured on the whole of Visual Genome; its image "
            "features are those of ResNet-152."
        )
    else:
        title = f"Agreement with captions as the sentence encoder {encoder} sees them"
    header = ["method", *(name for name, _ in AGREEMENT_KEYS)]
    return Section(title=title, text=text, tables=[Table(header=header, rows=rows, strong=_default_rows(results))])


def retrieval_section(results: Sequence[Result]) -> Section:
    """Table 3 under both readings, and with shares of the relationships removed."""
    readings: Sequence[Reading] = ("all_edges", "relationships")
    at_removal = [
        [Cell(result.title)]
        + [
            Cell(
                show(result.retrieval(reading, REMOVAL, key)),
                digits(TABLE_3[result.name][column]) if reading == "all_edges" and result.name in TABLE_3 else "",
            )
            for reading in readings
            for column, (_, key) in enumerate(RETRIEVAL_KEYS)
        ]
        for result in results
    ]
    header = ["method", *(f"{name}, {reading}" for reading in readings for name, _ in RETRIEVAL_KEYS)]
    strong = _default_rows(results)
    return Section(
        title="Table 3: retrieval with incomplete queries",
        text=[
            (
                f"First {REMOVAL} edges are removed from each graph (of smaller graphs all but one): all_edges "
                "counts the edges to __image__ among them, relationships does not. Then 25, 50 and 75 % of the "
                "relationships. Small or in brackets: the paper's figure, on larger graphs."
            ),
        ],
        tables=[
            Table(header=header, rows=at_removal, strong=strong),
            _shares_table([(result, result.scores) for result in results], strong),
        ],
    )


def extra_section(name: str, images: int, results: Sequence[Result], note: str) -> Section:
    """Retrieval on another data set, of seed 0."""
    with_scores = [result for result in results if name in result.extras]
    scores = [(result, [{"retrieval": result.extras[name]}]) for result in with_scores]
    return Section(
        title=f"Retrieval on {name}",
        text=[f"{images} images; every model of seed 0 as it is, names resolved as in a query. {note}"],
        tables=[_shares_table(scores, _default_rows(with_scores))],
    )


def ablation_section(default: Result, ablations: Sequence[Result]) -> Section:
    """What the parts of the default recipe bring: each variant's figures and the difference from the default."""

    def figures(result: Result) -> list[float | None]:
        # One seed each: a variant is compared with the default of the same seed.
        first = result.scores[0]
        tau = first["agreement"].get("row_kendall_tau")
        return [tau, *(mean(retrieved(first["retrieval"], "relationships", s, "recall_at_1")) for s in SHARES[1:])]

    base = figures(default)
    rows = [[Cell(f"{default.title}, seed 0"), Cell(""), *(Cell(_or_dash(value)) for value in base)]]
    for result in ablations:
        cells = [
            Cell(
                _or_dash(value) if value is None or reference is None else f"{digits(value)} ({value - reference:+.3f})"
            )
            for value, reference in zip(figures(result), base, strict=True)
        ]
        changes = ", ".join(f"{key} = {value}" for key, value in result.changes.items())
        rows.append([Cell(result.title), Cell(changes), *cells])
    return Section(
        title="Ablations of the default recipe",
        text=[
            (
                "Each is the default recipe with these values changed, trained as long, seed 0. In brackets: the "
                "difference from the default recipe."
            )
        ],
        tables=[
            Table(header=["variant", "changes", "row tau", "R@1, 50 %", "R@1, 75 %"], rows=rows, strong=frozenset({0}))
        ],
    )


def protocol_section(document: Mapping[str, Any], trained: Sequence[Result]) -> Section:
    """What was done on what, so that somebody else can do it again."""
    protocol = document["protocol"]
    hardware = dict.fromkeys(hardware_line(run["hardware"]) for result in trained for run in result.training)
    runs = [
        [
            Cell(result.title),
            Cell(str(seed)),
            Cell(f"{run['seconds']:.0f}"),
            Cell(f"{run['wall_seconds']:.0f}"),
            Cell(str(run["epochs"])),
            Cell(str(run["best_epoch"])),
            Cell(_or_dash(run["validation"].get("val_row_kendall_tau"))),
            Cell(_or_dash(run["validation"].get("val_recall_at_1"))),
            Cell(run["checkpoint"][:12]),
        ]
        for result in trained
        for seed, run in enumerate(result.training)
    ]
    settings = document["settings"]
    return Section(
        title="Protocol, data, hardware",
        text=[
            f"    {document['command']}",
            (
                f"Data: {protocol['split']} split, {protocol['images']} images, "
                f"{protocol['images_with_captions']} of them with captions; median of "
                f"{protocol['median_relationships']:g} relationships and {protocol['median_edges']:g} edges, "
                f"those to __image__ included. Fingerprint {protocol['dataset'][:16]}; prepared with "
                f"{protocol['dataset_settings']}."
            ),
            (
                f"Training: {settings['training_images']} images, {settings['training_images_with_captions']} of "
                f"them with captions; {settings['budget']}, of every run that is trained by gradient; values set for "
                f"all recipes: {settings['set'] or 'none'}."
            ),
            (
                "Of each run the checkpoint of the best validation score is used. Each query is an image's graph with "
                "edges removed at random, at least one left, and without the objects that are then left without "
                "any; the image itself, among all images of the split, is the one right answer. The graphs "
                "searched are whole, but for objects without a relationship. Images that score the same count as "
                f"in random order. Seed of the removed edges: {protocol['seed']}, the same queries for every "
                "method. Figures with ± are means and standard deviations over training seeds 0, 1, ..."
            ),
            *(f"Trained on: {line}." for line in hardware),
            "Wall seconds count start, fitting, validation and writing too; after an interruption, of the last part.",
        ],
        tables=[
            Table(
                header=[
                    "run",
                    "seed",
                    "training seconds",
                    "wall seconds",
                    "epochs",
                    "best epoch",
                    "val row tau",
                    "val R@1",
                    "checkpoint",
                ],
                rows=runs,
            )
        ],
    )


def _shares_table(scores: Sequence[tuple[Result, Sequence[Any]]], strong: frozenset[int]) -> Table:
    header = ["method", *(f"{name}, {100 * share:.0f} % removed" for share in SHARES for name in ("R@1", "MRR"))]
    rows = [
        [Cell(result.title)]
        + [
            Cell(show([value for run in runs for value in retrieved(run["retrieval"], "relationships", share, key)]))
            for share in SHARES
            for key in ("recall_at_1", "mean_reciprocal_rank")
        ]
        for result, runs in scores
    ]
    return Table(header=header, rows=rows, strong=strong)


def _default_rows(results: Sequence[Result]) -> frozenset[int]:
    return frozenset(row for row, result in enumerate(results) if result.kind == "default")


def _or_dash(value: float | None) -> str:
    return "-" if value is None else digits(value)
