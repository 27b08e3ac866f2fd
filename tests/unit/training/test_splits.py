import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.dataset import SPLITS
from model.errors import ConfigError, DataError
from training.data.splits import check_shares, random_split, read_split_file

SHARES = st.tuples(st.integers(1, 100), st.integers(0, 100), st.integers(0, 100))


@given(st.lists(st.booleans(), max_size=60), SHARES, st.integers(0, 5))
def test_every_supervised_image_is_used_and_the_others_are_for_training(
    supervised: list[bool], shares: tuple[int, int, int], seed: int
) -> None:
    mask = np.array(supervised, np.bool_)

    split = random_split(mask, shares, np.random.default_rng(seed))

    assert (split[~mask] == SPLITS.index("train")).all()
    sizes = np.bincount(split[mask], minlength=3)
    assert sizes.sum() == mask.sum()
    for size, share in zip(sizes, shares, strict=True):
        assert abs(size - mask.sum() * share / sum(shares)) < len(SPLITS)
        assert size == 0 or share > 0


def test_the_papers_shares_give_the_papers_test_set() -> None:
    split = random_split(np.ones(45_358, np.bool_), (70, 20, 10), np.random.default_rng(0))

    assert np.bincount(split).tolist() == [31_750, 9_071, 4_537]


def test_a_seed_gives_one_split_and_another_seed_another() -> None:
    mask = np.ones(100, np.bool_)
    first, again, other = (random_split(mask, (70, 20, 10), np.random.default_rng(seed)) for seed in (0, 0, 1))

    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("shares", [(0, 50, 50), (0, 0, 0), (70, -20, 10), (70, 30)])
def test_shares_that_divide_nothing_are_refused(shares: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match="give three shares"):
        check_shares(shares)


def test_a_split_file_leaves_the_rest_to_training(tmp_path: Path) -> None:
    (tmp_path / "splits.json").write_text(json.dumps({"comment": "x", "test": [1, "b"], "val": [3]}))

    fixed = read_split_file(tmp_path / "splits.json")

    assert not fixed.names_train
    assert [SPLITS[number] for number in fixed.assign(np.array(["b", "2", "3", "1"]))] == [
        "test",
        "train",
        "val",
        "test",
    ]


def test_a_split_file_that_names_training_images_uses_only_those_it_lists(tmp_path: Path) -> None:
    (tmp_path / "splits.json").write_text(json.dumps({"test": [1], "train": [2]}))

    fixed = read_split_file(tmp_path / "splits.json")

    assert fixed.names_train
    assert fixed.listed(np.array(["1", "2", "3"])).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("[1]", "names no split; write"),
        ('{"comment": []}', "names no split; write"),
        ('{"test": 5}', "'test' must be a list of image ids"),
        ('{"test": [[1]]}', "'test' must be a list of image ids"),
        ('{"test": [1], "val": ["1"]}', "image 1 is in 'val' and 'test'; keep one"),
    ],
)
def test_a_split_file_of_another_form_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "splits.json").write_text(text)

    with pytest.raises(DataError, match=message) as error:
        read_split_file(tmp_path / "splits.json")
    assert "splits.json" in str(error.value)
