"""Train, val and test: at random, or as a file says."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.dataset import SPLITS, Split
from model.errors import ConfigError, DataError
from model.files import open_data

_TRAIN = SPLITS.index("train")


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFile:
    """A split read from a file.

    Args:
        split_of: image id -> split.
        names_train: whether the file lists training images; then images it does not list are in no split at all.
    """

    split_of: Mapping[str, Split]
    names_train: bool

    def listed(self, image_ids: NDArray[np.str_]) -> NDArray[np.bool_]:
        """Which images the file puts anywhere. Shape (N,)."""
        return np.array([image_id in self.split_of for image_id in image_ids.tolist()], np.bool_)

    def assign(self, image_ids: NDArray[np.str_]) -> NDArray[np.int8]:
        """The split of each image, as positions in SPLITS. Shape (N,)."""
        return np.array([SPLITS.index(self.split_of.get(image, "train")) for image in image_ids.tolist()], np.int8)


def read_split_file(path: Path) -> SplitFile:
    """Read {"test": [ids], "val": [ids]} and, if given, "train"; other keys are ignored.

    Raises:
        DataError: the file is damaged or of another form, or puts an image into two splits.
    """
    try:
        with open_data(path) as stream:
            document = json.loads(stream.read())
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f'{path} is not valid JSON ({error}); write {{"test": [ids], "val": [ids]}}') from None
    if not isinstance(document, dict) or not any(split in document for split in SPLITS):
        raise DataError(f'{path} names no split; write {{"test": [ids], "val": [ids]}}')
    split_of: dict[str, Split] = {}
    for split in SPLITS:
        ids = document.get(split, [])
        if not isinstance(ids, list) or not all(isinstance(image_id, str | int) for image_id in ids):
            raise DataError(f"{path}: {split!r} must be a list of image ids")
        for image_id in map(str, ids):
            if split_of.setdefault(image_id, split) != split:
                raise DataError(f"{path}: image {image_id} is in {split_of[image_id]!r} and {split!r}; keep one")
    return SplitFile(split_of=split_of, names_train="train" in document)


def check_shares(shares: tuple[int, int, int]) -> None:
    """Refuse shares that divide nothing.

    Raises:
        ConfigError: not three numbers, one is negative, or training gets nothing.
    """
    if len(shares) != len(SPLITS) or min(shares) < 0 or shares[_TRAIN] <= 0:
        raise ConfigError(
            f"split {shares}: give three shares, train : val : test, such as 70:20:10, training's above 0"
        )


def random_split(
    supervised: NDArray[np.bool_], shares: tuple[int, int, int], rng: np.random.Generator
) -> NDArray[np.int8]:
    """Divide the supervised images at random; the others are for training (Maheshwari et al. 2021: 70 : 20 : 10).

    Every supervised image is used: shares are rounded down, and the last split with a share takes the rest.

    Args:
        supervised: which images have texts. Shape (N,).
        shares: of train, val and test.
        rng: where the randomness comes from.

    Shapes: (N,), positions in SPLITS.
    """
    members = rng.permutation(np.flatnonzero(supervised))
    sizes = [math.floor(len(members) * share / sum(shares)) for share in shares]
    last = max(number for number, share in enumerate(shares) if share > 0)
    sizes[last] += len(members) - sum(sizes)
    split = np.full(len(supervised), _TRAIN, np.int8)
    split[members] = np.repeat(np.arange(len(SPLITS)), sizes)
    return split
