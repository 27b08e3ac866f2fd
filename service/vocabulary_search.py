"""Names to complete what somebody types: those that the model knows and those that images have."""

import logging
import threading
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.errors import SceneRankError
from model.vocabulary import UNKNOWN_ID, Vocabulary
from service.index.postings import NAMELESS, FilterIndex
from service.index.ranking import Rows
from service.index.state import NameKind, State

# The postings that names of a kind stand in, and where in an entry.
_PLACES: Final = {"object": ("objects", 0), "predicate": ("triples", 1), "attribute": ("attributes", 1)}
_LAST: Final = "\U0010ffff"  # after every character of a name
_QUICK: Final = 0.1  # seconds that a request may wait for names to be collected anew
_BUSY_SHARE: Final = 0.2  # of the time at most goes into that, however often something changes

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Name:
    """A name.

    Args:
        name: as vocabularies hold it: lower case.
        images: how many images have it.
        known: whether the model knows it.
    """

    name: str
    images: int
    known: bool


class NameList:
    """Names of one kind, found by how they or words of them begin.

    Args:
        names: each once.
    """

    def __init__(self, names: Sequence[Name]) -> None:
        self._names = sorted(names, key=lambda one: (-one.images, one.name))  # a number is a rank
        # Where a person may begin: at the start of a name, and at that of each later word.
        starts = sorted((one.name, rank) for rank, one in enumerate(self._names))
        later = sorted(
            (one.name[place + 1 :], rank)
            for rank, one in enumerate(self._names)
            for place, character in enumerate(one.name)
            if character == " "
        )
        self._starts = [([text for text, _ in part], np.array([rank for _, rank in part], np.int64))
                        for part in (starts, later)]  # fmt: skip

    def find(self, prefix: str, limit: int) -> tuple[list[Name], int]:
        """The names that begin so, then those of which a later word does; of each those of most images first.

        Args:
            prefix: in any case; the empty one begins every name.
            limit: how many names to give.

        Returns:
            The names, and how many there are in all.
        """
        wanted = " ".join(prefix.lower().split()) + (" " if prefix.strip() and prefix[-1].isspace() else "")
        first, later = (_ranks(texts, ranks, wanted) for texts, ranks in self._starts)
        later = np.setdiff1d(later, first)
        found = [*_least(first, limit), *_least(later, limit)][:limit]
        return [self._names[rank] for rank in found], len(first) + len(later)


@dataclass(frozen=True, slots=True)
class _Collected:
    """The names of a kind in the state of this name, and how long it took to collect them. Units: seconds."""

    state: str
    names: NameList
    seconds: float


class VocabularySearch:
    """The names of the newest state asked for.

    They are collected when they are first asked for, and anew when something has changed: at once where that is quick,
    as for some ten thousand images, else beside the requests, which get the names of a moment ago meanwhile.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._collected: dict[NameKind, _Collected] = {}
        self._collecting: set[NameKind] = set()
        self._rest_until = 0.0

    def names(self, kind: NameKind, state: State) -> NameList:
        """The names of a kind in a state of the catalogue, or shortly before; blocks while they are first collected."""
        with self._lock:
            last = self._collected.get(kind)
            if last is None or (last.state != state.name and last.seconds < _QUICK):
                last = self._collected[kind] = _collect(kind, state)
            if last.state != state.name and not self._collecting and time.monotonic() >= self._rest_until:
                self._collecting.add(kind)
                threading.Thread(target=self._follow, args=(kind, state), name="names", daemon=True).start()
            return last.names

    def _follow(self, kind: NameKind, state: State) -> None:
        try:
            collected = _collect(kind, state)
            with self._lock:
                self._collected[kind] = collected
                self._rest_until = time.monotonic() + collected.seconds * (1 / _BUSY_SHARE - 1)
        except SceneRankError:  # the state cannot be read any more: who asks for it is told
            _log.warning("names cannot be collected", exc_info=True)
        finally:
            with self._lock:
                self._collecting.discard(kind)


def _collect(kind: NameKind, state: State) -> _Collected:
    started = time.monotonic()
    names = NameList(collect_names(kind, state))
    return _Collected(state.name, names, time.monotonic() - started)


def collect_names(kind: NameKind, snapshot: State) -> list[Name]:
    """All names of a kind, each with how many of the images that can be found have it."""
    images = snapshot.name_counts(kind)
    known = _known(kind, snapshot.version.checkpoint.resolver.vocabulary)
    had = [(name, count) for name, count in images.items() if name != NAMELESS]
    found = [Name(name, count, name in known) for name, count in had if count or name in known]
    return found + [Name(name, 0, known=True) for name in known.difference(images)]


def count_images(kind: NameKind, index: FilterIndex, size: int, only: Rows | None = None) -> NDArray[np.int64]:
    """How many images have each name.

    Args:
        kind: of the names.
        index: over the images.
        size: how many names there are.
        only: count no other rows than these.

    Shapes:
        returns: (size,), by the number of the name.
    """
    postings_kind, place = _PLACES[kind]
    postings = index.postings[postings_kind]
    numbers = np.repeat(postings.keys[place], np.diff(postings.offsets))
    rows = np.asarray(postings.rows)
    if only is not None:
        chosen = np.zeros(index.images, np.bool_)
        chosen[only] = True
        numbers, rows = numbers[chosen[rows]], rows[chosen[rows]]
    if len(postings.keys) > 1:  # an image counts once, however many entries with the name it has
        pairs = numbers.astype(np.int64) * max(index.images, 1) + rows
        pairs.sort()  # np.unique, which hashes, takes 75 times as long
        numbers = pairs[np.diff(pairs, prepend=-1) > 0] // max(index.images, 1)
    return np.bincount(numbers, minlength=size).astype(np.int64)


def _known(kind: NameKind, vocabulary: Vocabulary) -> set[str]:
    match kind:
        case "object":
            return set(vocabulary.objects[UNKNOWN_ID + 1 :])
        case "predicate":
            return set(vocabulary.predicates[UNKNOWN_ID + 1 :])
        case "attribute":
            return set()


def _ranks(texts: Sequence[str], ranks: NDArray[np.int64], prefix: str) -> NDArray[np.int64]:
    """The different ranks of the texts that begin so; the texts rise."""
    return np.unique(ranks[bisect_left(texts, prefix) : bisect_left(texts, prefix + _LAST)])


def _least(rising: NDArray[np.int64], limit: int) -> list[int]:
    least: list[int] = rising[:limit].tolist()
    return least
