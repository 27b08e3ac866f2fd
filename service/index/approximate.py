"""Fewer rows to look at: vectors are put into lists by k-means, and a search looks into the lists nearest to it.

    lists.json                    format version, sizes, how many lists a search looks into
    centroids.npy                 float32, L x D: the middle of each list, a unit vector
    starts.npy                    int64, L + 1: where each list begins in rows.npy
    rows.npy                      int64, N: the rows list by list, rising in each

The vectors stay where they are, in the order of their rows: an approximate index has no copy of them.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from model.atomic import write_atomically
from service.errors import IndexVersionError

DIRECTORY: Final = "lists"
FORMAT_VERSION: Final = 1
MOST_LISTS: Final = 65536

_KIND: Final = re.compile(r"ivf([0-9]{1,6})(?:,nprobe=([0-9]{1,6}))?")
KIND_PATTERN: Final = "^(flat|ivf(N)(,nprobe=[1-9][0-9]{0,5})?)$".replace(
    "N", "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-6]"
)
"""All that `parse_index_kind` takes, but for leading zeros; for the OpenAPI document."""

_GRAMMAR: Final = 'write "flat", "ivf1024" or "ivf1024,nprobe=32"'
_PROBED: Final = 16  # without nprobe one list of so many is looked into
_FULL: Final = 39  # rows a list has at least, on average; with fewer k-means finds nothing
_TRAINED_ON: Final = 64  # rows a list in the sample for k-means
_ROUNDS: Final = 10
_BLOCK: Final = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexKind:
    """How an index version is searched.

    Args:
        lists: into how many lists its vectors are put; 0 for none, every row is looked at.
        probes: how many lists a search looks into.
    """

    lists: int
    probes: int

    def __str__(self) -> str:
        return f"ivf{self.lists},nprobe={self.probes}" if self.lists else "flat"


FLAT: Final = IndexKind(lists=0, probes=0)


def parse_index_kind(text: str) -> IndexKind:
    """Read `flat`, `ivfLISTS` or `ivfLISTS,nprobe=PROBES`; without nprobe a search looks into a sixteenth of the lists.

    As with FAISS, a search looks at most into all lists, whatever nprobe is.

    Raises:
        ValueError: it is none of these, or a number is out of range; the message says what to write.
    """
    if text == "flat":
        return FLAT
    match = _KIND.fullmatch(text)
    if match is None:
        shown = text if len(text) <= 40 else text[:40] + "..."
        raise ValueError(f"{shown!r} is no kind of index; {_GRAMMAR}")
    lists = int(match[1])
    if not 1 <= lists <= MOST_LISTS:
        raise ValueError(f"an index has 1 to {MOST_LISTS} lists, not {lists}; {_GRAMMAR}")
    probes = -(-lists // _PROBED) if match[2] is None else int(match[2])
    if probes < 1:
        raise ValueError(f"nprobe is at least 1, not {probes}; {_GRAMMAR}")
    return IndexKind(lists=lists, probes=min(probes, lists))


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproximateIndex:
    """Rows in lists.

    Args:
        centroids: unit vectors. Shape (L, D).
        starts: where lists begin in `rows`, and where the last one ends. Shape (L + 1,).
        rows: list by list, rising in each. Shape (N,).
        probes: how many lists a search looks into.
    """

    centroids: NDArray[np.float32]
    starts: NDArray[np.int64]
    rows: NDArray[np.int64]
    probes: int

    def near(self, query: NDArray[np.float32]) -> NDArray[np.int64]:
        """The rows, rising, of the `probes` lists whose centroids have the highest inner product with a query.

        Raises:
            IndexVersionError: the file of rows, which is mapped, was altered, and names rows that there are not.
        """
        # One query at a time: which lists they are must not depend on what is searched beside it.
        products = np.empty(len(self.centroids), np.float32)
        pointers = [faiss.swig_ptr(array) for array in (products, query, self.centroids)]
        faiss.fvec_inner_products_ny(*pointers, self.centroids.shape[1], len(products))  # type: ignore[attr-defined]
        lists = np.argsort(-products, kind="stable")[: self.probes]
        rows = np.concatenate([self.rows[self.starts[number] : self.starts[number + 1]] for number in lists])
        rows.sort()
        if len(rows) and not (rows[0] >= 0 and rows[-1] < len(self.rows)):  # they become addresses
            raise IndexVersionError("the lists of the index in use were altered; build a new index version")
        return rows


def build_approximate(vectors: NDArray[np.float32], kind: IndexKind, *, seed: int = 0) -> ApproximateIndex:
    """Put vectors into lists by spherical k-means, trained on a sample.

    A catalogue of fewer than 39 rows a list gets fewer lists, and at most as many are looked into as before.

    Args:
        vectors: unit rows, at least one. Shape (N, D).
        kind: with lists.
        seed: decides the sample and where k-means begins.
    """
    count, dimension = vectors.shape
    number = max(1, min(kind.lists, count // _FULL))
    sampled = min(count, _TRAINED_ON * number)
    sample = vectors[np.sort(np.random.default_rng(seed).choice(count, sampled, replace=False))]
    if number == 1:
        mean = sample.mean(axis=0, keepdims=True)
        centroids = mean / max(float(np.linalg.norm(mean)), 1e-12)
    else:
        kmeans = faiss.Kmeans(dimension, number, niter=_ROUNDS, seed=seed, spherical=True, min_points_per_centroid=1)
        kmeans.train(sample)
        centroids = kmeans.centroids
    centroids = np.ascontiguousarray(centroids, np.float32)
    middle = torch.from_numpy(centroids).T.contiguous()
    blocks = range(0, count, _BLOCK)
    lists = [
        torch.mm(torch.from_numpy(np.array(vectors[start : start + _BLOCK])), middle).argmax(1) for start in blocks
    ]
    assigned = torch.cat(lists).numpy()
    return ApproximateIndex(
        centroids=centroids,
        starts=np.concatenate([[0], np.cumsum(np.bincount(assigned, minlength=number))]).astype(np.int64),
        rows=np.argsort(assigned, kind="stable"),
        probes=min(kind.probes, number),
    )


def save_approximate(directory: Path, index: ApproximateIndex) -> None:
    """Write an approximate index into a directory of its own; the version's manifest holds the checksums."""
    directory.mkdir()
    lists, dimension = index.centroids.shape
    for name, array in (("centroids", index.centroids), ("starts", index.starts), ("rows", index.rows)):
        np.save(directory / f"{name}.npy", array, allow_pickle=False)
    document = {
        "format_version": FORMAT_VERSION,
        "lists": lists,
        "probes": index.probes,
        "count": len(index.rows),
        "dimension": dimension,
    }
    write_atomically(directory / "lists.json", (json.dumps(document, indent=2) + "\n").encode())


