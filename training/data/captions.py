"""COCO caption files, and texts as vectors: the mean of the words' vectors, at unit length.

Source: Maheshwari et al., "Scene Graph Embeddings Using Relative Similarity Supervision", AAAI 2021, "Supervision". The
similarity of two images is the mean of the inner products of their captions' vectors; that is the inner product of the
images' *mean* caption vectors, so one vector an image holds all of it and no N x N matrix is needed.
"""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from model.errors import DataError
from model.files import Opener, open_plain, stream_json_array
from model.visual_genome import NO_COCO_ID
from model.visual_genome_tables import one_line, whole_number
from model.word_vectors import WordVectors, words_of

_BLOCK = 1024  # images whose texts are summed at once
_MIN_NORM = 1e-6  # below this a sum of word vectors has no direction


@dataclass(frozen=True, slots=True, kw_only=True)
class Captions:
    """Captions of N images.

    Args:
        texts: N texts, the captions of an image, one a line.
        read: captions in the files.
        of_unknown_images: those whose COCO id none of the images has.
    """

    texts: Sequence[str]
    read: int
    of_unknown_images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizedTexts:
    """M texts of N images as numbers of words.

    Shapes:
        words: W distinct words.
        tokens: (T,) numbers into words, the words of all texts end to end.
        text_offsets: (M + 1,) text i has tokens[text_offsets[i]:text_offsets[i + 1]].
        image_offsets: (N + 1,) image j has the texts image_offsets[j]:image_offsets[j + 1].
    """

    words: Sequence[str]
    tokens: NDArray[np.int32]
    text_offsets: NDArray[np.int64]
    image_offsets: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextVectors:
    """Mean text vectors of N images.

    Args:
        vectors: mean of the unit vectors of an image's texts; zeros without any. Shape (N, D).
        counts: texts with at least one known word. Shape (N,).
        known_tokens: tokens of all texts whose word has a vector.
    """

    vectors: NDArray[np.float32]
    counts: NDArray[np.int32]
    known_tokens: int


def read_captions(paths: Sequence[Path], coco_ids: NDArray[np.int64], *, opener: Opener = open_plain) -> Captions:
    """Read COCO `captions_*.json` files and give every image its captions; images of one COCO id share them.

    Args:
        paths: the files, {"annotations": [{"image_id", "caption"}]} each.
        coco_ids: COCO ids of the images, NO_COCO_ID without one. Shape (N,).
        opener: opens the files.

    Raises:
        DataError: a file is missing, damaged or of another kind.
    """
    images: defaultdict[int, list[int]] = defaultdict(list)
    for image, coco_id in enumerate(coco_ids.tolist()):
        if coco_id != NO_COCO_ID:
            images[coco_id].append(image)
    captions: list[list[str]] = [[] for _ in coco_ids]
    read = of_unknown_images = 0
    for path in paths:
        for annotation in stream_json_array(path, "annotations", opener=opener):
            if not isinstance(annotation, dict) or "caption" not in annotation:
                raise DataError(
                    f"{path}, annotation {read}: no caption; name a COCO file such as captions_val2014.json"
                )
            read += 1
            members = images.get(whole_number(annotation.get("image_id")), ())
            of_unknown_images += not members
            for image in members:
                captions[image].append(one_line(annotation["caption"]))
    texts = ["\n".join(filter(None, lines)) for lines in captions]
    return Captions(texts=texts, read=read, of_unknown_images=of_unknown_images)


def tokenize(texts: Sequence[str]) -> TokenizedTexts:
    """The words of texts in numbers.

    Args:
        texts: N texts, one for each image, that hold a text a line; "" holds none.
    """
    number: defaultdict[str, int] = defaultdict()
    number.default_factory = number.__len__  # a word not seen before gets the next number
    tokens, text_ends, image_ends = array("i"), array("q", [0]), array("q", [0])
    for lines in texts:
        for text in lines.split("\n") if lines else ():
            tokens.extend([number[word] for word in words_of(text)])
            text_ends.append(len(tokens))
        image_ends.append(len(text_ends) - 1)
    return TokenizedTexts(
        words=list(number),
        tokens=np.array(tokens, np.int32),
        text_offsets=np.array(text_ends, np.int64),
        image_offsets=np.array(image_ends, np.int64),
    )


def mean_text_vectors(texts: TokenizedTexts, word_vectors: WordVectors) -> TextVectors:
    """For every image the mean of its texts' unit vectors, each the mean of the vectors of the text's known words."""
    row = {word: number for number, word in enumerate(word_vectors.words)}
    row_of_word = np.array([row.get(word, -1) for word in texts.words], np.int64)
    images = len(texts.image_offsets) - 1
    vectors = np.zeros((images, word_vectors.dimension), np.float32)
    counts = np.zeros(images, np.int32)
    known_tokens = 0
    for start in range(0, images, _BLOCK):
        block = slice(start, start + _BLOCK)
        image_offsets = texts.image_offsets[start : start + _BLOCK + 1]
        text_offsets = texts.text_offsets[image_offsets[0] : image_offsets[-1] + 1]
        rows = row_of_word[texts.tokens[text_offsets[0] : text_offsets[-1]]]
        known = np.concatenate([[0], np.cumsum(rows >= 0)])
        rows = rows[rows >= 0]
        ones = np.ones(len(rows), np.float32)
        sums = _weighted_sums(word_vectors.vectors, rows, ones, known[text_offsets - text_offsets[0]])
        norms = np.linalg.norm(sums, axis=1)
        real = norms > _MIN_NORM
        units = sums / np.where(real, norms, 1)[:, None]
        texts_of_image = image_offsets - image_offsets[0]
        real_before = np.concatenate([[0], np.cumsum(real)])
        counts[block] = np.diff(real_before[texts_of_image])
        weights = (real / np.repeat(np.maximum(counts[block], 1), np.diff(texts_of_image))).astype(np.float32)
        vectors[block] = _weighted_sums(units, np.arange(len(real)), weights, texts_of_image)
        known_tokens += len(rows)
    return TextVectors(vectors=vectors, counts=counts, known_tokens=known_tokens)


def _weighted_sums(
    table: NDArray[np.floating], rows: NDArray[np.int64], weights: NDArray[np.float32], offsets: NDArray[np.int64]
) -> NDArray[np.floating]:
    """Sum i is that of the table's rows rows[offsets[i]:offsets[i + 1]], each times its weight."""
    sums: NDArray[np.floating] = csr_array((weights, rows, offsets), shape=(len(offsets) - 1, len(table))) @ table
    return sums
