"""Caption similarity as supervision (Maheshwari et al. 2021, "Relative Similarity Supervision").

s_XY is the mean of the 5 x 5 inner products between the unit caption embeddings of two images. That is the inner
product of the two mean caption embeddings, so the supervision is one vector an image and a row of similarities is one
matrix-vector product.

The paper's embeddings are means of GloVe vectors, whose similarities are hardly ever below 0.5. Those of a sentence
encoder lie around 0.07, and one in five is negative (MiniLM on vg-open). But s must be positive: s_AP is a weight of
the Probability sampler, and s_AP / (s_AP + s_AN) the target of the Ranking loss. So what is not positive is raised to
next to nothing: such an image is all but never drawn as a positive, and against it every related image wins with a
target near 1. Sentences thus give harder targets. All those images are equally unlike then: the Random sampler draws no
pair of two of them, and the Extreme sampler takes the first of them for its negative.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.dataset import SceneGraphDataset, Split
from model.errors import DataError
from training.config import Supervision

MIN_SIMILARITY: Final = 1e-6
"""A similarity that is not positive means nothing as a weight or as part of a ratio; it is raised to this."""


class CaptionSimilarity:
    """Similarities between the N images that have captions.

    Args:
        vectors: mean caption embedding of each image. Shape (N, D), rows of length at most 1.
    """

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors
        self.clamped = torch.zeros((), dtype=torch.int64, device=vectors.device)
        """How many similarities were raised to MIN_SIMILARITY so far: with word vectors few, with sentences many."""

    def __len__(self) -> int:
        return len(self.vectors)

    def rows(self, images: Tensor) -> Tensor:
        """S of these images to all images; never more than these rows at once. Shapes: (B,) -> (B, N)."""
        return self._clamp(self.vectors[images] @ self.vectors.T)

    def pairs(self, left: Tensor, right: Tensor) -> Tensor:
        """S of pairs of images. Shapes: (B,), (B,) -> (B,)."""
        return self._clamp(torch.linalg.vecdot(self.vectors[left], self.vectors[right]))

    def _clamp(self, similarities: Tensor) -> Tensor:
        self.clamped += (similarities <= 0).sum()
        # Rounding may push the similarity of two equal unit vectors above 1.
        return similarities.clamp(MIN_SIMILARITY, 1.0)


def supervised_images(
    dataset: SceneGraphDataset, split: Split, supervision: Supervision
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Positions of a split's images that have captions (or region phrases), and their mean embeddings.

    Args:
        dataset: the data set.
        split: which of its images.
        supervision: "captions" and "phrases" are means of word vectors, "sentences" captions in sentence vectors.

    Shapes:
        (N,) and (N, D); D is another for sentences.

    Raises:
        DataError: "sentences" of a data set that was prepared without a sentence encoder.
    """
    members = dataset.members(split)
    if supervision == "sentences":
        if dataset.sentence_vectors is None:
            raise DataError(
                "the data set has no sentence vectors; prepare it again with `scenerank prepare ... "
                "--sentence-encoder NAME_OR_PATH`"
            )
        vectors = dataset.sentence_vectors[members]
        with_captions = vectors.any(axis=1)
        return members[with_captions], vectors[with_captions]
    counts = dataset.caption_counts if supervision == "captions" else dataset.phrase_counts
    vectors = dataset.caption_vectors if supervision == "captions" else dataset.phrase_vectors
    members = members[counts[members] > 0]
    return members, vectors[members]


def text_counts(dataset: SceneGraphDataset, supervision: Supervision) -> NDArray[np.int32]:
    """How many texts the vector of each image of a data set is the mean of. Shape (N,)."""
    return dataset.phrase_counts if supervision == "phrases" else dataset.caption_counts
