"""Where Milvus ends: ties beyond what was asked for, more hits than it gives, rows too large, missing packages."""

import importlib.util
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from model.checkpoint import load_checkpoint
from model.collection import ImageRecord
from model.errors import ConfigError
from service.catalogue import Catalogue, StoredImage, stored_image
from service.database import open_database
from service.engine import Engine
from service.errors import IndexVersionError, VectorStoreError
from service.index import backend, milvus, milvus_rows, milvus_state, milvus_store
from service.index.approximate import FLAT, IndexKind, parse_index_kind
from service.index.milvus import Milvus
from service.index.milvus_rows import image_of_row, row_of_image
from service.index.milvus_store import MilvusStore
from service.index.ranking import Vectors
from service.index.state import PageQuery, State
from service.settings import Settings
from tests.conftest import skip_or_fail
from tests.factories import make_checkpoint, make_records
from tests.unit.service.test_index_contract import Oracle

RECORDS = make_records(50)


class Place:
    """A catalogue and a store in Milvus, filled at will."""

    def __init__(self, directory: Path) -> None:
        make_checkpoint(directory / "checkpoint")
        self.checkpoint = directory / "checkpoint"
        self._database = open_database(f"sqlite:///{directory}/catalogue.db")
        self.catalogue = Catalogue(self._database)
        url = SecretStr(str(directory / "vectors.db"))
        store = backend.open_store(Settings(data_dir=directory, index_url=url))
        assert isinstance(store, MilvusStore)
        self.store = store

    def state(self, records: Sequence[ImageRecord], kind: IndexKind = FLAT) -> State:
        """These images, indexed."""
        self.catalogue.upsert(records)
        backend.build(
            catalogue=self.catalogue, store=self.store, checkpoint=self.checkpoint, progress=lambda *_: None,
            confirm=lambda _: None, kind=kind,
        )  # fmt: skip
        self.engine = Engine(self.store, self.catalogue, poll_interval=60)
        self.engine.refresh()
        return self.engine.require_snapshot()

    def close(self) -> None:
        backend.close_store(self.store)
        self._database.dispose()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    if importlib.util.find_spec("milvus_lite") is None:
        skip_or_fail("milvus", "milvus-lite is not installed")
    monkeypatch.setattr(milvus_store, "_GRACE", 0.0)
    place = Place(tmp_path)
    yield place
    place.close()


def ids(state: State, vector: Vectors, *, limit: int, offset: int) -> list[str]:
    (page,) = state.pages([PageQuery(vector=vector, limit=limit, offset=offset)])
    return [image.image_id for image in page.images]


def test_pages_do_not_overlap_where_very_many_images_tie(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus_state, "_SPARE", 1)
    same = [replace(record, graph=RECORDS[0].graph) for record in RECORDS[:40]]
    state = place.state([*same, *RECORDS[40:]])
    oracle = Oracle(place.catalogue, state)
    for vector in oracle.vectors[[0, 45]]:
        expected = [image_id for image_id, _ in oracle.ranking(vector, None, None)]
        for limit in (1, 3, 7):
            pages = [ids(state, vector, limit=limit, offset=offset) for offset in range(0, 50, limit)]
            assert [image_id for page in pages for image_id in page] == expected


