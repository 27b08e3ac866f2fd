import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.checkpoint import PRETRAINED, find_checkpoint, load_checkpoint
from model.errors import CheckpointError, GraphError
from model.formats import read_graph
from service.catalogue import Catalogue
from service.database import open_database
from service.engine import Engine
from service.errors import IndexVersionError, NoIndexError, SubstitutionError
from service.index.build import build_index
from service.index.versions import IndexStore
from service.reindex import choose_checkpoint
from service.search import SearchQuery, read_query_graph, search
from service.settings import Settings
from tests.factories import make_checkpoint, make_records


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    return IndexStore(tmp_path / "index")


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    database = open_database(f"sqlite:///{tmp_path}/catalogue.db")
    catalogue = Catalogue(database)
    catalogue.upsert(make_records(20))
    yield catalogue
    database.dispose()


def build(store: IndexStore, catalogue: Catalogue, checkpoint: Path, *, seed: int = 0) -> str:
    make_checkpoint(checkpoint, seed=seed)
    return build_index(
        catalogue=catalogue, store=store, checkpoint=checkpoint, progress=lambda *_: None, confirm=lambda _: None
    ).version


def test_the_engine_follows_the_current_version(store: IndexStore, catalogue: Catalogue, tmp_path: Path) -> None:
    engine = Engine(store, poll_interval=60)
    engine.refresh()
    with pytest.raises(NoIndexError, match="scenerank index build"):
        engine.require_version()

    for seed in (0, 1):
        name = build(store, catalogue, tmp_path / "checkpoint", seed=seed)
        engine.refresh()
        version = engine.require_version()
        assert version.manifest.version == name
        assert version.checkpoint.digest == load_checkpoint(tmp_path / "checkpoint").digest

    engine.refresh()
    assert engine.version is version, "what is in use is not opened again"


def test_a_damaged_version_leaves_the_old_one_in_use(store: IndexStore, catalogue: Catalogue, tmp_path: Path) -> None:
    engine = Engine(store, poll_interval=60)
    good = build(store, catalogue, tmp_path / "checkpoint")
    engine.refresh()
    bad = build(store, catalogue, tmp_path / "checkpoint")
    (store.directory(bad) / "vectors.npy").write_bytes(b"")
    engine.refresh()

    assert engine.require_version().manifest.version == good
    assert "vectors.npy" in str(engine.problem)

    fresh = Engine(store, poll_interval=60)
    fresh.refresh()
    with pytest.raises(IndexVersionError):
        fresh.require_version()

    store.current_file.write_text(json.dumps({"version": good}))
    engine.refresh()
    assert engine.problem is None


def test_the_watcher_switches_by_itself(store: IndexStore, catalogue: Catalogue, tmp_path: Path) -> None:
    async def run() -> None:
        engine = Engine(store, poll_interval=0.01)
        async with engine.running():
            with pytest.raises(NoIndexError):
                engine.require_version()
            name = await asyncio.to_thread(build, store, catalogue, tmp_path / "checkpoint")
            async with asyncio.timeout(20):
                while (version := engine.version) is None:  # noqa: ASYNC110 (no event to wait for)
                    await asyncio.sleep(0.01)
            assert version.manifest.version == name
            assert await engine.run(lambda a, b: a + b, 1, b=2) == 3

    asyncio.run(run())


def test_a_strict_search_refuses_every_substitution(store: IndexStore, catalogue: Catalogue, tmp_path: Path) -> None:
    build(store, catalogue, tmp_path / "checkpoint")
    engine = Engine(store, poll_interval=60)
    engine.refresh()
    graph = read_graph({"objects": ["man", "Horse", "zebra"], "relationships": [[0, "atop", 1], [0, None, 2]]})
    query = SearchQuery(graph=graph, limit=3, offset=0, min_score=None, strict=True)

    with pytest.raises(SubstitutionError) as caught:
        search(engine.require_version(), query)

    assert [problem.pointer for problem in caught.value.problems] == [
        "/graph/objects/1/name",
        "/graph/objects/2/name",
        "/graph/relationships/0/predicate",
    ]
    assert not any("taken for" in problem.message for problem in caught.value.problems), "it is not, but refused"


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"objects": ["man"] * 4}, "/objects"),
        ({"objects": ["man"], "relationships": [[0, "on", 0]] * 3}, "/relationships"),
        ({"objects": ["abcdef"]}, "/objects/0"),
        ({"objects": ["man"], "relationships": [[0, "abcdef", 0]]}, "/relationships/0/1"),
        ({"objects": [{"id": "abcdef", "name": "man"}]}, "/objects/0/id"),
        ({"objects": [{"id": 1, "name": "man", "attributes": ["tall", "abcdef"]}]}, "/objects/0/attributes/1"),
    ],
)
def test_a_graph_over_the_limits_is_refused(document: dict[str, object], pointer: str) -> None:
    limits = Settings(max_objects=3, max_relationships=2, max_name_length=5)
    with pytest.raises(GraphError) as caught:
        read_query_graph(document, None, limits)
    assert [problem.pointer for problem in caught.value.problems] == [pointer]


def test_the_checkpoint_is_the_named_one_else_the_configured_else_the_current_else_the_shipped(
    store: IndexStore, catalogue: Catalogue, tmp_path: Path
) -> None:
    shipped = find_checkpoint(Path(PRETRAINED)).absolute()
    assert choose_checkpoint(Settings(), store) == shipped
    version = build(store, catalogue, tmp_path / "checkpoint")
    assert choose_checkpoint(Settings(), store, Path(PRETRAINED)) == shipped

    for name in ("a", "b/best"):
        make_checkpoint(tmp_path / name)

    assert choose_checkpoint(Settings(), store) == store.directory(version) / "model"
    assert choose_checkpoint(Settings(checkpoint=tmp_path / "a"), store) == tmp_path / "a"
    assert choose_checkpoint(Settings(checkpoint=tmp_path / "a"), store, tmp_path / "b") == tmp_path / "b/best"


@pytest.mark.parametrize("damaged", ["current", "model"])
def test_without_a_model_in_use_to_be_read_another_has_to_be_named(
    store: IndexStore, catalogue: Catalogue, tmp_path: Path, damaged: str
) -> None:
    version = build(store, catalogue, tmp_path / "checkpoint")
    if damaged == "current":
        store.current_file.write_text("{")
    else:
        (store.directory(version) / "model" / "checkpoint.json").unlink()

    with pytest.raises(CheckpointError, match="--checkpoint RUN"):
        choose_checkpoint(Settings(), store)

    assert choose_checkpoint(Settings(checkpoint=tmp_path / "checkpoint"), store) == tmp_path / "checkpoint"
    assert choose_checkpoint(Settings(), store, tmp_path / "checkpoint") == tmp_path / "checkpoint"
    assert build(store, catalogue, tmp_path / "checkpoint") == store.current()
