"""Word vectors: the mean of a text's word vectors stands for the text."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")


def words_of(text: str) -> list[str]:
    """The words of a text as word-vector files spell them: lower-case letters and digits; all else separates."""
    return _WORD.findall(text.lower())


@dataclass(frozen=True, slots=True)
class WordVectors:
    """A table of word vectors.

    Args:
        words: the words, most frequent first (the order of GloVe files).
        vectors: their vectors. Shape (words, D), float32.
    """

    words: Sequence[str]
    vectors: NDArray[np.float32]
    _row: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        assert self.vectors.ndim == 2
        assert len(self.words) == len(self.vectors), "one vector a word"
        object.__setattr__(self, "_row", {word: row for row, word in enumerate(self.words)})

    @property
    def dimension(self) -> int:
        """D, the length of a vector."""
        return int(self.vectors.shape[1])

    def __contains__(self, word: object) -> bool:
        return word in self._row

    def mean(self, text: str) -> NDArray[np.float32] | None:
        """Mean of the vectors of the text's words that have one, (D,); None if none has.

        Source: Maheshwari et al. 2021, which embeds labels and captions this way.
        """
        rows = [self._row[word] for word in words_of(text) if word in self._row]
        return self.vectors[rows].mean(axis=0) if rows else None

    def means(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """`mean` of many texts; a row of zeros where no word has a vector, and which rows are real.

        Shapes: (texts, D) and (texts,).
        """
        found = [self.mean(text) for text in texts]
        rows = np.zeros((len(texts), self.dimension), np.float32)
        present = np.array([vector is not None for vector in found], dtype=np.bool_)
        for row, vector in zip(rows, found, strict=True):
            if vector is not None:
                row[:] = vector
        return rows, present

    def subset(self, words: Iterable[str]) -> "WordVectors":
        """The table of only these words (those that have a vector), in this table's order."""
        wanted = set(words)
        rows = [row for row, word in enumerate(self.words) if word in wanted]
        return WordVectors([self.words[row] for row in rows], self.vectors[rows])
