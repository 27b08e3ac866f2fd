"""GloVe text files: a line is a word and its numbers, separated by spaces; frequent words come first."""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

from array import array
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

import numpy as np

from model.errors import DataError
from model.files import Opener, open_data, open_plain
from model.word_vectors import WordVectors, words_of

FREQUENT_WORDS: Final = 20_000
"""Kept beyond the words of the data, so that queries with other words can be resolved to the nearest known name."""

_MAX_LINE: Final = 1 << 20  # bytes; a file without line ends must not fill the memory


def read_word_vectors(
    path: Path, wanted: Collection[str], *, frequent: int = FREQUENT_WORDS, opener: Opener = open_plain
) -> WordVectors:
    """Read the vectors of some words; the others are never parsed, so that memory holds only what is kept.

    Args:
        path: GloVe text, plain or packed; of glove.6B.zip the 300-dimensional file. Passed over are a first line in the
            manner of word2vec ("400000 300") and words that no text is ever split into (with spaces, capitals, dots).
        wanted: the words to keep.
        frequent: how many of the first words to keep besides.
        opener: opens the file.

    Raises:
        DataError: no such file, no word vectors, or a line of another length (named by its number).
    """
    words: dict[str, None] = {}
    values = array("f")
    dimension = 0
    seen = 0
    with open_data(path, prefer="300d", opener=opener) as stream:
        for number, line in enumerate(iter(lambda: stream.readline(_MAX_LINE), b""), start=1):
            spaces = line.rstrip().count(b" ")
            if not dimension:
                dimension = _dimension(path, line)
                if spaces == 1:
                    continue
            if spaces != dimension:
                _check_length(path, number, line, dimension)
                continue
            word, _, numbers = line.partition(b" ")
            text = word.decode("utf-8", "replace")
            usable = words_of(text) == [text]
            seen += usable
            if usable and text not in words and (seen <= frequent or text in wanted):
                words[text] = None
                values.extend(_numbers(path, number, numbers))
    if not words:
        raise DataError(f"{path} holds none of the words of the data; name a GloVe text file such as glove.6B.300d.txt")
    vectors = np.frombuffer(values, np.float32).reshape(-1, dimension)
    if not np.isfinite(vectors).all():
        raise DataError(f"{path} holds numbers that are not finite; download it again")
    return WordVectors(list(words), vectors)


def _dimension(path: Path, first_line: bytes) -> int:
    """Length of the vectors, from the first line: a word and its numbers, or word2vec's "words dimension"."""
    fields = first_line.split()
    if len(fields) == 2 and fields[0].isdigit() and fields[1].isdigit():
        return int(fields[1])
    if len(fields) < 3:
        raise DataError(f"{path} is no GloVe text file: its first line is not a word and numbers")
    _numbers(path, 1, b" ".join(fields[1:]))
    return len(fields) - 1


def _check_length(path: Path, number: int, line: bytes, dimension: int) -> None:
    """Refuse a line unless it is a word with spaces in it (glove.840B has some) and the right count of numbers."""
    fields = line.split()
    if len(fields) <= dimension or all(map(_is_number, fields[1:-dimension])):
        found = max(len(fields) - 1, 0)
        raise DataError(f"{path}, line {number}: {found} numbers instead of {dimension}; download the file again")


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _numbers(path: Path, number: int, fields: bytes) -> Iterable[float]:
    try:
        return array("f", map(float, fields.split()))
    except (ValueError, OverflowError):
        raise DataError(f"{path}, line {number}: not a word and numbers; name a GloVe text file") from None
