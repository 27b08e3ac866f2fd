"""Vectors in eight bits, for a first pass that says which rows can be among the best: a quarter of the bytes.

    codes.npy    int8, N x D, with columns of zeros up to a multiple of 16
    rows.npy     float32, 4 x N: scales, offsets, errors, radii
    mean.npy     float32, D

With m the mean of the vectors, a row is v = m + s c + e: a scale times its codes, and an error. A query is
q = m + t d + f in the same way, and (Cauchy and Schwarz, twice)

    q.v = s t (c.d) + m.(v - m) + q.m + rest,    |rest| <= |q - m| |e| + |f| |s c|

where c.d is a product of whole numbers, so it has no rounding. Vectors that all point nearly the same way have small
errors, because the mean is taken off.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.dlpack import from_dlpack

from service.errors import IndexVersionError
from service.index.ranking import Rows, Vectors

DIRECTORY: Final = "quantized"

_LARGEST: Final = 127  # -128 has no opposite
_BLOCK: Final = 8192
_COLUMNS: Final = 16  # with a single one PyTorch's product is wrong
_CACHED: Final = 3 << 19  # bytes of codes multiplied together: about what a core's second-level cache holds

Codes = NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedQueries:
    """Queries in eight bits.

    Shapes:
        codes: (Q, padded D); scales, offsets (q.m), lengths (|q - m|), errors (|f|): (Q,).
    """

    codes: Codes
    scales: Vectors
    offsets: Vectors
    lengths: Vectors
    errors: Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedVectors:
    """Rows in eight bits, with what bounds the error of products with them.

    Shapes:
        codes: (N, padded D); scales, offsets (m.(v - m)), errors (|e|), radii (|s c|): (N,); mean: (D,).
    """

    codes: Codes
    scales: Vectors
    offsets: Vectors
    errors: Vectors
    radii: Vectors
    mean: Vectors

    def code(self, queries: Vectors) -> CodedQueries:
        """Queries in the form that `products` takes. Shape of queries: (Q, D)."""
        codes, scales, lengths, errors, _ = _coded(queries - self.mean)
        return CodedQueries(codes=codes, scales=scales, offsets=queries @ self.mean, lengths=lengths, errors=errors)

    def products(self, queries: CodedQueries, block: slice) -> Vectors:
        """Inner products with the rows of a block, each off by at most its `slack`. Shape (Q, block)."""
        left = torch.from_numpy(queries.codes)
        scales, offsets = (torch.from_numpy(values)[:, None] for values in (queries.scales, queries.offsets))
        # Read-only arrays make from_numpy warn.
        codes, row_scales, row_offsets = map(from_dlpack, (self.codes, self.scales, self.offsets))
        products = torch.empty(len(left), block.stop - block.start)
        step = max(_CACHED // self.codes.shape[1], 1)
        for start in range(block.start, block.stop, step):
            rows = slice(start, min(start + step, block.stop))
            # The product jumps from row to row, which memory answers slowly. Read once in order, they are near.
            self.codes[rows].view(np.int64).max()
            found = products[:, rows.start - block.start : rows.stop - block.start]
            torch.mul(torch._int_mm(left, codes[rows].T), row_scales[rows], out=found)  # noqa: SLF001
            torch.addcmul(row_offsets[rows], found, scales, out=found).add_(offsets)
        result: Vectors = products.numpy()
        return result

    def slack(self, queries: CodedQueries, which: int, rows: Rows) -> Vectors:
        """How far one query's products with some rows can be from the true ones. Shape (rows,)."""
        bound: Vectors = queries.lengths[which] * self.errors[rows] + queries.errors[which] * self.radii[rows]
        return bound


def is_fast() -> bool:
    """Whether this processor multiplies eight-bit numbers, as an exact sum, faster than others."""
    capabilities = torch.cpu.get_capabilities()
    return hasattr(torch, "_int_mm") and bool(capabilities.get("avx512_vnni") or capabilities.get("avx_vnni"))


def save_quantized(directory: Path, vectors: Vectors) -> None:
    """Write vectors in eight bits into a directory of their own; the version's manifest holds the checksums.

    Args:
        directory: where; it is made.
        vectors: may be mapped; they are read twice, block by block. Shape (N, D), N > 0.
    """
    directory.mkdir()
    count, dimension = vectors.shape
    blocks = [slice(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK)]
    mean = (sum(vectors[block].sum(axis=0, dtype=np.float64) for block in blocks) / count).astype(np.float32)
    rows = np.empty((4, count), np.float32)
    codes = np.lib.format.open_memmap(directory / "codes.npy", "w+", np.int8, (count, _padded(dimension)))
    for block in blocks:
        centred = vectors[block] - mean
        codes[block], rows[0, block], _, rows[2, block], rows[3, block] = _coded(centred)
        rows[1, block] = centred.astype(np.float64) @ mean.astype(np.float64)
    codes.flush()
    np.save(directory / "rows.npy", rows, allow_pickle=False)
    np.save(directory / "mean.npy", mean, allow_pickle=False)


def load_quantized(directory: Path, *, count: int, dimension: int) -> QuantizedVectors:
    """Open what `save_quantized` wrote; the codes stay mapped from their file.

    Raises:
        IndexVersionError: it is missing or damaged, or belongs to other vectors.
    """
    try:
        codes = np.load(directory / "codes.npy", mmap_mode="r", allow_pickle=False)
        rows = np.load(directory / "rows.npy", allow_pickle=False)
        mean = np.load(directory / "mean.npy", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise IndexVersionError(f"{directory} cannot be read ({error}); build a new index version") from None
    expected = (np.int8, (count, _padded(dimension))), (np.float32, (4, count)), (np.float32, (dimension,))
    if tuple((array.dtype, array.shape) for array in (codes, rows, mean)) != expected:
        raise IndexVersionError(f"{directory} does not belong to the vectors beside it; build a new index version")
    scales, offsets, errors, radii = rows
    return QuantizedVectors(
        codes=np.asarray(codes), scales=scales, offsets=offsets, errors=errors, radii=radii, mean=mean
    )


def _coded(rows: Vectors) -> tuple[Codes, Vectors, Vectors, Vectors, Vectors]:
    """Rows as scale times codes: these, the scales, and the lengths of the rows, of the errors and of what is coded."""
    scales = np.abs(rows).max(axis=1) / np.float32(_LARGEST)
    scales[scales == 0] = 1
    codes = np.zeros((len(rows), _padded(rows.shape[1])), np.int8)
    codes[:, : rows.shape[1]] = np.rint(rows / scales[:, None])
    coded = codes[:, : rows.shape[1]] * scales[:, None]
    lengths = [np.linalg.norm(part, axis=1).astype(np.float32) for part in (rows, rows - coded, coded)]
    return codes, scales, *lengths


def _padded(dimension: int) -> int:
    return -(-dimension // _COLUMNS) * _COLUMNS
