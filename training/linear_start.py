"""The triple encoder in closed form: ridge regression for its caption part, random signs for its identity part."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from model.batch import PackedGraphs
from model.dataset import SceneGraphDataset
from model.triple_encoder import TripleEncoder
from model.vocabulary import UNKNOWN_ID
from training.config import Supervision
from training.similarity import supervised_images, text_counts

Matrix = NDArray[np.float64]

_ONE_HOT_SCALE: Final = 0.9
"""Length of a name's own feature beside its word vector, of length 1: how far a name may differ from its neighbours."""

_TEXT_NOISE: Final = 1.0
"""Variance of one text's vector around its image's, in units of the graph's own: n texts weigh n / (n + this)."""

_SHARED_LENGTH: Final = 0.2
"""k: length of the coordinate that all caption parts have in common, where caption vectors have about unit length."""

_SHARED_SIGN: Final = 0.3
"""What the role vectors have in common, so that a wildcard in a triple still leaves a part of it to be found."""

_OBJECT_WEIGHT: Final = 0.5
"""Length of the rarest name's object vector beside a triple's, of length 1; others have less by their idf."""

_GRAPHS_AT_ONCE: Final = 4096


def fit_caption_part(
    encoder: TripleEncoder, dataset: SceneGraphDataset, supervision: Supervision, shrinkage: float
) -> None:
    """Fit the caption part by ridge regression from a graph's object names to its mean caption vector.

    The prediction is a + sum_u V[u] / n^q, whose rows V come from a weighted ridge regression on one feature per name
    and the names' word vectors. Which image's captions are like those of many others is part of what captions say, so
    the inner products of predictions are kept, but not the length m.m that all have in common, which would leave
    little of a unit vector for anything else. With d = prediction - m, m the mean caption vector and k a constant:

        c = [k + m.d / k, the other directions of d]   so that   c_X.c_Y = k^2 + m.d_X + m.d_Y + d_X.d_Y + ...

    of whose other directions the principal ones are kept. At last all c are scaled so that their mean squared length
    over the training graphs is 1, whatever the data.

    Args:
        encoder: its caption part is overwritten.
        dataset: its captioned training images are learned from.
        supervision: which texts.
        shrinkage: regularisation; features have about unit length.
    """
    config = encoder.config
    members, texts = supervised_images(dataset, "train", supervision)
    counts = text_counts(dataset, supervision)[members]
    graphs, targets = dataset.graphs.select(members), texts.astype(np.float64)
    features = _name_features(dataset)  # (O, O + W)
    weights = counts / (counts + _TEXT_NOISE)
    weights /= weights.mean()

    mean = (weights[:, None] * targets).mean(axis=0)
    total, gram, moment = np.zeros(features.shape[1]), np.zeros((features.shape[1],) * 2), 0.0
    for start in range(0, len(graphs), _GRAPHS_AT_ONCE):
        part = np.arange(start, min(start + _GRAPHS_AT_ONCE, len(graphs)))
        x = _bags(graphs.select(part), config.object_names, config.pooling_power) @ features
        weighted = weights[part, None] * x
        total += weighted.sum(axis=0)
        gram += weighted.T @ x
        moment = moment + weighted.T @ (targets[part] - mean)
    centre = total / len(graphs)
    gram -= len(graphs) * np.outer(centre, centre)
    gram[np.diag_indices_from(gram)] += shrinkage
    coefficients = np.linalg.solve(gram, moment)
    rows = features @ coefficients  # V, (O, C)
    rows[UNKNOWN_ID] = _mean_row(rows, graphs.objects)
    offset = -centre @ coefficients  # a - m

    shared = mean / np.linalg.norm(mean)
    deviations = _bags(graphs, config.object_names, config.pooling_power) @ rows + offset
    others = deviations - np.outer(deviations @ shared, shared)
    _, directions = np.linalg.eigh(others.T @ others)
    kept = directions[:, ::-1][:, : config.caption_dimension - 1]
    kept = np.pad(
        kept, ((0, 0), (0, config.caption_dimension - 1 - kept.shape[1]))
    )  # fewer words' dimensions than asked
    kept -= np.outer(shared, shared @ kept)
    projection = np.column_stack([mean / _SHARED_LENGTH, kept])
    bias = offset @ projection
    bias[0] += _SHARED_LENGTH
    captions = (deviations - offset) @ projection + bias
    scale = np.square(captions).sum(axis=1).mean() ** -0.5
    with torch.no_grad():
        encoder.caption_embedding.weight.copy_(torch.from_numpy(scale * rows @ projection))
        encoder.caption_embedding.weight[0] = 0
        encoder.caption_bias.copy_(torch.from_numpy(scale * bias))


def start_caption_part_from_words(encoder: TripleEncoder, dataset: SceneGraphDataset) -> None:
    """Let the caption part be the principal directions of the names' word vectors: nothing is learned from captions."""
    words = _name_features(dataset)[:, encoder.config.object_names :]
    words = words - _mean_row(words, dataset.graphs.select(dataset.members("train")).objects)
    _, _, directions = np.linalg.svd(words, full_matrices=False)
    kept = words @ directions[: encoder.config.caption_dimension - 1].T
    with torch.no_grad():
        encoder.caption_embedding.weight.zero_()
        encoder.caption_embedding.weight[UNKNOWN_ID + 1 :, 1 : 1 + kept.shape[1]] = torch.from_numpy(
            kept[UNKNOWN_ID + 1 :]
        ).float()
        encoder.caption_bias.zero_()
        encoder.caption_bias[0] = 0.5  # about half of the square of a caption part that is one unit long


