"""What both backends promise, vectors in files and vectors in Milvus, against scoring and sorting everything."""

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from model.batch import PackedGraphs
from model.collection import ImageRecord
from model.formats import read_graph
from model.inference import embed
from model.scene_graph import SceneGraph, SceneObject
from service.catalogue import Catalogue, StoredImage
from service.database import open_database
from service.engine import Engine
from service.errors import NotFoundError, ReindexError, RollbackError
from service.filters import Condition, Filter, resolve
from service.index import backend, milvus_store
from service.index.ranking import ExactScores, Vectors
from service.index.state import PageQuery, State, Store
from service.jobs import Jobs
from service.rollback import roll_back
from service.settings import Settings
from tests.conftest import skip_or_fail
from tests.factories import make_checkpoint, make_records

IMAGES = 60
QUOTED = "a \"quoted' id"
QUOKKA = SceneGraph(
    (
        SceneObject(id="1", name="Quokka", attributes=("Red ", "tall")),
        SceneObject(id="2", name=None),
        SceneObject(id="3", name="lady"),
    )
)
# With names that images and the model have, that only images have, that only the model has, and that nobody has.
FILTERS = [
    None,
    Filter(must=(Condition("object", ("man",)),)),
    Filter(must=(Condition("object", (None,)),)),
    Filter(must=(Condition("object", ("quokka",)),)),
    Filter(must=(Condition("object", ("woman",)),)),
    Filter(must_not=(Condition("object", ("zebra",)),)),
    Filter(must=(Condition("object", ("zebra",)),)),
    Filter(must=(Condition("triple", (None, "riding", None)),), must_not=(Condition("object", ("car",)),)),
    Filter(must=(Condition("triple", ("man", None, "horse")),)),
    Filter(must=(Condition("triple", (None, None, None)),), must_not=(Condition("triple", (None, "on", "table")),)),
    Filter(must=(Condition("attribute", (None, "tall")), Condition("attribute", ("quokka", None)))),
    Filter(must_not=(Condition("attribute", ("man", "tall")), Condition("attribute", (None, 'it\'s "so" \\ \n')))),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A catalogue, a store of one backend, and a checkpoint."""

    catalogue: Catalogue
    jobs: Jobs
    store: Store
    checkpoint: Path

    def build(self) -> str:
        return backend.build(
            catalogue=self.catalogue,
            store=self.store,
            checkpoint=self.checkpoint,
            progress=lambda *_: None,
            confirm=lambda _: None,
        ).version

    def engine(self) -> Engine:
        return Engine(self.store, self.catalogue, poll_interval=60)


@pytest.fixture(params=["files", "milvus"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(milvus_store, "_GRACE", 0.0)
    index_url = None
    if request.param == "milvus":
        if importlib.util.find_spec("milvus_lite") is None:
            skip_or_fail("milvus", "milvus-lite is not installed")
        index_url = SecretStr(str(tmp_path / "vectors.db"))
    make_checkpoint(tmp_path / "checkpoint")
    settings = Settings(data_dir=tmp_path / "data", index_url=index_url, index_versions_kept=2)
    database = open_database(f"sqlite:///{tmp_path}/catalogue.db")
    catalogue = Catalogue(database)
    catalogue.upsert(make_records(IMAGES))
    catalogue.put(ImageRecord(image_id="zoo", graph=QUOKKA, url=None, width=None, height=None))
    store = backend.open_store(settings)
    yield Place(catalogue=catalogue, jobs=Jobs(database, timeout=30), store=store, checkpoint=tmp_path / "checkpoint")
    backend.close_store(store)
    database.dispose()


class Oracle:
    """All images of the catalogue, each looked at by itself."""

    def __init__(self, catalogue: Catalogue, state: State) -> None:
        self.images: list[StoredImage] = [image for chunk in catalogue.stream() for image in chunk]
        self.resolver = state.version.checkpoint.resolver
        self.graphs = [read_graph(json.loads(image.graph), "native") for image in self.images]
        packed = PackedGraphs.pack(map(self.resolver.resolve, self.graphs))
        self.vectors: Vectors = embed(state.version.encoder, packed)

    def ranking(self, vector: Vectors, wanted: Filter | None, min_score: float | None) -> list[tuple[str, float]]:
        scores = ExactScores(self.vectors).scores(vector, slice(None)).tolist()
        found = [
            (image.image_id, score)
            for image, graph, score in zip(self.images, self.graphs, scores, strict=True)
            if (wanted is None or self.meets(graph, wanted)) and (min_score is None or score >= min_score)
        ]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))

    def meets(self, graph: SceneGraph, wanted: Filter) -> bool:
        return all(self.has(graph, one) for one in wanted.must) and not any(
            self.has(graph, one) for one in wanted.must_not
        )

    def has(self, graph: SceneGraph, condition: Condition) -> bool:
        names = {item.id: self.resolver.objects.canonical(item.name) if item.name else "" for item in graph.objects}
        found: list[tuple[str | None, ...]]
        match condition.kind:
            case "object":
                found = [(name,) for name in names.values()]
            case "attribute":
                found = [
                    (names[item.id], " ".join(text.lower().split()))
                    for item in graph.objects
                    for text in item.attributes
                ]
            case "triple":
                found = [(names[edge.subject], edge.predicate, names[edge.object]) for edge in graph.relationships]
        return any(
            all(name is None or name == had for name, had in zip(condition.names, one, strict=True)) for one in found
        )


def assert_as_the_oracle_says(state: State, catalogue: Catalogue, *, queries: int = 4) -> None:
    oracle = Oracle(catalogue, state)
    assert state.count == len(oracle.images)
    for vector in oracle.vectors[: queries * 13 : 13]:
        for wanted in FILTERS:
            by_names = None if wanted is None else resolve(wanted, state.names, oracle.resolver)
            selection = None if by_names is None else state.select(by_names)
            middle = oracle.ranking(vector, None, None)[20][1]
            asked = [
                PageQuery(vector=vector, limit=limit, offset=offset, min_score=min_score, selection=selection)
                for limit, offset, min_score in [(7, 0, None), (9, 4, None), (5, 200, None), (8, 3, middle)]
            ]
            for query, page in zip(asked, state.pages(asked), strict=True):
                expected = oracle.ranking(vector, wanted, query.min_score)
                cut = expected[query.offset : query.offset + query.limit]
                assert [image.image_id for image in page.images] == [image_id for image_id, _ in cut]
                assert page.scores == pytest.approx([score for _, score in cut], abs=2e-6)
                assert (page.total, page.total_is_exact) == (len(expected), True)
    by_id = {image.image_id: image for image in oracle.images}
    for image_id in ("image-0000", "image-0031", "zoo", "nobody", QUOTED, "back\\slash", 'x"] or id != ["'):
        assert state.get(image_id) == by_id.get(image_id)


def test_pages_are_those_of_sorting_all_images(place: Place) -> None:
    name = place.build()
    engine = place.engine()
    engine.refresh()

    state = engine.require_snapshot()

    assert (state.name, state.version.manifest.version) == (name, name)
    assert_as_the_oracle_says(state, place.catalogue)
    counts = state.name_counts("object")
    assert counts["quokka"] == 1
    assert counts["man"] == sum(Oracle(place.catalogue, state).has(graph, FILTERS[1].must[0]) for graph in  # type: ignore[union-attr]
                                Oracle(place.catalogue, state).graphs)  # fmt: skip


def test_changes_are_found_and_a_second_look_changes_nothing(place: Place) -> None:
    name = place.build()
    engine, other = place.engine(), place.engine()
    engine.refresh()
    other.refresh()
    records = make_records(90, seed=5)
    place.catalogue.delete("image-0003")
    place.catalogue.delete("image-0031")
    place.catalogue.put(replace(records[4], image_id="image-0000", url="https://images.example/new"))
    place.catalogue.put(replace(records[5], image_id=QUOTED))
    place.catalogue.put(replace(records[6], image_id="back\\slash"))
    place.catalogue.upsert(records[70:80])
    place.catalogue.put(records[71])

    for following in (engine, other, engine):
        following.refresh()
        state = following.require_snapshot()
        assert following.problem is None
        assert state.name == f"{name}+{place.catalogue.revision()}"
        assert state.revision == place.catalogue.revision()
        assert_as_the_oracle_says(state, place.catalogue, queries=2)


def test_a_version_is_switched_to_kept_and_gone_back_to(place: Place) -> None:
    versions, engine = [place.build()], place.engine()
    engine.refresh()
    before = engine.require_snapshot()
    make_checkpoint(place.checkpoint, seed=1)
    versions.append(place.build())
    engine.refresh()
    after = engine.require_snapshot()
    assert after.version.checkpoint.digest != before.version.checkpoint.digest
    assert place.store.current() == versions[1]

    place.catalogue.delete("image-0007")
    assert roll_back(place.store, place.jobs).version == versions[0]
    engine.refresh()
    assert engine.require_snapshot().version.checkpoint.digest == before.version.checkpoint.digest
    assert_as_the_oracle_says(engine.require_snapshot(), place.catalogue, queries=1)
    with pytest.raises(RollbackError):
        roll_back(place.store, place.jobs)

    versions.append(place.build())
    assert place.store.names() == versions[:0:-1], "the oldest is removed"
    with pytest.raises(NotFoundError):
        roll_back(place.store, place.jobs, versions[0])
    assert all(manifest is not None for manifest in place.store.manifests().values())


def test_a_build_that_fails_changes_nothing(place: Place) -> None:
    version = place.build()

    def refuse(_: str) -> None:
        raise ReindexError("not now")

    with pytest.raises(ReindexError, match="not now"):
        backend.build(
            catalogue=place.catalogue, store=place.store, checkpoint=place.checkpoint,
            progress=lambda *_: None, confirm=refuse,
        )  # fmt: skip

    assert (place.store.current(), place.store.names()) == (version, [version])
