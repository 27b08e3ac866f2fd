"""Random scene graphs and small encoders for tests."""

import numpy as np
import torch

from model.batch import PackedGraphs
from model.encoder import EncoderConfig, SceneGraphEncoder
from model.resolution import ResolvedGraph

NAMES = 9  # object names and predicates of the random graphs, special ones included


def random_graph(random: np.random.Generator, *, max_objects: int = 6, max_relationships: int = 8) -> ResolvedGraph:
    """A graph of at least one object; self-loops and parallel relationships occur."""
    objects = int(random.integers(1, max_objects + 1))
    relationships = int(random.integers(0, max_relationships + 1))
    return ResolvedGraph(
        objects=random.integers(1, NAMES, objects).tolist(),
        subjects=random.integers(0, objects, relationships).tolist(),
        predicates=random.integers(1, NAMES, relationships).tolist(),
        targets=random.integers(0, objects, relationships).tolist(),
        substitutions=(),
    )


def random_graphs(count: int, seed: int = 0) -> list[ResolvedGraph]:
    """Some of them."""
    random = np.random.default_rng(seed)
    return [random_graph(random) for _ in range(count)]


def packed(count: int, seed: int = 0) -> PackedGraphs:
    """Some of them, packed."""
    return PackedGraphs.pack(random_graphs(count, seed))


def small_encoder(
    seed: int = 0, *, pool_image_node: bool = True, normalize: bool = True, residual: bool = False
) -> SceneGraphEncoder:
    """An encoder with random weights and random running statistics, in evaluation mode."""
    torch.manual_seed(seed)
    config = EncoderConfig(
        object_names=NAMES,
        predicates=NAMES,
        dimension=8,
        hidden=12,
        layers=3,
        pool_image_node=pool_image_node,
        normalize=normalize,
        residual=residual,
    )
    encoder = SceneGraphEncoder(config)
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    return encoder.eval()
