"""What a search needs of an index, wherever its vectors are: mapped from a version's files, or in Milvus.

Both backends give the same answers; what one of them cannot give exactly its page says.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from model.checkpoint import Checkpoint
from model.inference import InferenceEncoder
from model.scene_graph import SceneGraph
from service.catalogue import Catalogue, StoredImage
from service.index.ranking import Rows, Vectors

if TYPE_CHECKING:  # which themselves import what is here
    from service.filters import ResolvedFilter
    from service.index.manifest import IndexManifest

NameKind = Literal["object", "predicate", "attribute"]

Selection = Rows | str
"""The images that a filter leaves, as the state that was asked writes it: rows, or an expression of Milvus."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageQuery:
    """Which part of a ranking is wanted.

    Args:
        vector: a unit vector; images are ranked by their inner product with it. Shape (D,).
        limit, offset: the page.
        min_score: leave out images with a lower score.
        selection: leave out all other images, as `State.select` gave it; None for none.
    """

    vector: Vectors
    limit: int
    offset: int = 0
    min_score: float | None = None
    selection: Selection | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of a ranking: by falling score, then by image id.

    Args:
        images: what is known of them.
        scores: in -1..1, with SCORE_DECIMALS decimals.
        total: images in the whole ranking.
        total_is_exact: False if there may be more.
    """

    images: Sequence[StoredImage]
    scores: list[float]
    total: int
    total_is_exact: bool = True


class Version(Protocol):
    """An index version: what it is, and the model that made its vectors and makes those of queries."""

    @property
    def manifest(self) -> "IndexManifest": ...  # noqa: D102
    @property
    def checkpoint(self) -> Checkpoint: ...  # noqa: D102
    @property
    def encoder(self) -> InferenceEncoder: ...  # noqa: D102


class State(Protocol):
    """An index version with what has changed since, as one search sees it."""

    @property
    def version(self) -> Version:
        """The version."""
        ...

    @property
    def name(self) -> str:
        """The version's name, and the catalogue's revision if something has changed since it was made."""
        ...

    @property
    def revision(self) -> int:
        """Of the catalogue: all changes up to it can be found."""
        ...

    @property
    def count(self) -> int:
        """How many images can be found."""
        ...

    @property
    def changed(self) -> int:
        """How many of them have changed since the version was made."""
        ...

    @property
    def removed(self) -> int:
        """How many images of the version have changed or are gone."""
        ...

    @property
    def names(self) -> Mapping[str, Container[str]]:
        """The names of objects, predicates and attributes that images have."""
        ...

    def name_counts(self, kind: NameKind) -> Mapping[str, int]:
        """How many images have each name."""
        ...

    def get(self, image_id: str) -> StoredImage | None:
        """An image, if it can be found."""
        ...

    def select(self, wanted: "ResolvedFilter") -> Selection:
        """The images that a filter leaves."""
        ...

    def pages(self, queries: Sequence[PageQuery]) -> list[Page]:
        """The pages asked for; what is done together costs less."""
        ...


class Follower(Protocol):
    """Keeps up with the catalogue from an index version on."""

    @property
    def version(self) -> Version:
        """The version."""
        ...

    @property
    def revision(self) -> int:
        """All changes of the catalogue up to it have been taken in."""
        ...

    def take_in(self, catalogue: Catalogue, revision: int) -> bool:
        """Take in what has changed up to a revision; whether something had."""
        ...

    def state(self) -> State:
        """The state that the changes have led to."""
        ...


Encode = Callable[[Version, Sequence[SceneGraph]], Vectors]
"""Embeds scene graphs with a version's model. Shape (graphs, D)."""


class Store(Protocol):
    """The index versions there are, and which one is in use."""

    def current(self) -> str | None:
        """The name of the version in use; None if there is none yet."""
        ...

    def stamp(self) -> object:
        """Something that differs after another version was put to use."""
        ...

    def names(self) -> list[str]:
        """The versions there are, newest first."""
        ...

    def manifests(self) -> "dict[str, IndexManifest | None]":
        """Their manifests, newest first; None where one cannot be used."""
        ...

    def directory(self, version: str) -> Path:
        """Where a version's files are."""
        ...

    def open(self, version: str) -> Version:
        """Read and verify a version."""
        ...

    def stage(self) -> AbstractContextManager[Path]:
        """A fresh directory to build a version in; only for the one who may build."""
        ...

    def discard_staged(self) -> None:
        """Remove what is being built in another thread, which then fails."""
        ...

    def switching(self, patience: float) -> AbstractContextManager[None]:
        """The right to say which version is in use, and to remove others."""
        ...

    def publish(self, staged: Path) -> None:
        """Put a complete version among the others and make it the one in use."""
        ...

    def use(self, version: str) -> None:
        """Make a version the one in use."""
        ...

    def prune(self) -> None:
        """Remove all but the newest versions and the one in use."""
        ...
