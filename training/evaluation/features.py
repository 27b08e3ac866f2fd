"""Image features from a file, such as those of ResNet-152 or CLIP: how far pictures alone agree with captions."""

import zipfile
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.errors import DataError
from training.evaluation.similarities import unit_rows

_KEYS: Final = ("features", "embeddings")


def read_features(path: Path, image_ids: NDArray[np.str_]) -> NDArray[np.float32]:
    """The features of these images as unit rows, so that inner products are cosines.

    Args:
        path: an `.npz` file with `ids` (M,) and `features` or `embeddings` (M, D), as `scenerank embed` writes.
        image_ids: the images wanted. Shape (N,).

    Shapes:
        returns: (N, D).

    Raises:
        DataError: the file cannot be read, has other arrays, or lacks some of the images.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise DataError(f"{path} cannot be read as .npz ({error}); write it with numpy.savez") from None
    key = next((name for name in _KEYS if name in arrays), None)
    if key is None or "ids" not in arrays:
        raise DataError(f"{path} holds {', '.join(arrays) or 'nothing'}; it must hold ids and {' or '.join(_KEYS)}")
    ids, rows = arrays["ids"], arrays[key]
    if ids.ndim != 1 or rows.ndim != 2 or len(ids) != len(rows) or rows.dtype.kind not in "fiu":
        raise DataError(f"{path}: ids must be (N,) and {key} (N, D) numbers; they are {ids.shape} and {rows.shape}")
    position = {str(image_id): row for row, image_id in enumerate(ids.tolist())}
    missing = [image_id for image_id in image_ids.tolist() if image_id not in position]
    if missing:
        raise DataError(
            f"{path} has no features for {len(missing)} of {len(image_ids)} images, {missing[0]} among them; "
            "it must cover the split that is scored"
        )
    return unit_rows(rows[[position[image_id] for image_id in image_ids.tolist()]].astype(np.float32))