def start_identity_part(encoder: TripleEncoder, dataset: SceneGraphDataset, random: np.random.Generator) -> None:
    """Give every name random signs for each role, object vectors weighted by idf; the unknown is what names share.

    A triple's weight is the sum of its names' idf in their roles, divided so that the mean over training triples is 1.
    Role vectors are shared + sqrt(1 - shared^2) * (random signs), and triples have about unit length. The unknown has
    the mean of the names' vectors, by how often they occur: the best guess at a vector that is not known.

    Args:
        encoder: its identity part is overwritten.
        dataset: its training graphs give the frequencies.
        random: draws the signs.
    """
    config = encoder.config
    training = dataset.graphs.select(dataset.members("train"))
    subjects, targets = ends_of(training)
    own = np.sqrt(1 - _SHARED_SIGN**2)
    scale = config.identity_dimension**-0.5

    def signs(names: int) -> NDArray[np.float32]:
        return random.choice(np.array([-1, 1], np.float32), size=(names, config.identity_dimension))

    objects = _OBJECT_WEIGHT * scale * relative_idf(training, config.object_names)[:, None] * signs(config.object_names)
    objects[UNKNOWN_ID] = 0  # some object: nothing to tell an image by
    roles = [
        (encoder.subject_role, encoder.subject_weight, subjects, 1.0),
        (encoder.predicate_role, encoder.predicate_weight, training.predicates, scale),
        (encoder.object_role, encoder.object_weight, targets, 1.0),
    ]
    idfs = [_idf(seen, weight.num_embeddings) for _, weight, seen, _ in roles]
    total = sum(float(idf[seen].mean()) if len(seen) else 1.0 for idf, (_, _, seen, _) in zip(idfs, roles, strict=True))
    with torch.no_grad():
        encoder.object_embedding.weight.copy_(torch.from_numpy(objects))
        encoder.object_embedding.weight[0] = 0
        for (role, weight, seen, length), idf in zip(roles, idfs, strict=True):
            rows = length * (_SHARED_SIGN + own * signs(weight.num_embeddings))
            rows[UNKNOWN_ID] = _mean_row(rows, seen)
            role.weight.copy_(torch.from_numpy(rows))
            role.weight[0] = 0
            idf[UNKNOWN_ID] = _mean_row(idf[:, None], seen)[0]
            weight.weight.copy_(torch.from_numpy(idf[:, None] / max(total, 1e-12)))


def _idf(seen: NDArray[np.int32], names: int) -> NDArray[np.float64]:
    """ln(M / how many of the M names seen are this one); that of one among them for names not seen. Shape (names,)."""
    frequency = np.bincount(seen, minlength=names)
    idf: NDArray[np.float64] = np.log(max(len(seen), 2) / np.maximum(frequency, 1))
    return idf


def relative_idf(graphs: PackedGraphs, names: int) -> NDArray[np.float32]:
    """ln(N / graphs with the name) / ln(N), so from 0 to 1; 1 for names in none of the N graphs. Shape (names,)."""
    count = max(len(graphs), 2)
    pairs = np.repeat(np.arange(len(graphs)), graphs.object_counts) * names + graphs.objects
    frequency = np.bincount(np.unique(pairs) % names, minlength=names)
    idf: NDArray[np.float32] = (np.log(count / np.maximum(frequency, 1)) / np.log(count)).astype(np.float32)
    return idf


def ends_of(graphs: PackedGraphs) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Names of the subject and of the object of every relationship. Shapes: (R,), (R,)."""
    first = np.repeat(graphs.object_offsets[:-1], graphs.relationship_counts)
    return graphs.objects[first + graphs.subjects], graphs.objects[first + graphs.targets]


def _name_features(dataset: SceneGraphDataset) -> Matrix:
    """One feature a name, and its word vector at unit length; the special names have none. Shape (O, O + W)."""
    words, _ = dataset.word_vectors.means(dataset.vocabulary.objects)
    units = words / np.maximum(np.linalg.norm(words, axis=1, keepdims=True), 1e-12)
    features = np.hstack([_ONE_HOT_SCALE * np.eye(len(words)), units])
    features[: UNKNOWN_ID + 1] = 0
    return features


def _bags(graphs: PackedGraphs, names: int, power: float) -> Matrix:
    """How often each name occurs in each graph, divided by (number of objects)^power. Shape (N, names)."""
    bags = np.zeros((len(graphs), names))
    np.add.at(bags, (np.repeat(np.arange(len(graphs)), graphs.object_counts), graphs.objects), 1)
    scaled: Matrix = bags / np.maximum(graphs.object_counts, 1)[:, None] ** power
    return scaled


def _mean_row(rows: NDArray[np.floating], seen: NDArray[np.int32]) -> NDArray[np.floating]:
    """The mean of the rows of what was seen, as often as it was seen; of all rows where nothing was."""
    frequency = np.bincount(seen, minlength=len(rows)).astype(np.float64)
    frequency[: UNKNOWN_ID + 1] = 0
    if not frequency.any():
        frequency[UNKNOWN_ID + 1 :] = 1
    mean: NDArray[np.floating] = frequency @ rows / max(frequency.sum(), 1)
    return mean
