"""Free text to known names: exact, then case, alias or plural, then the nearest by word vectors, else the unknown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from model.scene_graph import SceneGraph
from model.vocabulary import UNKNOWN_ID, Vocabulary, normalize_name
from model.word_vectors import WordVectors

MIN_COSINE: Final = 0.5
"""Below this the nearest name is mostly wrong, and the learned unknown says less but nothing false."""

_CACHED_NAMES: Final = 65_536  # strangers choose the names, so what is remembered of them is bounded

_IRREGULAR: Final = {
    "men": "man", "women": "woman", "people": "person", "children": "child", "mice": "mouse", "geese": "goose",
    "feet": "foot", "teeth": "tooth", "sheep": "sheep", "knives": "knife", "leaves": "leaf", "shelves": "shelf",
    "wolves": "wolf", "loaves": "loaf", "calves": "calf", "scarves": "scarf", "halves": "half", "wives": "wife",
}  # fmt: skip

How = Literal["exact", "wildcard", "case", "alias", "plural", "nearest", "unknown"]


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a name was taken for: its number in the vocabulary, and how that was found."""

    id: int
    how: How


@dataclass(frozen=True, slots=True, kw_only=True)
class Substitution:
    """A name of a graph that was not taken as it stands.

    Args:
        pointer: JSON pointer of the name in the native form of the graph.
        word: the name as given.
        taken_for: the known name used instead; None is the learned unknown.
        how: "case", "alias", "plural", "nearest" or "unknown".
    """

    pointer: str
    word: str
    taken_for: str | None
    how: How


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedGraph:
    """A graph in numbers.

    Shapes:
        objects: (O,) numbers of object names.
        subjects, targets: (R,) positions among the graph's objects.
        predicates: (R,) numbers of predicates.
    """

    objects: Sequence[int]
    subjects: Sequence[int]
    predicates: Sequence[int]
    targets: Sequence[int]
    substitutions: Sequence[Substitution]


class NameResolver:
    """Finds the known name that a free text means.

    Args:
        vocabulary: the names known.
        word_vectors: vectors for the words of unknown names; without them the nearest name cannot be found.
    """

    def __init__(self, vocabulary: Vocabulary, word_vectors: WordVectors | None) -> None:
        self.vocabulary = vocabulary
        self.objects = _Names(vocabulary.objects, vocabulary.object_aliases, word_vectors)
        self.predicates = _Names(vocabulary.predicates, vocabulary.predicate_aliases, word_vectors)

    def resolve(self, graph: SceneGraph) -> ResolvedGraph:
        """The graph in numbers, with every name that was not taken as it stands."""
        position = {scene_object.id: index for index, scene_object in enumerate(graph.objects)}
        objects = [self.objects.find(scene_object.name) for scene_object in graph.objects]
        predicates = [self.predicates.find(edge.predicate) for edge in graph.relationships]
        substitutions = [
            *_substitutions("/objects/{}/name", [o.name for o in graph.objects], objects, self.vocabulary.objects),
            *_substitutions(
                "/relationships/{}/predicate",
                [edge.predicate for edge in graph.relationships],
                predicates,
                self.vocabulary.predicates,
            ),
        ]
        return ResolvedGraph(
            objects=[found.id for found in objects],
            subjects=[position[edge.subject] for edge in graph.relationships],
            predicates=[found.id for found in predicates],
            targets=[position[edge.object] for edge in graph.relationships],
            substitutions=substitutions,
        )

    def renumber(self, vocabulary: Vocabulary) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """For each name of another vocabulary the number it has in this one, found as in a query.

        Returns:
            Numbers of object names and of predicates. Shapes (object names of the other,), (predicates of the other,).
        """

        def numbers(names: Sequence[str], known: _Names) -> NDArray[np.int32]:
            special = range(UNKNOWN_ID + 1)
            return np.array([*special, *(known.find(name).id for name in names[UNKNOWN_ID + 1 :])], np.int32)

        return numbers(vocabulary.objects, self.objects), numbers(vocabulary.predicates, self.predicates)


