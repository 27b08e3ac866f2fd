"""The report of an experiment: trained once, resumed, chosen on validation, and readable without a network."""

import base64
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from model.dataset import SceneGraphDataset
from model.errors import ConfigError, DataError
from tests.small_dataset import small_dataset
from training import cli, config
from training.evaluation.evaluate import Benchmark
from training.evaluation.methods import FEATURES, RIDGE, TRIPLES
from training.reproduce import Plan, best_paper_model, reproduce
from training.reproduction import plan, runs
from training.reproduction.page import to_html, to_markdown
from training.reproduction.paper import TABLE_2, TABLE_3
from training.reproduction.pictures import picture
from training.reproduction.plan import LOSSES, SAMPLERS, ablation_models, default_model, paper_models, paper_name
from training.reproduction.results import Result, digits, show
from training.reproduction.samples import sample_queries
from training.reproduction.sections import Cell, Section, Table
from training.reproduction.summary import order_section, summary_section
from training.trainer import train

SHIPPED = config.RECIPES
SHIPPED_ABLATIONS = plan.ABLATIONS
SETTINGS = ("layers=1", "hidden=8", "device=cpu", "batch_size=32")
PLAN = Plan(seeds=2, other_seeds=1, epochs=1, minutes=None, settings=SETTINGS, ablations=True)


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The paper's recipe, one like it as the default, and two variants of that."""
    directory = tmp_path_factory.mktemp("recipes")
    paper = (config.RECIPES / "paper.toml").read_text()
    (directory / "paper.toml").write_text(paper)
    (directory / "default.toml").write_text(paper)
    (directory / "ablations.toml").write_text(
        '[[variant]]\ntitle = "one <layer> & more"\nset = {hidden = 4}\n'
        '[[variant]]\ntitle = "another loss"\nset = {loss = "triplet", normalize = false}\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "RECIPES", directory)
        patch.setattr(plan, "ABLATIONS", directory / "ablations.toml")
        yield directory


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> SceneGraphDataset:
    """With names that HTML must escape."""
    dataset = small_dataset(tmp_path_factory.mktemp("data") / "dataset", sentences=True)
    names = ["<b>man</b> & co" if name == "object0" else name for name in dataset.vocabulary.objects]
    return replace(dataset, vocabulary=replace(dataset.vocabulary, objects=tuple(names)))


def run(dataset: SceneGraphDataset, out: Path, plan: Plan = PLAN, *, features: Path | None = None) -> str:
    """Reproduce; what it printed."""
    printed = io.StringIO()
    reproduce(
        dataset,
        out,
        plan,
        split="test",
        seed=0,
        extras={"other": dataset},
        features=features,
        command="scenerank <x>",
        console=Console(file=printed, width=200),
    )
    return printed.getvalue()


@pytest.fixture(scope="module")
def report(recipes: Path, dataset: SceneGraphDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished report."""
    out = tmp_path_factory.mktemp("out") / "report"
    features = out.parent / "features.npz"
    np.savez(features, ids=dataset.image_ids, features=dataset.caption_vectors)
    printed = run(dataset, out, features=features)
    assert "run 17 of 17" in printed  # 12 paper models, the best one again, the default twice, 2 variants
    return out


@pytest.fixture
def document(report: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((report / "report.json").read_text())
    return loaded


def test_the_report_has_every_method_with_its_seeds(document: dict[str, Any]) -> None:
    seeds = {method["name"]: len(method["scores"]) for method in document["methods"]}
    twelve = [paper_name(loss, sampler) for loss in LOSSES for sampler in SAMPLERS]
    assert list(seeds)[:13] == [*twelve, "default"]
    assert {name for name in twelve if seeds[name] == 2} == {document["best_paper_model"]}
    assert seeds["default"] == 2
    assert {TRIPLES, RIDGE, FEATURES} < set(seeds)
    assert [ablation["title"] for ablation in document["ablations"]] == ["one <layer> & more", "another loss"]


def test_the_best_paper_model_is_the_best_on_validation_images(document: dict[str, Any]) -> None:
    validation = {
        method["name"]: method["training"][0]["validation"]["val_row_kendall_tau"]
        for method in document["methods"][:12]
    }
    assert validation[document["best_paper_model"]] == max(validation.values())


def test_validation_decides_and_the_paper_s_own_stands_without_it(recipes: Path) -> None:
    papers = paper_models([], None)
    scores: dict[str, dict[str, float]] = {model.name: {"val_row_kendall_tau": 0.1} for model in papers}
    scores["infonce-random"] = {"val_row_kendall_tau": 0.2}
    assert best_paper_model(papers, scores).name == "infonce-random"
    assert best_paper_model(papers, {model.name: {} for model in papers}).name == "ranking-probability"


def test_image_features_have_agreement_and_no_retrieval(report: Path, document: dict[str, Any]) -> None:
    features = next(method for method in document["methods"] if method["name"] == FEATURES)
    assert features["scores"][0]["agreement"]["row_kendall_tau"] > 0.99  # they are the captions themselves
    assert features["scores"][0]["retrieval"] == []
    assert f"| {FEATURES} | - | - |" in (report / "report.md").read_text()


def test_a_finished_run_is_not_trained_again(
    report: Path, dataset: SceneGraphDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_arguments: object, **_keywords: object) -> None:
        raise AssertionError("trained or scored again")

    monkeypatch.setattr(runs, "train", never)
    monkeypatch.setattr(runs, "score", never)
    before = (report / "report.md").read_text()
    features = report.parent / "features.npz"
    printed = run(dataset, report, features=features)
    assert printed.count("trained already") == 17
    assert (report / "report.md").read_text() == before


def test_other_queries_are_scored_without_training_again(
    report: Path, dataset: SceneGraphDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "train", None)
    study = runs.Study(
        dataset=dataset,
        benchmark=Benchmark.of_split(dataset, "val", 7),
        extras={},
        out=report,
        minutes=None,
        console=Console(quiet=True),
    )
    model = paper_models(list(SETTINGS), 1)[0]
    path = study.directory(model, 0) / "report.json"
    kept = path.read_bytes()
    scored = runs.finish(study, model, 0)
    path.write_bytes(kept)
    assert scored["evaluation"]["split"] == "val"
    assert scored["training"] == json.loads(kept)["training"]


def test_an_interrupted_run_goes_on(
    recipes: Path, dataset: SceneGraphDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = paper_models(list(SETTINGS), 2)[0]
    study = runs.Study(
        dataset=dataset,
        benchmark=Benchmark.of_split(dataset, "test", 0),
        extras={},
        out=tmp_path,
        minutes=None,
        console=Console(quiet=True),
    )
    directory = study.directory(model, 0)
    train(replace(model.with_seed(0), epochs=1), dataset, directory)
    report = runs.finish(study, model, 0)
    assert report["training"]["epochs"] == 2
    assert runs.is_finished(study, model, 0)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (replace(PLAN, epochs=2), "epochs was 1 and is 2"),
        (replace(PLAN, epochs=None, minutes=1.0, settings=(*SETTINGS, "epochs=1")), "minutes was None and is 1.0"),
        (replace(PLAN, settings=(*SETTINGS, "hidden=9")), "hidden was 8 and is 9.*--out"),
    ],
)
def test_a_report_does_not_mix_settings(report: Path, dataset: SceneGraphDataset, plan: Plan, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(dataset, report, plan)


def test_a_report_does_not_mix_data_sets(report: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the data set is another"):
        run(small_dataset(tmp_path / "dataset", seed=1), report)


def test_a_directory_that_is_something_else_is_left_alone(dataset: SceneGraphDataset, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match="is not a report"):
        run(dataset, tmp_path)


def test_epochs_and_minutes_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="give one of them"):
        replace(PLAN, minutes=1.0)


def test_the_page_is_one_well_formed_file_that_fetches_nothing(report: Path) -> None:
    page = (report / "report.html").read_text()
    root = ET.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    for element in root.iter():
        assert element.tag.rpartition("}")[2] != "script"
        for name, value in element.attrib.items():
            if name.rpartition("}")[2] in ("src", "href"):
                assert value.startswith(("#", "data:"))
    assert "url(http" not in page
    assert "@import" not in page
    identifiers = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert {link[1:] for link in re.findall(r'href="(#[^"]+)"', page)} <= set(identifiers)
    assert len(root.findall(".//section")) == 11
    assert page.count("</svg>") >= 8


def test_names_are_escaped(report: Path) -> None:
    page = (report / "report.html").read_text()
    assert "&lt;b&gt;man&lt;/b&gt; &amp; co" in page
    assert "<b>man" not in page
    assert "one &lt;layer&gt; &amp; more" in page
    assert "scenerank &lt;x&gt;" in page


def test_the_markdown_has_the_paper_s_figures_beside_ours(report: Path) -> None:
    markdown = (report / "report.md").read_text()
    for title in ("Table 2", "Table 3", "order of losses", "Ablations", "Retrieval on other", "Protocol", "sentence"):
        assert re.search(rf"^## .*{title}", markdown, re.MULTILINE), title
    assert re.search(r"^\| Ranking, Probability \| [-.\d ±]+ \(\.391\) ", markdown, re.MULTILINE)
    assert re.search(r"^\| \*\*default recipe\*\* \| \*\*[-.\d]+ ± [.\d]+\*\*", markdown, re.MULTILINE)


def test_the_command_s_help_has_an_example() -> None:
    app = typer.Typer()
    cli.register(app)
    shown = CliRunner().invoke(app, ["reproduce", "--help"])
    assert "Example: scenerank reproduce dataset --out report --minutes 4" in shown.output


def test_paper_tables_are_complete() -> None:
    twelve = {paper_name(loss, sampler) for loss in LOSSES for sampler in SAMPLERS}
    assert set(TABLE_3) == twelve
    assert set(TABLE_2) > twelve
    assert {len(row) for row in TABLE_2.values()} == {6}
    assert {len(row) for row in TABLE_3.values()} == {3}


def test_the_shipped_variants_are_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "RECIPES", SHIPPED)
    monkeypatch.setattr(plan, "ABLATIONS", SHIPPED_ABLATIONS)
    default = default_model([], None).config
    assert all(model.config != default for model in ablation_models([], None))


def test_a_recipe_without_epochs_stays_without(recipes: Path) -> None:
    assert default_model([], 3).config.epochs == 3
    assert default_model([], None).config.epochs == 100
    assert default_model(["encoder=triples", "start=linear", "epochs=0"], 3).config.epochs == 0


def test_ablations_file_of_another_form_says_so(recipes: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(plan, "ABLATIONS", tmp_path / "ablations.toml")
    assert ablation_models([], None) == []
    (tmp_path / "ablations.toml").write_text('[[variant]]\nname = "no title"\n')
    with pytest.raises(ConfigError, match="is not of the form"):
        ablation_models([], None)


def result(name: str, tau: float, recall: float, kind: str = "paper") -> Result:
    retrieval = [
        {"reading": reading, "removal": removal, "recall_at_1": recall, "mean_reciprocal_rank": recall}
        for reading, removal in (("relationships", 0.5), ("relationships", 0.75), ("all_edges", 12))
    ]
    scores = {"agreement": {"row_kendall_tau": tau}, "agreement_sentences": {}, "retrieval": retrieval}
    return Result(name=name, title=name, kind=kind, scores=[scores], extras={}, changes={})


def test_the_summary_says_who_is_ahead() -> None:
    default = result("default", 0.3, 0.8, "default")
    baselines = [result("bag", 0.1, 0.9, "baseline"), result("ridge", 0.31, 0.5, "baseline")]
    text = "\n".join(summary_section(default, [result("p", 0.2, 0.2)], result("p", 0.2, 0.2), baselines).text)
    assert "Of the 1 paper models are ahead of it: none on row tau; none" in text
    assert "1 on row tau (the best: ridge, .310); 1 on R@1, 50 % removed (the best: bag, .900)" in text
    assert "Recall@1 at once: none." in text
    both = summary_section(default, [result("p", 0.4, 0.9)], result("p", 0.4, 0.9), baselines).text[1]
    assert "Recall@1 at once: p." in both


def test_figures_in_the_paper_s_order_correlate_perfectly() -> None:
    papers = [result(name, TABLE_2[name][0] / 2, 1 - TABLE_3[name][1]) for name in TABLE_3]
    [table] = order_section(papers).tables
    assert [row[1].text for row in table.rows] == ["1.000", "-1.000"]
    assert table.rows[0][3] == Cell("Ranking > Triplet > InfoNCE", "Ranking > Triplet > InfoNCE")


def test_figures_that_are_all_equal_have_no_order() -> None:
    [table] = order_section([result(name, 0.1, 0.1) for name in TABLE_3]).tables
    assert {row[1].text for row in table.rows} == {"-"}


def test_numbers_are_written_as_the_paper_writes_them() -> None:
    assert [digits(value) for value in (0.3021, -0.012, 1.0, 0.9996, 0.0)] == [
        ".302",
        "-.012",
        "1.000",
        "1.000",
        ".000",
    ]
    assert show([0.3, 0.31]) == ".305 ± .007"
    assert show([]) == "-"


def test_tables_escape_what_would_end_a_cell() -> None:
    table = Table(header=["a|b", "c"], rows=[[Cell("x|y"), Cell("1", "2")]], strong=frozenset({0}))
    section = Section(title="<t>", text=["    run & see"], tables=[table])
    assert "| **x\\|y** | **1 (2)** |" in to_markdown("title", [section])
    page = to_html("<title>", [section])
    assert "<h2>&lt;t&gt;</h2><pre>run &amp; see</pre>" in page
    assert '<tr class="strong"><td>x|y</td><td>1<small>2</small></td></tr>' in page


def test_sample_queries_are_parts_of_their_graphs(dataset: SceneGraphDataset) -> None:
    benchmark = Benchmark.of_split(dataset, "test", 0)
    chosen, queries = sample_queries(benchmark)
    whole = benchmark.graphs.relationship_counts[chosen]
    assert (whole >= 3).all()
    np.testing.assert_array_equal(queries.relationship_counts, (whole + 1) // 2)


def test_an_image_is_shown_as_its_picture_or_its_boxes_or_not_at_all(
    dataset: SceneGraphDataset, tmp_path: Path
) -> None:
    assert picture(dataset, 0) == ""
    boxes = np.full_like(dataset.boxes, np.nan)
    boxes[0] = [1, 2, 30, 40]
    drawn = picture(replace(dataset, boxes=boxes), 0)
    assert ET.fromstring(drawn).attrib["viewBox"] == "0 0 31 42"
    path = tmp_path / "a picture.svg"
    path.write_text("<svg/>")
    with_picture = replace(dataset, urls=[path.as_uri(), *dataset.urls[1:]])
    assert base64.b64encode(b"<svg/>").decode() in picture(with_picture, 0)
    path.write_text("<svg/>" + " " * 300_000)
    assert picture(with_picture, 0) == ""
    elsewhere = replace(dataset, urls=["https://example.org/a.svg", *dataset.urls[1:]])
    assert picture(elsewhere, 0) == ""
