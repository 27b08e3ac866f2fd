"""What an index version keeps of each image beside its vector, so that a search needs no database.

    records/data          one image after the other: its fields as a JSON object, a line feed, its graph as JSON
    records/offsets.npy   (N + 1,) int64: image i is data[offsets[i]:offsets[i + 1]]

The data are mapped, not read: a page of results touches what it shows.
"""

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from service.catalogue import StoredImage
from service.index.mapped import WatchedFiles

DIRECTORY: Final = "records"

_SEPARATOR: Final = b"\n"  # which JSON as the catalogue writes it never contains


class RecordWriter:
    """Writes the records of a version, image by image in the order of rows; a context, complete at its end.

    Args:
        directory: made new.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self._file = (directory / "data").open("wb")
        self._sizes = [0]

    def add(self, images: Sequence[StoredImage]) -> None:
        """The next images."""
        for image in images:
            self._sizes.append(self._file.write(image.fields.encode() + _SEPARATOR + image.graph.encode()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        np.save(self._directory / "offsets.npy", np.cumsum(self._sizes, dtype=np.int64), allow_pickle=False)


class Records:
    """The records of a version.

    Args:
        directory: what RecordWriter wrote.
        ids: the images in the order of rows.

    Raises:
        ValueError, OSError: a file is missing or not what it should be.
    """

    def __init__(self, directory: Path, ids: Sequence[str]) -> None:
        self._ids = ids
        self._file = WatchedFiles([directory / "data"])
        self._offsets: NDArray[np.int64] = np.load(directory / "offsets.npy", allow_pickle=False)
        with (directory / "data").open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if len(self._offsets) != len(ids) + 1 or self._offsets[-1] != len(self._data):
            raise ValueError(f"{directory}: data and offsets do not belong together")

    def __getitem__(self, row: int) -> StoredImage:
        return self.read([row])[0]

    def read(self, rows: Sequence[int]) -> list[StoredImage]:
        """The images in some rows, which takes less than one after the other."""
        spans = [(int(self._offsets[row]), int(self._offsets[row + 1])) for row in rows]
        records = [self._data[start:stop].partition(_SEPARATOR) for start, stop in spans]
        self._file.require_intact()
        return [
            StoredImage(image_id=self._ids[row], fields=fields.decode(), graph=graph.decode())
            for row, (fields, _, graph) in zip(rows, records, strict=True)
        ]
