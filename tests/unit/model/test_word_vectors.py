"""A text's vector is the mean of those of its words that have one."""

import numpy as np

from model.word_vectors import WordVectors, words_of

TABLE = WordVectors(["man", "riding", "dog's"], np.array([[1, 0], [0, 1], [1, 1]], np.float32))


def test_words_are_lower_case_letters_and_digits() -> None:
    assert words_of("A Man-made, 2-story DOG'S house...") == ["a", "man", "made", "2", "story", "dog's", "house"]


def test_words_without_a_vector_do_not_count() -> None:
    mean = TABLE.mean("Man, riding a zebra")
    assert mean is not None
    assert mean.tolist() == [0.5, 0.5]
    assert TABLE.mean("a zebra") is None
    assert TABLE.mean("") is None


def test_means_of_texts_say_which_are_real() -> None:
    rows, present = TABLE.means(["man man riding", "zebra"])
    np.testing.assert_allclose(rows, np.array([[2 / 3, 1 / 3], [0, 0]], np.float32), rtol=1e-6)
    assert present.tolist() == [True, False]


def test_a_subset_keeps_the_order_of_the_table() -> None:
    subset = TABLE.subset(["dog's", "man", "zebra"])
    assert subset.words == ["man", "dog's"]
    np.testing.assert_array_equal(subset.vectors, [[1, 0], [1, 1]])
