"""Caption similarity: the inner product of mean embeddings is the mean of all inner products."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model.errors import DataError
from tests.small_dataset import small_dataset
from training.config import load_recipe
from training.similarity import MIN_SIMILARITY, CaptionSimilarity, supervised_images
from training.trainer import train


def test_similarity_is_the_mean_of_the_five_by_five_inner_products() -> None:
    random = np.random.default_rng(0)
    captions = np.abs(random.normal(size=(4, 5, 6)))
    captions /= np.linalg.norm(captions, axis=2, keepdims=True)
    expected = np.zeros((4, 4))
    for x in range(4):
        for y in range(4):
            expected[x, y] = np.mean([captions[x, i] @ captions[y, j] for i in range(5) for j in range(5)])
    similarity = CaptionSimilarity(torch.from_numpy(captions.mean(axis=1)))
    np.testing.assert_allclose(similarity.rows(torch.arange(4)).numpy(), expected, atol=1e-12)
    left, right = torch.tensor([0, 3, 2]), torch.tensor([1, 2, 2])
    np.testing.assert_allclose(similarity.pairs(left, right).numpy(), expected[left, right], atol=1e-12)


def test_similarities_that_are_not_positive_are_raised_and_counted() -> None:
    similarity = CaptionSimilarity(torch.tensor([[1.0, 0.0], [-0.5, 0.5], [0.0, 1.0]]))
    rows = similarity.rows(torch.tensor([0]))
    assert rows[0].tolist() == [1.0, np.float32(MIN_SIMILARITY), np.float32(MIN_SIMILARITY)]
    assert int(similarity.clamped) == 2


def test_only_images_with_captions_supervise(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path / "dataset")
    members, captions = supervised_images(dataset, "train", "captions")
    assert len(members) == len(captions) == 32
    assert set(members % 5) == {1, 2, 3, 4}
    assert len(supervised_images(dataset, "train", "phrases")[0]) == 0


def test_sentences_supervise_where_the_data_set_has_them(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path / "dataset", sentences=True)
    members, vectors = supervised_images(dataset, "train", "sentences")
    assert dataset.sentence_vectors is not None
    assert members.tolist() == supervised_images(dataset, "train", "captions")[0].tolist()
    np.testing.assert_array_equal(vectors, dataset.sentence_vectors[members])
    similarity = CaptionSimilarity(torch.from_numpy(vectors))
    assert bool((similarity.rows(torch.arange(len(members))) > 0).all())
    assert int(similarity.clamped) > 0


def test_sentences_of_a_data_set_without_them_are_an_error_with_the_remedy(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path / "dataset")
    with pytest.raises(DataError, match=r"has no sentence vectors; prepare it again with .*--sentence-encoder"):
        supervised_images(dataset, "val", "sentences")


def test_training_on_sentences_runs_like_any_other(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path / "dataset", sentences=True)
    settings = ["supervision=sentences", "layers=1", "hidden=8", "epochs=1", "device=cpu"]
    state = train(load_recipe("paper", settings), dataset, tmp_path / "run")
    assert state.epoch == 1
    assert (tmp_path / "run" / "best").exists()