class _Names:
    """One kind of names (objects or predicates) and the ways to find one."""

    def __init__(self, names: Sequence[str], aliases: Mapping[str, str], word_vectors: WordVectors | None) -> None:
        # The special names are not words: somebody who types "__image__" means an unknown thing.
        self._names = names
        self._number = {name: number for number, name in enumerate(names) if number > UNKNOWN_ID}
        self._aliases = {alias: self._number[name] for alias, name in aliases.items() if name in self._number}
        self._word_vectors = word_vectors
        self._found: dict[str, Resolution] = {}
        self._unit = np.zeros((0, 0), np.float32)
        if word_vectors is not None:
            self._unit = _unit_rows(word_vectors.means(names)[0])
            self._unit[: UNKNOWN_ID + 1] = 0

    def find(self, name: str | None) -> Resolution:
        if name is None:
            return Resolution(UNKNOWN_ID, "wildcard")
        found = self._found.get(name)
        if found is None:
            if len(self._found) >= _CACHED_NAMES:
                self._found.clear()
            found = self._found[name] = self._look_up(name)
        return found

    def known(self, name: str) -> Resolution | None:
        """The name as it stands, in another case, by an alias or in another number; never merely a near one."""
        if name in self._number:
            return Resolution(self._number[name], "exact")
        normal = normalize_name(name)
        if normal in self._number:
            return Resolution(self._number[normal], "case")
        if normal in self._aliases:
            return Resolution(self._aliases[normal], "alias")
        for form in _singular_and_plural(normal):
            if form in self._number:
                return Resolution(self._number[form], "plural")
        return None

    def canonical(self, name: str) -> str:
        """What stands for every way to write a name: the known name it is surely one for, else its own normal form.

        Two names are the same where this is the same; unlike numbers, it tells unknown names apart.
        """
        found = self.known(name)
        return normalize_name(name) if found is None else self._names[found.id]

    def meanings(self, name: str) -> frozenset[str]:
        """The canonical names that a query's name may be met by: its own, and the nearest one it is taken for."""
        found = self.find(name)
        taken_for = () if found.id == UNKNOWN_ID else (self._names[found.id],)
        return frozenset((self.canonical(name), *taken_for))

    def _look_up(self, name: str) -> Resolution:
        return self.known(name) or self._nearest(normalize_name(name))

    def _nearest(self, name: str) -> Resolution:
        vector = self._word_vectors.mean(name) if self._word_vectors is not None else None
        if vector is None or not len(self._unit):
            return Resolution(UNKNOWN_ID, "unknown")
        cosines = self._unit @ (vector / max(float(np.linalg.norm(vector)), 1e-12))
        best = int(cosines.argmax())
        if cosines[best] < MIN_COSINE or best <= UNKNOWN_ID:
            return Resolution(UNKNOWN_ID, "unknown")
        return Resolution(best, "nearest")


def _substitutions(
    pointer: str, words: Sequence[str | None], found: Sequence[Resolution], names: Sequence[str]
) -> Iterator[Substitution]:
    for index, (word, resolution) in enumerate(zip(words, found, strict=True)):
        if word is not None and resolution.how != "exact":
            taken_for = None if resolution.id == UNKNOWN_ID else names[resolution.id]
            yield Substitution(pointer=pointer.format(index), word=word, taken_for=taken_for, how=resolution.how)


def _singular_and_plural(name: str) -> Iterator[str]:
    """Other numbers of the name's last word: "two dogs" -> "two dog", "bus" -> "buses"."""
    head, space, last = name.rpartition(" ")
    forms = [_IRREGULAR.get(last, ""), *(one for one, many in _IRREGULAR.items() if many == last)]
    if last.endswith("ies"):
        forms.append(last[:-3] + "y")
    if last.endswith("es"):
        forms.append(last[:-2])
    if last.endswith("s"):
        forms.append(last[:-1])
    if last.endswith("y"):
        forms.append(last[:-1] + "ies")
    forms += [last + "s", last + "es"]
    return (head + space + form for form in forms if form)


def _unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths: NDArray[np.float32] = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return rows / lengths