def load_approximate(directory: Path, *, count: int, dimension: int) -> ApproximateIndex:
    """Open an approximate index; its rows stay mapped from the file.

    Args:
        directory: where it was saved.
        count: of the vectors that it belongs to.
        dimension: of them.

    Raises:
        IndexVersionError: it is missing or damaged, or belongs to other vectors.
    """
    try:
        document = json.loads((directory / "lists.json").read_bytes())
        centroids = np.load(directory / "centroids.npy", allow_pickle=False)
        starts = np.load(directory / "starts.npy", allow_pickle=False)
        rows = np.load(directory / "rows.npy", mmap_mode="r", allow_pickle=False)
        lists, probes = document["lists"], document["probes"]
        sound = (
            document["format_version"] == FORMAT_VERSION
            and (document["count"], document["dimension"]) == (count, dimension)
            and (centroids.dtype, centroids.shape) == (np.float32, (lists, dimension))
            and (starts.dtype, starts.shape) == (np.int64, (lists + 1,))
            and (rows.dtype, rows.shape) == (np.int64, (count,))
            and 1 <= probes <= lists
            and (starts[0], starts[-1]) == (0, count)
            and bool((np.diff(starts) >= 0).all())
            and bool((np.bincount(rows, minlength=count) == 1).all())  # they become addresses
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IndexVersionError(f"{directory} cannot be read ({error}); build a new index version") from None
    if not sound:
        raise IndexVersionError(f"{directory} does not belong to the vectors beside it; build a new index version")
    return ApproximateIndex(centroids=centroids, starts=starts, rows=np.asarray(rows), probes=probes)
