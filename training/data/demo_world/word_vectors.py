"""Word vectors from the demo world's own texts, because GloVe's are a download."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from model.word_vectors import WordVectors, words_of


def train_word_vectors(texts: Sequence[str], *, dimension: int = 100, window: int = 5) -> WordVectors:
    """Word vectors by truncated singular value decomposition of positive pointwise mutual information.

    M[w, c] = max(0, ln(P(w, c) / (P(w) P(c)^0.75))) over pairs of words at most `window` apart in a text; M ~ U S V^T,
    and a word's vector is its row of U S^0.5. Each column of U has its sign such that its largest entry is positive.

    Source: Levy and Goldberg 2014, "Neural Word Embedding as Implicit Matrix Factorization"; the exponents
    from Levy, Goldberg and Dagan 2015, "Improving Distributional Similarity with Lessons Learned from Word Embeddings".

    Args:
        texts: sentences, tokenised as all texts of this project.
        dimension: of the vectors, or fewer if there are fewer words. The matrix of words by words is dense: for
            small vocabularies only.
        window: how many words to each side count as context.

    Returns:
        The words, most frequent first, and their vectors.
    """
    tokenized = [words_of(text) for text in texts]
    counts = Counter(word for words in tokenized for word in words)
    vocabulary = sorted(counts, key=lambda word: (-counts[word], word))
    row = {word: index for index, word in enumerate(vocabulary)}
    tokens = np.array([row[word] for words in tokenized for word in words], np.int64)
    sentence = np.repeat(np.arange(len(tokenized)), [len(words) for words in tokenized])

    size = len(vocabulary)
    pairs = np.zeros((size, size))
    for offset in range(1, window + 1):
        together = sentence[:-offset] == sentence[offset:]
        flat = tokens[:-offset][together] * size + tokens[offset:][together]
        pairs += np.bincount(flat, minlength=size * size).reshape(size, size)
    pairs += pairs.T

    totals = pairs.sum(axis=1)
    context = totals**0.75 / (totals**0.75).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.log(pairs / np.outer(totals, context))
    information = np.where(pairs > 0, np.maximum(information, 0.0), 0.0)

    left, strength, _ = np.linalg.svd(information)
    left, strength = left[:, :dimension], strength[:dimension]
    largest = np.abs(left).argmax(axis=0)
    left *= np.where(left[largest, np.arange(left.shape[1])] < 0, -1.0, 1.0)
    return WordVectors(vocabulary, (left * np.sqrt(strength)).astype(np.float32))
