"""The two encoders, and their configuration as JSON."""

from collections.abc import Mapping
from typing import Any

from model.encoder import EncoderConfig, SceneGraphEncoder
from model.errors import ConfigError
from model.triple_encoder import TripleEncoder, TripleEncoderConfig

Encoder = SceneGraphEncoder | TripleEncoder
"""Turns a batch of N scene graphs into N unit vectors of `config.dimension`."""


def encoder_to_json(encoder: Encoder) -> dict[str, Any]:
    """What `encoder_from_json` builds the same encoder from, weights apart."""
    architecture = "triples" if isinstance(encoder, TripleEncoder) else "convolution"
    return {"architecture": architecture, **encoder.config.to_json()}


def encoder_from_json(document: Mapping[str, Any]) -> Encoder:
    """An encoder with random weights; without a word on the architecture it is the graph convolution.

    Raises:
        ConfigError: no such architecture, or impossible values.
        TypeError: a value that this architecture does not have.
    """
    values = dict(document)
    architecture = values.pop("architecture", "convolution")
    if architecture == "triples":
        return TripleEncoder(TripleEncoderConfig(**values))
    if architecture != "convolution":
        raise ConfigError(f"architecture {architecture!r} is unknown to this version; update SceneRank")
    return SceneGraphEncoder(EncoderConfig(**values))
