"""A new encoder: tables that start from the names' word vectors, or are fitted in closed form; all else is random."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from model.dataset import SceneGraphDataset
from model.encoder import EncoderConfig, SceneGraphEncoder
from model.encoders import Encoder
from model.triple_encoder import TripleEncoder, TripleEncoderConfig
from model.vocabulary import UNKNOWN_ID
from model.word_vectors import WordVectors
from training.config import TrainingConfig
from training.linear_start import fit_caption_part, start_caption_part_from_words, start_identity_part


def new_encoder(config: TrainingConfig, dataset: SceneGraphDataset) -> Encoder:
    """The encoder that training begins with, the same for the same seed; with start = "linear" it is fitted already."""
    if config.encoder == "convolution":
        return _new_convolution(config, dataset)
    encoder = TripleEncoder(
        TripleEncoderConfig(
            object_names=len(dataset.vocabulary.objects),
            predicates=len(dataset.vocabulary.predicates),
            caption_dimension=config.caption_dimension,
            identity_dimension=config.identity_dimension,
            identity_weight=config.identity_weight,
            pooling_power=config.pooling_power,
        )
    )
    if config.start == "linear":
        fit_caption_part(encoder, dataset, config.supervision, config.shrinkage)
    else:
        start_caption_part_from_words(encoder, dataset)
    start_identity_part(encoder, dataset, np.random.default_rng(config.seed))
    return encoder


def _new_convolution(config: TrainingConfig, dataset: SceneGraphDataset) -> SceneGraphEncoder:
    """An untrained graph convolution.

    Object names and predicates start from the mean of the word vectors of their words (Maheshwari et al. 2021), so the
    dimension is that of the word vectors.
    """
    vocabulary = dataset.vocabulary
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        encoder = SceneGraphEncoder(
            EncoderConfig(
                object_names=len(vocabulary.objects),
                predicates=len(vocabulary.predicates),
                dimension=dataset.word_vectors.dimension,
                hidden=config.hidden,
                layers=config.layers,
                pool_image_node=config.pool_image_node,
                normalize=config.normalize,
                residual=config.residual,
            ),
            engine=config.engine,
        )
    random = np.random.default_rng(config.seed)
    for embedding, names in (
        (encoder.object_embedding, vocabulary.objects),
        (encoder.predicate_embedding, vocabulary.predicates),
    ):
        embedding.weight.data.copy_(initial_embeddings(names, dataset.word_vectors, random))
    return encoder


def initial_embeddings(names: Sequence[str], word_vectors: WordVectors, random: np.random.Generator) -> Tensor:
    """Mean word vector of each name; `__image__` and `__in_image__` are read as their words.

    The unknown starts as the mean of all names. A name none of whose words has a vector gets a random one of the same
    spread as the others.

    Shapes: (names, D).
    """
    rows, present = word_vectors.means([name.strip("_").replace("_", " ") for name in names])
    present[UNKNOWN_ID] = False
    if present.any():
        known = rows[present]
        rows[~present] = random.normal(known.mean(), known.std(), size=(int((~present).sum()), rows.shape[1]))
        rows[UNKNOWN_ID] = known.mean(axis=0)
    else:
        rows = random.normal(size=rows.shape).astype(np.float32)
    return torch.from_numpy(rows)
