"""The evaluation as Markdown: tables in the order and the words of the paper."""

from typing import Any, Final

from training.evaluation.evaluate import ENCODER

AGREEMENT: Final = (
    ("row tau", "row_kendall_tau"),
    ("row rho", "row_spearman_rho"),
    ("row r", "row_pearson_r"),
    ("all tau", "all_kendall_tau"),
    ("all rho", "all_spearman_rho"),
    ("all r", "all_pearson_r"),
)
_RETRIEVAL = (("MRR", "mean_reciprocal_rank"), ("R@1", "recall_at_1"), ("R@5", "recall_at_5"), ("R@10", "recall_at_10"))
_CURVE_K = (1, 2, 3, 5, 10, 20, 50)
_PAPER_REMOVAL = 12


def to_markdown(document: dict[str, Any], command: str) -> str:
    """The report that goes with the JSON document of `evaluate`.

    Args:
        document: what `evaluate` returned.
        command: the command line that made it.
    """
    protocol = document["protocol"]
    training = protocol["training"]
    config = training.get("config", {})
    course = f"loss {config.get('loss')}, sampler {config.get('sampler')}, {training.get('epoch')} epochs"
    if training.get("epoch") == 0:
        course = "fitted in closed form"
    encoder = (
        f"Encoder: {config.get('encoder', 'convolution')}, {course}, training seed {config.get('seed')}; "
        f"checkpoint `{protocol['checkpoint'][:16]}`."
    )
    data = (
        f"Data: {protocol['split']} split, {protocol['images']} images, {protocol['images_with_captions']} of them "
        f"with captions; median of {protocol['median_relationships']:g} relationships and {protocol['median_edges']:g} "
        f"edges, those to `__image__` included; data set `{protocol['dataset'][:16]}`."
    )
    lines = [
        "# Evaluation",
        "",
        encoder,
        data,
        f"Data set settings: {protocol['dataset_settings']}. Seed of the removed edges: {protocol['seed']}.",
        "",
        f"    {command}",
        "",
        "## Agreement with captions",
        "",
        "Correlation of f_X . f_Y with the caption similarity s_XY: per image (row) and over all pairs (all).",
        "",
    ]
    if document["agreement"]:
        lines += _agreement(document["agreement"])
    else:
        lines += ["Fewer than three images of the split have captions: nothing to compare with."]
    if document["agreement_sentences"]:
        lines += ["", f"The same with s_XY of the sentence encoder `{protocol['sentence_encoder']}`.", ""]
        lines += _agreement(document["agreement_sentences"])
    lines += ["", "## Retrieval with incomplete queries", ""]
    lines += [
        "Each image's graph loses edges at random (at least one stays), then the objects left without any; the rest",
        "is the query, and the image itself the one right answer among all images of the split, whose graphs stand",
        "without the objects that have no relationship. Images that score the same count as in random order.",
    ]
    readings = [
        ("relationships", 0.25, "25 % of the relationships removed"),
        ("relationships", 0.5, "50 % of the relationships removed"),
        ("relationships", 0.75, "75 % of the relationships removed"),
        ("relationships", _PAPER_REMOVAL, f"M = {_PAPER_REMOVAL} relationships removed"),
        ("all_edges", _PAPER_REMOVAL, f"M = {_PAPER_REMOVAL} edges removed, those to `__image__` among them"),
    ]
    for reading, removal, title in readings:
        rows = [
            [row["method"], *(f"{row[key]:.3f}" for _, key in _RETRIEVAL)]
            for row in document["retrieval"]
            if row["reading"] == reading and row["removal"] == removal
        ]
        lines += ["", f"### {title}", "", *_table(["method", *(name for name, _ in _RETRIEVAL)], rows)]
    lines += ["", f"### The encoder's Recall@k at M = {_PAPER_REMOVAL}", "", *_recall_over_k(document)]
    lines += ["", "### The encoder over M", "", *_over_removal(document)]
    return "\n".join(lines) + "\n"


def _agreement(agreement: dict[str, dict[str, float]]) -> list[str]:
    rows = [[name, *(f"{scores[key]:.3f}" for _, key in AGREEMENT)] for name, scores in agreement.items()]
    return _table(["method", *(title for title, _ in AGREEMENT)], rows)


def _recall_over_k(document: dict[str, Any]) -> list[str]:
    rows = [
        [row["reading"], *(f"{row[f'recall_at_{k}']:.3f}" for k in _CURVE_K)]
        for row in document["retrieval"]
        if row["method"] == ENCODER and row["removal"] == _PAPER_REMOVAL
    ]
    return _table(["reading", *(f"k = {k}" for k in _CURVE_K)], rows)


def _over_removal(document: dict[str, Any]) -> list[str]:
    by_removal: dict[int, list[str]] = {}
    for row in document["retrieval"]:
        if row["method"] == ENCODER and row["removal"] >= 1:
            by_removal.setdefault(row["removal"], []).extend(
                [f"{row['mean_reciprocal_rank']:.3f}", f"{row['recall_at_1']:.3f}"]
            )
    header = ["M", "MRR, all_edges", "R@1, all_edges", "MRR, relationships", "R@1, relationships"]
    return _table(header, [[str(removal), *cells] for removal, cells in sorted(by_removal.items())])


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)]
