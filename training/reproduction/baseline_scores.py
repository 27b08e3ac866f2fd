"""Scores of the baselines, which no training seed changes: computed once for a report and kept beside its runs."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from model.atomic import write_atomically
from model.resolution import NameResolver
from training.evaluation.baselines import Embedder
from training.evaluation.evaluate import score, score_agreement, score_shares
from training.evaluation.features import read_features
from training.evaluation.methods import FEATURES, linear_baselines, untrained_baselines
from training.reproduction.results import Result
from training.reproduction.runs import Study

FORMAT_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class _Document:
    """What the file holds: of what the scores are, and the scores of each baseline."""

    key: dict[str, Any]
    scores: dict[str, Any]
    extras: dict[str, dict[str, Any]]


def score_baselines(study: Study, features: Path | None) -> list[Result]:
    """Every baseline, and image features if there is a file of them.

    On other data sets idf comes from their own graphs; the linear baselines are those of the study's data set, with
    names resolved as in a query.

    Args:
        study: what is scored.
        features: an `.npz` file that covers the images scored; see `read_features`.

    Raises:
        DataError: the file of features does not fit.
    """
    path = study.out / "baselines.json"
    key = {
        "format_version": FORMAT_VERSION,
        "dataset": study.dataset.fingerprint,
        "features": None if features is None else _digest(features),
        **study.evaluation_key(extras=True),
    }
    document = _read(path)
    if document is None or document.key != key:
        document = _compute(study, features, key)
        content = {"key": document.key, "scores": document.scores, "extras": document.extras}
        write_atomically(path, (json.dumps(content) + "\n").encode())
    return [
        Result(
            name=name,
            title=name,
            kind="features" if name == FEATURES else "baseline",
            scores=[scores],
            extras=document.extras.get(name, {}),
            changes={},
        )
        for name, scores in document.scores.items()
    ]


def _compute(study: Study, features: Path | None, key: dict[str, Any]) -> _Document:
    benchmark = study.benchmark
    linear = linear_baselines(study.dataset)
    methods: dict[str, Embedder] = untrained_baselines(study.dataset, benchmark.seed) | linear
    scores: dict[str, Any] = {}
    for name, embedder in methods.items():
        study.console.print(f"baseline: {name}", highlight=False, soft_wrap=True)
        scores[name] = score(embedder, benchmark.graphs, benchmark)
    if features is not None:
        rows = read_features(features, study.dataset.image_ids[benchmark.members])
        scores[FEATURES] = score_agreement(rows, benchmark)
    extras: dict[str, dict[str, Any]] = {}
    for extra, (dataset, its_benchmark) in study.extras.items():
        resolver = NameResolver(study.dataset.vocabulary, study.dataset.word_vectors)
        numbered = its_benchmark.numbered_for(resolver, dataset)
        for name, embedder in (untrained_baselines(dataset, benchmark.seed) | linear).items():
            graphs = numbered if name in linear else its_benchmark.graphs
            extras.setdefault(name, {})[extra] = score_shares(embedder, graphs, its_benchmark)
    return _Document(key, scores, extras)


def _read(path: Path) -> _Document | None:
    """What the file holds; None if it is missing or not whole, for its content can be computed again."""
    try:
        document = json.loads(path.read_text())
        return _Document(document["key"], document["scores"], document["extras"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _digest(path: Path) -> str | None:
    """Digest of a file; None where it cannot be read, which reading it says better."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
