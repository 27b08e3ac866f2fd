"""Embedding many graphs with a trained encoder."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from numpy.typing import NDArray

from model.batch import PackedGraphs
from model.encoder import SceneGraphEncoder
from model.encoders import Encoder
from model.folded import FoldedEncoder

_NODES_PER_BATCH: Final = 4096
"""Objects encoded at once: enough to fill a CPU's or GPU's matrix units, few enough for its cache."""


InferenceEncoder = Encoder | FoldedEncoder
"""What graphs are embedded with: an encoder, or the form that `prepare_for_inference` gives it."""


def prepare_for_inference(encoder: Encoder) -> InferenceEncoder:
    """The same function in a faster form; for the graph convolution some times as fast.

    Vectors of the two forms differ by rounding. Images and queries that are compared should have gone through the same.

    Args:
        encoder: in evaluation mode; later changes of its weights have no effect on what is returned.
    """
    assert not encoder.training, "batch norm must use its running statistics"
    return FoldedEncoder(encoder) if isinstance(encoder, SceneGraphEncoder) else encoder


def embed(encoder: InferenceEncoder, graphs: PackedGraphs) -> NDArray[np.float32]:
    """Unit vectors of graphs.

    Args:
        encoder: in evaluation mode, so that a graph's embedding does not depend on its batch.
        graphs: N graphs.

    Shapes:
        returns: (N, D).
    """
    parts = list(embed_batches(encoder, graphs))
    return np.concatenate(parts) if parts else np.zeros((0, encoder.config.dimension), np.float32)


@torch.inference_mode()
def embed_batches(encoder: InferenceEncoder, graphs: PackedGraphs) -> Iterator[NDArray[np.float32]]:
    """Unit vectors of graphs, some at a time, in order: for progress bars, and for results larger than memory."""
    assert not encoder.training, "batch norm must use its running statistics"
    device = next(encoder.parameters()).device
    for part in _parts(graphs):
        batch = part.to_batch().to(device)
        # An encoder configured without normalisation ranks by inner product in training; an index ranks by cosine.
        yield F.normalize(encoder(batch), dim=1).cpu().numpy()


def _parts(graphs: PackedGraphs) -> Iterator[PackedGraphs]:
    """Consecutive graphs, cut so that each part has about _NODES_PER_BATCH objects and at least one graph."""
    if 0 < len(graphs.objects) <= _NODES_PER_BATCH:
        yield graphs
        return
    part = graphs.object_offsets[:-1] // _NODES_PER_BATCH
    cuts = np.flatnonzero(np.diff(part)) + 1
    for positions in np.split(np.arange(len(graphs)), cuts):
        if len(positions):
            yield graphs.select(positions)
