"""Inner products of embeddings, dense or sparse: bags over a large vocabulary are mostly zeros."""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Rows = NDArray[np.float32] | sparse.csr_array
"""One embedding a row. Shape (N, D)."""

_ROWS_PER_BLOCK: Final = 512


def similarities(left: Rows, right: Rows) -> NDArray[np.float32]:
    """f_X . f_Y of each left and each right row.

    Shapes:
        left: (N, D). right: (M, D). returns: (N, M).
    """
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return left @ right.T
    product = sparse.csr_array(left) @ sparse.csr_array(right).T
    dense: NDArray[np.float32] = product.toarray().astype(np.float32, copy=False)
    return dense


def paired_similarities(left: Rows, right: Rows) -> NDArray[np.float32]:
    """f_X . f_Y of row i of each. Shapes: (N, D), (N, D) -> (N,)."""
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        products: NDArray[np.float32] = np.einsum("nd,nd->n", left, right)
        return products
    product = sparse.csr_array(left).multiply(sparse.csr_array(right)).sum(axis=1)
    return np.asarray(product, np.float32).ravel()


def similarity_blocks(rows: Rows) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The similarities of all rows to all rows, some rows at a time: the number of the first row, and (B, N)."""
    for start in range(0, count_rows(rows), _ROWS_PER_BLOCK):
        yield start, similarities(rows[start : start + _ROWS_PER_BLOCK], rows)


def count_rows(rows: Rows) -> int:
    """N. A sparse array has no length."""
    return int(rows.shape[0])


def stack(parts: Iterable[Rows]) -> Rows:
    """Rows of one kind below each other."""
    parts = list(parts)
    dense = [part for part in parts if isinstance(part, np.ndarray)]
    if len(dense) == len(parts):
        return np.concatenate(dense)
    return sparse.csr_array(sparse.vstack([sparse.csr_array(part) for part in parts], format="csr"))


def unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1; a row of zeros stays."""
    lengths: NDArray[np.float32] = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return rows / lengths
