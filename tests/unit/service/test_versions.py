import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.errors import CheckpointError
from service.catalogue import Catalogue
from service.database import open_database
from service.errors import IndexVersionError, ReindexError
from service.index.approximate import DIRECTORY as LISTS
from service.index.approximate import FLAT, IndexKind, build_approximate, parse_index_kind
from service.index.build import build_index, check_canaries
from service.index.ranking import Lookup
from service.index.vector_index import VectorIndex
from service.index.versions import IndexStore, open_version
from service.reindex import choose_index_kind
from tests.factories import make_checkpoint, make_records

IVF = parse_index_kind("ivf8,nprobe=2")


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    database = open_database(f"sqlite:///{tmp_path}/catalogue.db")
    catalogue = Catalogue(database)
    catalogue.upsert(make_records(40))
    yield catalogue
    database.dispose()


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    return IndexStore(tmp_path / "index")


@pytest.fixture
def build(catalogue: Catalogue, store: IndexStore, tmp_path: Path) -> Callable[..., Path]:
    """Builds a version; gives its directory."""
    make_checkpoint(tmp_path / "checkpoint")

    def build(kind: IndexKind = FLAT) -> Path:
        manifest = build_index(
            catalogue=catalogue,
            store=store,
            checkpoint=tmp_path / "checkpoint",
            progress=lambda *_: None,
            confirm=lambda _: None,
            kind=kind,
        )
        return store.directory(manifest.version)

    return build


def test_a_version_is_complete_in_itself(build: Callable[[], Path], store: IndexStore, tmp_path: Path) -> None:
    directory = build()
    make_checkpoint(tmp_path / "checkpoint", seed=5)  # the run goes on training

    version = open_version(directory)

    assert store.current() == directory.name == version.manifest.version
    assert version.ids == [record.image_id for record in make_records(40)]
    assert version.checkpoint.digest == version.manifest.model_digest
    assert np.load(directory / "vectors.npy").shape == (40, 16)
    assert set(version.manifest.files) >= {"vectors.npy", "ids.json", "model/checkpoint.json"}


@pytest.mark.parametrize("name", ["vectors.npy", "ids.json", "model/checkpoint.json"])
def test_a_changed_byte_is_noticed(build: Callable[[], Path], name: str) -> None:
    directory = build()
    data = bytearray((directory / name).read_bytes())
    data[-2] ^= 1
    (directory / name).write_bytes(data)

    with pytest.raises(IndexVersionError, match=name):
        open_version(directory)


@pytest.mark.parametrize("name", ["manifest.json", "vectors.npy", "ids.json", "model/checkpoint.json"])
def test_a_missing_file_is_noticed(build: Callable[[], Path], name: str) -> None:
    directory = build()
    (directory / name).unlink()

    with pytest.raises(IndexVersionError):
        open_version(directory)


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": 1},
        {"model_digest": "0" * 64},
        {"dimension": 17},
        {"count": 41},
        {"metric": "l2"},
        {"version": "20260101T000000000000Z-00000000"},
        {"files": {}},
        {"surprise": 1},
        {"index": "hnsw"},
        {"index": None},
    ],
    ids=str,
)
def test_a_manifest_that_does_not_match_is_refused(build: Callable[[], Path], change: dict[str, object]) -> None:
    directory = build()
    path = directory / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))

    with pytest.raises(IndexVersionError, match="scenerank index build"):
        open_version(directory)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"version": 5}',
        b'{"version": "../../etc"}',
        b'{"version": "20260101T000000000000Z-00000000/../x"}',
    ],
)
def test_current_names_a_version_or_is_refused(store: IndexStore, content: bytes) -> None:
    store.root.mkdir()
    store.current_file.write_bytes(content)

    with pytest.raises(IndexVersionError):
        store.current()


def test_the_newest_versions_are_kept_and_always_the_current_one(build: Callable[[], Path], store: IndexStore) -> None:
    directories = [build() for _ in range(5)]
    assert [directory.exists() for directory in directories] == [False, False, True, True, True]

    store.current_file.write_text(json.dumps({"format_version": 1, "version": directories[2].name}))
    (store.root / "versions" / "20990101T000000000000Z-00000000").mkdir()
    store.prune()

    assert [directory.exists() for directory in directories] == [False, False, True, True, True]


def test_what_a_dead_build_left_is_removed_by_the_next(build: Callable[[], Path], store: IndexStore) -> None:
    (store.root / "staging" / "20260101T000000000000Z-00000000" / "model").mkdir(parents=True)
    build()
    assert list((store.root / "staging").iterdir()) == []


