"""A version with changes beside it, against a version made anew from the catalogue as it then is."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.batch import PackedGraphs
from model.collection import ImageRecord
from model.inference import embed_batches
from model.scene_graph import SceneGraph, SceneObject
from service.catalogue import Catalogue
from service.database import open_database
from service.filters import Condition, Filter, resolve
from service.index.build import build_index
from service.index.live import LiveChanges, Overlay
from service.index.ranking import Lookup
from service.index.snapshot import Snapshot
from service.index.versions import IndexStore, IndexVersion, open_version
from tests.factories import make_checkpoint, make_records

BASE, ALL = 60, 90
FILTERS = [
    None,
    Filter(must=(Condition("object", ("man",)),)),
    Filter(must=(Condition("triple", (None, "riding", None)),), must_not=(Condition("object", ("car",)),)),
    Filter(must_not=(Condition("attribute", (None, "tall")), Condition("object", ("quokka",)))),
    Filter(must=(Condition("object", ("quokka",)),)),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Catalogue, IndexStore, Path]]:
    directory = tmp_path_factory.mktemp("snapshot")
    make_checkpoint(directory / "checkpoint")
    database = open_database(f"sqlite:///{directory}/catalogue.db")
    yield Catalogue(database), IndexStore(directory / "index"), directory / "checkpoint"
    database.dispose()


def build(place: tuple[Catalogue, IndexStore, Path]) -> IndexVersion:
    catalogue, store, checkpoint = place
    manifest = build_index(
        catalogue=catalogue, store=store, checkpoint=checkpoint, progress=lambda *_: None, confirm=lambda _: None
    )
    return open_version(store.directory(manifest.version))


def live(version: IndexVersion) -> LiveChanges:
    def encode(graphs: object) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        assert isinstance(graphs, list)
        packed = PackedGraphs.pack(map(version.checkpoint.resolver.resolve, graphs))
        return np.concatenate(list(embed_batches(version.encoder, packed)))

    return LiveChanges(version, encode)


def as_built(version: IndexVersion) -> Snapshot:
    return Snapshot(version=version, overlay=Overlay.empty(version), revision=version.manifest.catalogue_revision)


def ranking(snapshot: Snapshot, query: np.ndarray, wanted: Filter | None) -> tuple[list[tuple[str, float]], int]:
    rows = None
    if wanted is not None:
        names = snapshot.overlay.filters.names
        rows = snapshot.select(resolve(wanted, names, snapshot.version.checkpoint.resolver))
    (hits,) = snapshot.search([Lookup(query=query, wanted=30, allowed=rows)])
    pairs = zip(map(snapshot.id_of, hits.rows.tolist()), hits.scores.tolist(), strict=True)
    return list(pairs), hits.total


@pytest.mark.parametrize("seed", range(4))
def test_changes_are_found_as_if_the_index_were_made_anew(
    place: tuple[Catalogue, IndexStore, Path], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.index.live._DEAD_KEPT", -30 if seed % 2 else 1000)  # compacts, or never does
    catalogue = place[0]
    for record in make_records(ALL):
        catalogue.delete(record.image_id)
    catalogue.delete("zoo")
    records = make_records(ALL, seed=seed)
    catalogue.upsert(records[:BASE])
    version = build(place)
    changes, generator = live(version), np.random.default_rng(seed)
    quokka = SceneGraph((SceneObject(id="1", name="quokka"), SceneObject(id="2", name="man", attributes=("tall",))))

    for step in range(3):
        for row in generator.integers(0, ALL, 12).tolist():
            other = records[int(generator.integers(ALL))]
            if generator.random() < 0.4:
                catalogue.delete(f"image-{row:04}")
            else:
                catalogue.put(replace(records[row], graph=other.graph, url=f"https://images.example/{step}"))
        catalogue.put(ImageRecord(image_id="zoo", graph=quokka, url=None, width=None, height=None))
        revision = catalogue.revision()
        for chunk in catalogue.changes(changes.revision):
            changes.apply(chunk)
        changes.revision = revision
    snapshot = Snapshot(version=version, overlay=changes.overlay(), revision=changes.revision)
    anew = as_built(build(place))

    assert snapshot.count == anew.count == catalogue.count()
    assert len(snapshot.overlay.hidden) > 5
    assert len(snapshot.overlay.ids) > 10
    vectors = np.load(place[1].directory(version.manifest.version) / "vectors.npy")
    for query in vectors[:10]:
        for wanted in FILTERS:
            assert ranking(snapshot, query, wanted) == ranking(anew, query, wanted)
    for image_id in [*(record.image_id for record in records), "zoo", "none"]:
        row, expected = snapshot.find(image_id), anew.find(image_id)
        assert (row is None) == (expected is None)
        if row is not None and expected is not None:
            assert snapshot.id_of(row) == image_id
            assert snapshot.image(row) == anew.image(expected)
    assert snapshot.name == f"{version.manifest.version}+{snapshot.revision}"
    assert anew.name == anew.version.manifest.version


def test_equal_images_tie_by_id_wherever_they_are(place: tuple[Catalogue, IndexStore, Path]) -> None:
    catalogue = place[0]
    graph = make_records(1)[0].graph
    for record in make_records(ALL):
        catalogue.delete(record.image_id)
    names = [f"same-{letter}" for letter in "abcdefgh"]
    for name in names[::2]:
        catalogue.put(ImageRecord(image_id=name, graph=graph, url=None, width=None, height=None))
    version = build(place)
    changes = live(version)
    for name in reversed(names[1::2]):
        catalogue.put(ImageRecord(image_id=name, graph=graph, url=None, width=None, height=None))
    for chunk in catalogue.changes(changes.revision):
        changes.apply(chunk)
    snapshot = Snapshot(version=version, overlay=changes.overlay(), revision=catalogue.revision())

    vector = np.load(place[1].directory(version.manifest.version) / "vectors.npy")[version.ids.index("same-a")]
    for wanted in range(1, 9):
        (hits,) = snapshot.search([Lookup(query=vector, wanted=wanted)])
        assert [snapshot.id_of(row) for row in hits.rows.tolist()] == names[:wanted]


def test_a_record_is_what_the_catalogue_has(place: tuple[Catalogue, IndexStore, Path]) -> None:
    catalogue = place[0]
    record = replace(make_records(1)[0], image_id="zoo", url="https://images.example/a\u00e4b")
    catalogue.put(record)
    snapshot = as_built(build(place))
    row = snapshot.find("zoo")
    assert row is not None
    image = snapshot.image(row)
    stored = catalogue.get("zoo")
    assert stored is not None
    assert json.loads(image.fields)["url"] == stored.url == record.url
    assert json.loads(image.graph) == stored.graph
