"""Vectors in eight bits, for a first pass that says which rows can be among the best: a quarter of the bytes.

    codes.npy    uint8, N x P: 128 more than each code; P is D rounded up to a multiple of 32
    rows.npy     float32, 2 x N: offsets, errors
    mean.npy     float32, D
    scalars.npy  float64, 2: the scale of all codes, the largest |v|^2

With m the mean of the vectors and H a rotation (`_rotated`), a row is v = m + H'(s c + e): a scale times its codes, and
an error. A query is q = m + H'p with p = t d + f, with a scale of its own or with that of the rows. Then

    q.v = s t (c.d) + (m.(v - m) + s c.e) + (q.m + p.f) + rest,    |rest| <= |p - s c| (|e| + |f|)
    |q - v| is within |e| + |f| of s |c - d|,    if t = s

where c.d and |c - d|^2 are sums of whole numbers, so they have no rounding. That the first error is small where a row
is near matters where all vectors point nearly the same way; that the mean is taken off, too. One large component would
make the codes of all rows coarse; the rotation spreads it over a few hundred.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from service.errors import IndexVersionError
from service.index.ranking import Rows, Vectors

DIRECTORY: Final = "codes"

_LARGEST: Final = 127  # -128 has no opposite
_ZERO: Final = 128  # the byte of code 0: FAISS reads codes so
_BLOCK: Final = 1024  # rows coded together: they stay in the cache
_COLUMNS: Final = 32  # FAISS takes so many at once; and with a single one PyTorch's product is wrong
_CACHED: Final = 3 << 19  # bytes of codes multiplied together: about what a core's second-level cache holds
_EIGHT_SIGNS: Final = np.array([_ZERO] * 8, np.uint8).view(np.int64)
_ROUNDING: Final = np.float32(2.0**-20)  # of products and squares of unit vectors
_MIXED: Final = 16
_HADAMARD: Final = np.array([[(-1) ** (a & b).bit_count() for b in range(_MIXED)] for a in range(_MIXED)]) / 4

Codes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedQueries:
    """Queries in eight bits.

    Shapes:
        codes: (Q, P); scales, offsets (q.m + p.f), squares (|q|^2), errors (|f|): (Q,).
    """

    codes: NDArray[np.int8]
    scales: Vectors
    offsets: Vectors
    squares: Vectors
    errors: Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedVectors:
    """Rows in eight bits, with what bounds the error of distances and products.

    Shapes:
        codes: (N, P); longest (the largest |v|^2): (); offsets (m.(v - m) + s c.e), errors (|e|): (N,); mean: (D,).
    """

    codes: Codes
    scale: float
    longest: float
    offsets: Vectors
    errors: Vectors
    mean: Vectors

    def nearest(self, query: Vectors, count: int) -> tuple[Rows, Vectors, float]:
        """The rows nearest to one query by their codes, how far from it each is at least, and all others at least.

        Args:
            query: Shape (D,).
            count: how many rows, at most N.

        Shapes:
            returns: (count,), (count,), ().
        """
        place = _rotated(_centred(query[np.newaxis], self.mean))
        exact = np.rint(place / self.scale).clip(-_LARGEST, _LARGEST)
        codes, error = exact.astype(np.float32), np.linalg.norm(place - exact * self.scale)
        rows, squares = np.full(count, -1), np.full(count, np.inf, np.float32)
        # What FAISS's own index does, but with codes that stay where they are.
        kind = faiss.ScalarQuantizer(self.codes.shape[1], faiss.ScalarQuantizer.QT_8bit_direct_signed)
        scanner = kind.select_InvertedListScanner(faiss.METRIC_L2, None, True, None)  # type: ignore[attr-defined]
        try:
            scanner.set_query(faiss.swig_ptr(codes))  # of which it would leave out what is after the point
            scanner.set_list(0, 0.0)
            pointers = [faiss.swig_ptr(array) for array in (squares, rows)]
            scanner.scan_codes(len(self.codes), faiss.swig_ptr(self.codes), None, *pointers, count)
        finally:
            faiss.InvertedListScanner.__swig_destroy__(scanner)  # type: ignore[attr-defined]  # nobody else frees it
        order = np.argsort(squares)
        rounding = (self.codes.shape[1] + 4) * 2.0**-24  # if it adds up in single precision (Higham 2002, section 3.1)
        distances = np.sqrt(squares[order].astype(np.float64)) * (self.scale * (1 - rounding)) - error
        rows = rows[order]
        return rows, distances - self.errors[rows], float(distances[-1] - self.errors.max())

    def code(self, queries: Vectors) -> CodedQueries:
        """Queries in the form that `products` takes. Shape of queries: (Q, D)."""
        places = _rotated(_centred(queries, self.mean))
        scales = np.abs(places).max(axis=1, keepdims=True) / _LARGEST
        scales[scales == 0] = 1
        codes = np.rint(places / scales)
        errors = places - codes * scales
        offsets = queries.astype(np.float64) @ self.mean + (places * errors).sum(axis=1)
        return CodedQueries(
            codes=codes.astype(np.int8),
            scales=scales[:, 0].astype(np.float32),
            offsets=offsets.astype(np.float32),
            squares=np.square(queries, dtype=np.float64).sum(axis=1).astype(np.float32),
            errors=np.linalg.norm(errors, axis=1).astype(np.float32),
        )

    def products(self, queries: CodedQueries, block: slice) -> Vectors:
        """Inner products with the rows of a block, each off by at most its `slack`. Shape (Q, block)."""
        left = torch.from_numpy(queries.codes)
        scales = torch.from_numpy(queries.scales * np.float32(self.scale))[:, None]
        offsets, row_offsets = torch.from_numpy(queries.offsets)[:, None], torch.from_numpy(self.offsets)
        products = torch.empty(len(left), block.stop - block.start)
        step = max(_CACHED // self.codes.shape[1], 1)
        signed = np.empty((step, self.codes.shape[1] // 8), np.int64)
        for start in range(block.start, block.stop, step):
            rows = slice(start, min(start + step, block.stop))
            # As signed numbers; and the product jumps from row to row, which memory answers slowly, but not the cache.
            part = np.bitwise_xor(self.codes[rows].view(np.int64), _EIGHT_SIGNS, out=signed[: rows.stop - rows.start])
            found = products[:, rows.start - block.start : rows.stop - block.start]
            torch.mul(torch._int_mm(left, torch.from_numpy(part.view(np.int8)).T), scales, out=found)  # noqa: SLF001
            found.add_(row_offsets[rows]).add_(offsets)
        result: Vectors = products.numpy()
        return result

    def slack(
        self, queries: CodedQueries, which: int, products: Vectors | np.float32, errors: Vectors | np.float32
    ) -> Vectors:
        """How far products can be from the true ones; the larger a product, the less.

        With h = |e| + |f|, the bound above and |p - s c| <= |q - v| + |e|, |q - v|^2 = |q|^2 + |v|^2 - 2 q.v give
        |p - s c| <= |e| + h + ((|e| + h)^2 + |q|^2 + |v|^2 - 2 product)^1/2.

        Args:
            queries: coded.
            which: one of them.
            products: with some rows, or one.
            errors: of these rows, or one.

        Shapes:
            products, errors, returns: (rows,) or ().
        """
        both = errors + queries.errors[which]
        apart = np.maximum(queries.squares[which] + np.float32(self.longest) - 2 * products, 0) + _ROUNDING
        bound: Vectors = both * (errors + both + np.sqrt(np.square(errors + both) + apart)) + _ROUNDING
        return bound


def can_scan() -> bool:
    """Whether FAISS looks through codes faster than through vectors here: without such instructions it is slower."""
    return bool(torch.cpu.get_capabilities().get("avx2"))


def can_multiply() -> bool:
    """Whether this processor multiplies eight-bit numbers, as an exact sum, faster than others."""
    capabilities = torch.cpu.get_capabilities()
    return hasattr(torch, "_int_mm") and bool(capabilities.get("avx512_vnni") or capabilities.get("avx_vnni"))


def save_quantized(directory: Path, vectors: Vectors) -> None:
    """Write vectors in eight bits into a directory of their own; the version's manifest holds the checksums.

    Args:
        directory: where; it is made.
        vectors: may be mapped; they are read three times, block by block. Shape (N, D), N > 0.
    """
    directory.mkdir()
    count, dimension = vectors.shape
    blocks = [slice(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK)]
    mean = (sum(vectors[block].sum(axis=0, dtype=np.float64) for block in blocks) / count).astype(np.float32)
    largest = max(np.abs(_rotated(_centred(vectors[block], mean))).max() for block in blocks)
    scale = float(largest) / _LARGEST or 1.0
    longest = 0.0
    rows = np.empty((2, count), np.float32)
    codes = np.lib.format.open_memmap(directory / "codes.npy", "w+", np.uint8, (count, _padded(dimension)))
    for block in blocks:
        centred = _centred(vectors[block], mean)
        places = _rotated(centred)
        coded = np.rint(places / scale)
        codes[block] = coded + _ZERO
        errors = places - coded * scale
        rows[0, block] = centred[:, :dimension] @ mean + (coded * scale * errors).sum(axis=1)
        rows[1, block] = np.linalg.norm(errors, axis=1)
        longest = max(longest, float(np.square(vectors[block], dtype=np.float64).sum(axis=1).max()))
    codes.flush()
    for name, array in (("rows", rows), ("mean", mean), ("scalars", np.array([scale, longest]))):
        np.save(directory / f"{name}.npy", array, allow_pickle=False)


def load_quantized(directory: Path, *, count: int, dimension: int) -> QuantizedVectors:
    """Open what `save_quantized` wrote; the codes stay mapped from their file.

    Raises:
        IndexVersionError: it is missing or damaged, or belongs to other vectors.
    """
    try:
        codes = np.load(directory / "codes.npy", mmap_mode="r", allow_pickle=False)
        rows, mean, scalars = (
            np.load(directory / f"{name}.npy", allow_pickle=False) for name in ("rows", "mean", "scalars")
        )
    except (OSError, EOFError, ValueError) as error:
        raise IndexVersionError(f"{directory} cannot be read ({error}); build a new index version") from None
    expected = (
        (np.uint8, (count, _padded(dimension))),
        (np.float32, (2, count)),
        (np.float32, (dimension,)),
        (np.float64, (2,)),
    )
    if tuple((array.dtype, array.shape) for array in (codes, rows, mean, scalars)) != expected:
        raise IndexVersionError(f"{directory} does not belong to the vectors beside it; build a new index version")
    scale, longest = scalars.tolist()
    offsets, errors = rows
    return QuantizedVectors(
        codes=np.asarray(codes),
        scale=scale,
        longest=longest,
        offsets=offsets,
        errors=errors,
        mean=mean,
    )


def _centred(vectors: Vectors, mean: Vectors) -> NDArray[np.float64]:
    """Vectors without their mean, in double precision, with columns of zeros. Shapes: (N, D), (D,) -> (N, P)."""
    centred = np.zeros((len(vectors), _padded(len(mean))))
    np.subtract(vectors, mean, out=centred[:, : len(mean)], dtype=np.float64)
    return centred


def _rotated(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors by other axes, of which each is a mixture of 256 of the old: Hadamard's matrix of 16, twice.

    Shapes:
        vectors, returns: (N, P).
    """
    count, columns = vectors.shape
    once = _HADAMARD @ vectors.reshape(count, _MIXED, columns // _MIXED)
    twice: NDArray[np.float64] = once.reshape(count, columns // _MIXED, _MIXED) @ _HADAMARD
    return twice.reshape(count, columns)


def _padded(dimension: int) -> int:
    return -(-dimension // _COLUMNS) * _COLUMNS