def test_a_build_that_is_not_confirmed_changes_nothing(
    build: Callable[[], Path], catalogue: Catalogue, store: IndexStore, tmp_path: Path
) -> None:
    before = build()

    def refuse(_version: str) -> None:
        raise ReindexError("given up")

    with pytest.raises(ReindexError, match="given up"):
        build_index(
            catalogue=catalogue,
            store=store,
            checkpoint=tmp_path / "checkpoint",
            progress=lambda *_: None,
            confirm=refuse,
        )

    assert store.current() == before.name
    assert [path.name for path in (store.root / "versions").iterdir()] == [before.name]
    assert list((store.root / "staging").iterdir()) == []


def test_a_damaged_checkpoint_is_named_by_where_it_is_not_by_its_copy(
    build: Callable[[], Path], catalogue: Catalogue, store: IndexStore, tmp_path: Path
) -> None:
    build()
    (weights,) = (tmp_path / "checkpoint").glob("weights-*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="does not match its digest") as caught:
        build()
    assert str(weights) in str(caught.value)
    assert "staging" not in str(caught.value)


def test_images_that_do_not_find_themselves_stop_a_build(build: Callable[[], Path]) -> None:
    version = open_version(build())
    canaries = {record.image_id: record.graph for record in make_records(40)}
    check_canaries(version, canaries)

    vectors = np.load(build() / "vectors.npy")
    with pytest.raises(ReindexError, match="does not find itself"):
        check_canaries(replace(version, index=VectorIndex(np.roll(vectors, 1, axis=0))), canaries)
    with pytest.raises(ReindexError, match="does not find itself"):
        check_canaries(replace(version, index=VectorIndex(np.zeros_like(vectors))), canaries)


def test_an_empty_catalogue_is_not_indexed(store: IndexStore, tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "checkpoint")
    database = open_database(f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(ReindexError, match="scenerank import"):
        build_index(
            catalogue=Catalogue(database),
            store=store,
            checkpoint=tmp_path / "checkpoint",
            progress=lambda *_: None,
            confirm=lambda _: None,
        )
    assert store.current() is None
    database.dispose()


def test_an_approximate_version_is_searched_by_its_lists(
    build: Callable[[IndexKind], Path], catalogue: Catalogue
) -> None:
    catalogue.upsert(make_records(400))
    directory = build(IVF)
    vectors = np.load(directory / "vectors.npy")
    lists = build_approximate(vectors, IVF)

    version = open_version(directory)

    assert version.manifest.index == "ivf8,nprobe=2"
    assert version.manifest.recall is not None
    assert 0.3 < version.manifest.recall < 1, "it finds some, and looks at a quarter"
    for query in vectors[::50]:
        near = lists.near(query)
        (hits,) = version.index.search([Lookup(query=query, wanted=5)])
        best = near[np.lexsort((near, -version.index.scores(query, near)))[:5]]
        assert (hits.rows.tolist(), hits.total) == (best.tolist(), len(near))
    check_canaries(version, {record.image_id: record.graph for record in make_records(400)[::20]})


def test_damaged_lists_are_refused(build: Callable[[IndexKind], Path], catalogue: Catalogue) -> None:
    catalogue.upsert(make_records(400))
    directory = build(IVF)
    rows = directory / LISTS / "rows.npy"
    data = bytearray(rows.read_bytes())
    data[-8] ^= 1
    rows.write_bytes(data)
    with pytest.raises(IndexVersionError, match=r"rows\.npy does not match its checksum"):
        open_version(directory)
    rows.unlink()
    with pytest.raises(IndexVersionError, match=r"lists/rows\.npy"):
        open_version(directory)


def test_an_image_that_is_in_the_wrong_list_stops_a_build(
    build: Callable[[IndexKind], Path], catalogue: Catalogue
) -> None:
    catalogue.upsert(make_records(400))
    version = open_version(build(IVF))
    lists = build_approximate(np.load(build(IVF) / "vectors.npy"), parse_index_kind("ivf8,nprobe=1"))
    wrong = replace(lists, centroids=-lists.centroids)
    vectors = np.load(build(IVF) / "vectors.npy")
    with pytest.raises(ReindexError, match="does not find itself"):
        check_canaries(replace(version, index=VectorIndex(vectors, wrong)), {"image-0000": make_records(1)[0].graph})


def test_a_reindex_keeps_the_kind_of_index_unless_it_names_one(
    build: Callable[[IndexKind], Path], store: IndexStore
) -> None:
    assert choose_index_kind(store) == FLAT
    directory = build(parse_index_kind("ivf1024"))  # with so few images they are in one list
    assert open_version(directory).index.is_exact
    assert open_version(directory).manifest.recall == 1.0
    assert str(choose_index_kind(store)) == "ivf1024,nprobe=64"
    assert choose_index_kind(store, FLAT) == FLAT
    (directory / "manifest.json").unlink()
    assert choose_index_kind(store) == FLAT
