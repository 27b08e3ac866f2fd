import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest

from model.errors import DataError
from training.data.word_vectors import read_word_vectors

GLOVE = """the 0.1 0.2 0.3
, 1 1 1
man -1.5 2e-1 0
. . . 9 9 9
The 7 7 7
horse 3 4 5
riding 6 7 8
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_wanted_words_are_kept_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = read_word_vectors(write(tmp_path / "a.txt", GLOVE), {"riding", "man", "unheard"}, frequent=0)

    assert found.words == ["man", "riding"]
    np.testing.assert_array_equal(found.vectors, np.array([[-1.5, 0.2, 0], [6, 7, 8]], np.float32))


def test_the_first_words_that_a_text_can_hold_are_kept_too(tmp_path: Path) -> None:
    found = read_word_vectors(write(tmp_path / "a.txt", GLOVE), {"riding"}, frequent=2)

    assert found.words == ["the", "man", "riding"]


def test_a_repeated_word_keeps_its_first_vector(tmp_path: Path) -> None:
    found = read_word_vectors(write(tmp_path / "a.txt", "man 1 2\nman 3 4\n"), {"man"})

    assert found.vectors.tolist() == [[1, 2]]


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n"])
def test_line_ends_of_all_kinds_and_a_first_line_of_word2vec_are_tolerated(tmp_path: Path, end: str) -> None:
    path = write(tmp_path / "a.txt", end.join(["2 3", "man 1 2 3", "horse 4 5 6", ""]))

    assert read_word_vectors(path, set()).vectors.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_packed_files_are_read_and_glove_zip_gives_the_300_dimensional_one(tmp_path: Path) -> None:
    packed = tmp_path / "a.txt.gz"
    packed.write_bytes(gzip.compress(GLOVE.encode()))
    with zipfile.ZipFile(tmp_path / "glove.6B.zip", "w") as archive:
        archive.writestr("glove.6B.50d.txt", "man 1 2\n")
        archive.writestr("glove.6B.300d.txt", "man 1 2 3\n")

    assert read_word_vectors(packed, {"man"}, frequent=0).words == ["man"]
    assert read_word_vectors(tmp_path / "glove.6B.zip", {"man"}).dimension == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("man 1 2 3\nhorse 4 5\n", "line 2: 2 numbers instead of 3"),
        ("man 1 2 3\nhorse 4 5 6 7\n", "line 2: 4 numbers instead of 3"),
        ("man 1 2 3\n\n", "line 2: 0 numbers instead of 3"),
        ("2 3\nman 1 2\n", "line 2: 2 numbers instead of 3"),
        ("man 1 2 3\nhorse 4 five 6\n", "line 2: not a word and numbers"),
        ("man 1 2 3\nhorse 4 nan 6\n", "not finite"),
        ("man 1 2 1e60\n", "not finite"),
        ('{"annotations": [{"caption": "a man"}]}', "line 1: not a word and numbers"),
        ("", "holds none of the words"),
        ("one\n", "is no GloVe text file"),
        (". 1 2 3\n", "holds none of the words"),
        ("<html><body>", "is a web page"),
    ],
)
def test_a_file_of_another_kind_or_a_bad_line_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "glove.txt", text)

    with pytest.raises(DataError, match=message) as error:
        read_word_vectors(path, {"horse"})
    assert "glove.txt" in str(error.value)


def test_binary_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vectors.bin").write_bytes(b"2 3\nman " + bytes(range(12)) + b"horse " + bytes(range(128, 140)))

    with pytest.raises(DataError, match=r"vectors.bin, line 2"):
        read_word_vectors(tmp_path / "vectors.bin", {"man"})
