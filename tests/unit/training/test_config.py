"""Recipes: every key is known, every value fits, and the paper's values are the paper's."""

from pathlib import Path

import pytest

from model.errors import ConfigError
from training.config import load_recipe


def test_the_paper_recipe_holds_the_papers_values() -> None:
    recipe = load_recipe("paper", [])
    assert (recipe.loss, recipe.sampler, recipe.temperature, recipe.margin) == ("ranking", "probability", 1.0, 0.5)
    assert (recipe.layers, recipe.hidden, recipe.pool_image_node, recipe.normalize) == (5, 512, True, True)
    assert (recipe.learning_rate, recipe.batch_size, recipe.epochs) == (1e-4, 16, 100)


def test_settings_go_over_the_recipe() -> None:
    recipe = load_recipe("paper", ["loss=triplet", "epochs = 3", "margin=1", "pool_image_node=false", 'device="cpu"'])
    assert (recipe.loss, recipe.epochs, recipe.margin, recipe.pool_image_node, recipe.device) == (
        "triplet", 3, 1.0, False, "cpu",
    )  # fmt: skip


def test_a_recipe_may_be_a_file(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[3] / "training" / "recipes" / "paper.toml"
    (tmp_path / "mine.toml").write_text(shipped.read_text().replace("epochs = 100", "epochs = 7"))
    assert load_recipe(str(tmp_path / "mine.toml"), []).epochs == 7


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epoch=3", "did you mean epochs"),
        ("zzz=3", "no key 'zzz'"),
        ("epochs", "key=value"),
        ("epochs=many", "epochs is 'many'; it must be of type int"),
        ("epochs=0", "at least 1"),
        ("epochs=true", "of type int"),
        ("loss=hinge", "one of ranking, triplet, infonce"),
        ("sampler=best", "one of random, extreme"),
        ("precision=fp8", "one of fp32, bf16"),
        ("temperature=0", "a positive number"),
        ("learning_rate=nan", "a positive number"),
        ("unknown_rate=1", "below 1"),
        ("margin=-1", "at least 0"),
        ("seed=-1", "at least 0"),
    ],
)
def test_what_does_not_fit_is_refused(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("paper", [setting])


@pytest.mark.parametrize(
    ("text", "message"), [("epochs = [", "cannot be read"), ("epochs = 3", "does not say batch_size")]
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_recipe(str(tmp_path / "bad.toml"), [])


def test_a_missing_recipe_names_the_shipped_ones() -> None:
    with pytest.raises(ConfigError, match="shipped recipes are default, paper"):
        load_recipe("nothing", [])