def test_a_total_beyond_what_milvus_gives_is_told_as_inexact(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    state = place.state(RECORDS)
    monkeypatch.setattr(milvus_state, "MOST_HITS", 20)
    oracle = Oracle(place.catalogue, state)
    vector = oracle.vectors[3]
    scores = [score for _, score in oracle.ranking(vector, None, None)]

    def asked(min_score: float | None) -> tuple[int, bool]:
        (page,) = state.pages([PageQuery(vector=vector, limit=5, min_score=min_score)])
        return page.total, page.total_is_exact

    assert asked(None) == (50, True)
    assert asked(-1.0) == (20, False)
    border = scores[12]
    assert asked(border) == (sum(score >= border for score in scores), True), "the border was seen"


@pytest.mark.parametrize("kind", ["ivf128,nprobe=128", "ivf128,nprobe=4"])  # milvus-lite always makes 128
def test_lists_rank_exactly_what_they_look_at(place: Place, kind: str) -> None:
    records = make_records(120)
    parsed = parse_index_kind(kind)
    state = place.state(records, parsed)
    oracle = Oracle(place.catalogue, state)
    assert state.version.manifest.index == str(parsed)
    for vector in oracle.vectors[:5]:
        expected = dict(oracle.ranking(vector, None, None))
        (page,) = state.pages([PageQuery(vector=vector, limit=200)])
        found = [image.image_id for image in page.images]
        assert found == [image_id for image_id in expected if image_id in set(found)]
        assert page.scores == pytest.approx([expected[image_id] for image_id in found], abs=2e-6)
        assert page.total == len(found)
        assert not page.total_is_exact
        if parsed.probes == parsed.lists:
            assert found == list(expected)


def test_an_image_that_is_too_large_for_a_row_is_left_out_and_told(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(milvus_rows, "MOST_ENTRIES", 15)
    resolver = load_checkpoint(place.checkpoint).resolver
    fits = [record for record in RECORDS if row_of_image(stored_image(record), [0.0], record.graph, resolver)]  # type: ignore[arg-type]
    left_out = [record for record in RECORDS if record not in fits]
    assert fits
    assert left_out
    with caplog.at_level(logging.WARNING):
        state = place.state(RECORDS)
        place.catalogue.put(replace(left_out[0], image_id=fits[0].image_id))
        place.engine.refresh()
    assert state.count == len(fits)
    assert place.engine.require_snapshot().count == len(fits) - 1, "one that has become too large is gone"
    assert f"image {left_out[0].image_id!r} is too large" in caplog.text


def test_a_record_of_any_length_comes_back_as_it_was(tmp_path: Path) -> None:
    make_checkpoint(tmp_path)
    resolver = load_checkpoint(tmp_path).resolver
    for length in (1, 15_999, 16_000, 70_000, 300_000):
        stored = StoredImage(image_id="a", fields='{"url":null}', graph="\U0001f40e" * length)
        row = row_of_image(stored, [0.0], RECORDS[0].graph, resolver)  # type: ignore[arg-type]
        assert row is not None
        assert all(len(part.encode()) <= 65_535 for part in row["record"])
        assert image_of_row(row) == stored
    huge = replace(stored, graph="x" * 5_000_000)
    assert row_of_image(huge, [0.0], RECORDS[0].graph, resolver) is None  # type: ignore[arg-type]


def test_a_build_removes_what_one_before_left_behind_and_nothing_else(place: Place) -> None:
    versions = place.store.milvus
    left, later = (f"{year}0101T000000000000Z-00000000" for year in (2020, 2999))
    for version in (left, later):
        versions.create(version, dimension=16, index={"index_type": "FLAT", "params": {}}, digest="", revision=0)
    first = place.state(RECORDS).version.manifest.version
    second = place.state(RECORDS).version.manifest.version
    assert set(versions.states()) == {later, first, second}
    assert place.store.names() == [second, first]


def test_a_collection_of_another_model_or_without_its_files_is_refused(place: Place) -> None:
    version = place.state(RECORDS).version.manifest.version
    connection = place.store.milvus
    state = connection.state(version)
    assert state is not None
    connection._mark(version, replace(state, digest="another"))
    with pytest.raises(IndexVersionError, match="another model"):
        place.store.open(version)
    connection._mark(version, replace(state, complete=False))
    with pytest.raises(IndexVersionError, match="no complete collection"):
        place.store.open(version)
    connection._mark(version, state)
    (place.store.directory(version) / "names.json").write_text("{}")
    with pytest.raises(IndexVersionError, match="checksum"):
        place.store.open(version)


def test_what_changes_while_a_version_is_made_is_in_it_before_it_is_put_to_use(place: Place) -> None:
    place.catalogue.upsert(RECORDS)

    def change(*_: int) -> None:
        place.catalogue.delete("image-0003")
        place.catalogue.put(replace(RECORDS[5], image_id="late"))

    def look(version: str) -> None:
        state = place.store.milvus.state(version)
        assert state is not None
        assert (state.complete, state.revision) == (False, place.catalogue.revision())
        assert set(place.store.milvus.fetch(version, ["image-0003", "late"], [])) == {"late"}

    backend.build(
        catalogue=place.catalogue, store=place.store, checkpoint=place.checkpoint, progress=change, confirm=look
    )
    assert place.store.current() is not None


def test_a_catalogue_older_than_the_collection_is_told_until_it_is_indexed_anew(place: Place) -> None:
    version = place.state(RECORDS).version.manifest.version
    place.store.milvus.advance(version, place.catalogue.revision() + 5)
    engine = Engine(place.store, place.catalogue, poll_interval=60)
    for _ in range(3):
        engine.refresh()
        assert engine.snapshot is None
        assert "perhaps an older copy" in str(engine.problem)
    place.state(RECORDS)
    engine.refresh()
    assert engine.snapshot is not None


def test_a_change_whose_state_could_not_be_read_is_taken_in_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.state(RECORDS)
    place.catalogue.delete("image-0003")
    with monkeypatch.context() as broken:
        broken.setattr(Milvus, "count", lambda *_: _refuse())
        place.engine.refresh()
    assert place.engine.problem == "away"
    place.engine.refresh()
    state = place.engine.require_snapshot()
    assert (state.count, state.revision) == (len(RECORDS) - 1, place.catalogue.revision())


def _refuse() -> int:
    raise VectorStoreError("away")


def test_rows_go_in_messages_that_milvus_takes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus, "_MESSAGE_CHARACTERS", 10)
    rows = [{"id": str(number), "record": ["x" * size]} for number, size in enumerate((4, 6, 1, 30, 2, 8, 1))]
    parts = [[row["id"] for row in part] for part in milvus._in_messages(rows)]
    assert parts == [["0", "1"], ["2"], ["3"], ["4", "5"], ["6"]]
    assert place.state(RECORDS).count == len(RECORDS)


@pytest.mark.parametrize("package", ["pymilvus", "milvus_lite.server_manager"])
def test_a_missing_package_is_named(package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=r"install scenerank\[milvus\]"):
        Milvus(str(tmp_path / "vectors.db"))


def test_a_window_is_one_that_milvus_can_give() -> None:
    with pytest.raises(ConfigError, match=r"SCENERANK_MAX_WINDOW: .*16000"):
        Settings.load(index_url="http://milvus:19530", max_window=20_000)
    assert Settings.load(max_window=20_000).max_window == 20_000
