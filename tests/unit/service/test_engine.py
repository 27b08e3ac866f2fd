import asyncio
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from model.checkpoint import PRETRAINED, find_checkpoint, load_checkpoint
from model.errors import CheckpointError, GraphError
from service.catalogue import Catalogue
from service.database import open_database
from service.engine import Engine
from service.errors import IndexVersionError, NoIndexError, SubstitutionError
from service.index.build import build_index
from service.index.follow import FilesFollower
from service.index.versions import IndexStore
from service.interpret import interpret, read_query_graph
from service.reindex import choose_checkpoint
from service.search import SearchAnswer
from service.search_schemas import SearchRequest
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
    engine = Engine(store, catalogue, poll_interval=60)
    engine.refresh()
    with pytest.raises(NoIndexError, match="scenerank index build"):
        engine.require_snapshot()

    for seed in (0, 1):
        name = build(store, catalogue, tmp_path / "checkpoint", seed=seed)
        engine.refresh()
        version = engine.require_snapshot().version
        assert version.manifest.version == name
        assert version.checkpoint.digest == load_checkpoint(tmp_path / "checkpoint").digest

    engine.refresh()
    assert engine.require_snapshot().version is version, "what is in use is not opened again"


def test_a_damaged_version_leaves_the_old_one_in_use(store: IndexStore, catalogue: Catalogue, tmp_path: Path) -> None:
    engine = Engine(store, catalogue, poll_interval=60)
    good = build(store, catalogue, tmp_path / "checkpoint")
    engine.refresh()
    bad = build(store, catalogue, tmp_path / "checkpoint")
    (store.directory(bad) / "vectors.npy").write_bytes(b"")
    engine.refresh()

    assert engine.require_snapshot().version.manifest.version == good
    assert "vectors.npy" in str(engine.problem)

    fresh = Engine(store, catalogue, poll_interval=60)
    fresh.refresh()
    with pytest.raises(IndexVersionError):
        fresh.require_snapshot()

    store.current_file.write_text(json.dumps({"version": good}))
    engine.refresh()
    assert engine.problem is None


def test_a_process_that_misses_forgotten_removals_does_not_pretend_to_know_them(
    store: IndexStore, catalogue: Catalogue, tmp_path: Path
) -> None:
    store = IndexStore(store.root, kept=1)
    engine = Engine(store, catalogue, poll_interval=60)
    old = build(store, catalogue, tmp_path / "checkpoint")
    engine.refresh()
    catalogue.delete("image-0003")
    bad = build(store, catalogue, tmp_path / "checkpoint")  # which forgets the removal
    (store.directory(bad) / "vectors.npy").write_bytes(b"")
    catalogue.delete("image-0004")

    for _ in range(3):
        engine.refresh()
        snapshot = engine.require_snapshot()
        assert (snapshot.name, snapshot.count) == (old, 20), "the state before, whole, under its own name"
        assert engine.problem is not None

    good = build(store, catalogue, tmp_path / "checkpoint")
    engine.refresh()
    assert (engine.require_snapshot().name, engine.require_snapshot().count) == (good, 18)
    assert engine.problem is None


def test_a_process_that_was_halted_for_long_opens_the_version_in_use_anew(
    store: IndexStore, catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = IndexStore(store.root, kept=1)
    engine = Engine(store, catalogue, poll_interval=60)
    build(store, catalogue, tmp_path / "checkpoint")
    engine.refresh()
    catalogue.delete("image-0003")
    # Between its look at which version is in use and its look at the changes another process builds.
    take_in, newer = FilesFollower.take_in, list[str]()

    def halted(follower: FilesFollower, catalogue: Catalogue, revision: int) -> bool:
        if not newer:
            newer.append(build(store, catalogue, tmp_path / "checkpoint"))
        return take_in(follower, catalogue, revision)

    monkeypatch.setattr(FilesFollower, "take_in", halted)
    engine.refresh()
    assert engine.require_snapshot().get("image-0003") is not None
    engine.refresh()
    assert engine.require_snapshot().version.manifest.version == newer[0]
    assert engine.require_snapshot().get("image-0003") is None
    assert engine.problem is None


def test_a_catalogue_that_goes_back_is_followed_anew(store: IndexStore, catalogue: Catalogue, tmp_path: Path) -> None:
    engine = Engine(store, catalogue, poll_interval=60)
    build(store, catalogue, tmp_path / "checkpoint")
    older = tmp_path / "older.db"
    with sqlite3.connect(tmp_path / "catalogue.db") as database:
        database.execute("VACUUM INTO ?", (str(older),))
    database.close()
    catalogue.delete("image-0003")
    catalogue.put(make_records(21)[20])
    engine.refresh()
    assert (engine.require_snapshot().count, engine.require_snapshot().removed) == (20, 1)

    older.replace(tmp_path / "catalogue.db")
    for suffix in ("wal", "shm"):
        (tmp_path / f"catalogue.db-{suffix}").unlink()
    catalogue.delete("image-0004")
    for _ in range(2):
        engine.refresh()

    snapshot = engine.require_snapshot()
    assert [snapshot.get(f"image-{number:04}") is not None for number in (3, 4, 20)] == [True, False, False]
    assert engine.problem is None


def test_the_watcher_switches_by_itself(store: IndexStore, catalogue: Catalogue, tmp_path: Path) -> None:
    async def run() -> None:
        engine = Engine(store, catalogue, poll_interval=0.01)
        async with engine.running():
            with pytest.raises(NoIndexError):
                engine.require_snapshot()
            name = await asyncio.to_thread(build, store, catalogue, tmp_path / "checkpoint")
            async with asyncio.timeout(20):
                while (snapshot := engine.snapshot) is None:  # noqa: ASYNC110 (no event to wait for)
                    await asyncio.sleep(0.01)
                assert snapshot.name == name
                catalogue.delete("image-0003")
                engine.nudge()
                while engine.require_snapshot() is snapshot:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert engine.require_snapshot().get("image-0003") is None
            assert engine.require_snapshot().count == 19

    asyncio.run(run())


def test_a_strict_search_refuses_every_substitution(store: IndexStore, catalogue: Catalogue, tmp_path: Path) -> None:
    build(store, catalogue, tmp_path / "checkpoint")
    engine = Engine(store, catalogue, poll_interval=60)
    engine.refresh()
    graph = {"objects": ["man", "Horse", "zebra"], "relationships": [[0, "atop", 1], [0, None, 2]]}

    with pytest.raises(SubstitutionError) as caught:
        interpret(SearchRequest(graph=graph, strict=True), engine.require_snapshot(), Settings())

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


def test_changes_are_taken_in_and_a_new_version_begins_with_them(
    store: IndexStore, catalogue: Catalogue, tmp_path: Path
) -> None:
    engine = Engine(store, catalogue, poll_interval=60)
    first = build(store, catalogue, tmp_path / "checkpoint")
    engine.refresh()
    before = engine.require_snapshot()
    catalogue.delete("image-0000")
    catalogue.put(replace(make_records(30)[29], url="https://images.example/new"))
    engine.refresh()
    changed = engine.require_snapshot()

    assert (before.name, before.count) == (first, 20)
    assert before.get("image-0000") is not None
    assert (changed.name, changed.count) == (f"{first}+{catalogue.revision()}", 20)
    assert changed.get("image-0000") is None
    new = changed.get("image-0029")
    assert new is not None
    assert "images.example/new" in new.fields

    second = build(store, catalogue, tmp_path / "checkpoint", seed=1)
    engine.refresh()
    assert (engine.require_snapshot().name, engine.require_snapshot().count) == (second, 20)

    store.current_file.write_text(json.dumps({"version": first}))  # as a rollback does
    engine.refresh()
    assert engine.require_snapshot().name == changed.name
    assert engine.require_snapshot().get("image-0000") is None, "what was removed stays so in an old version"


@pytest.mark.parametrize(("taken", "rest"), [(0.04, 0), (0.06, 0.24), (0.2, 0.4), (3, 3)])
def test_changes_that_take_long_to_take_in_leave_time_for_searches_and_are_seen_soon(
    *,
    taken: float,
    rest: float,
    store: IndexStore,
    catalogue: Catalogue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr("service.engine.time.monotonic", lambda: now)
    build(store, catalogue, tmp_path / "checkpoint")
    engine = Engine(store, catalogue, poll_interval=60)
    engine.refresh()

    def take_in(*_: object) -> bool:
        nonlocal now
        now += taken
        return True

    catalogue.delete("image-0000")
    with monkeypatch.context() as patched:
        patched.setattr(FilesFollower, "take_in", take_in)
        engine.refresh()
    ended = now
    for waited, is_seen in [(rest - 0.01, rest == 0), (rest + 0.01, True)]:
        now = ended + waited
        engine.refresh()
        assert (engine.require_snapshot().count == 19) == is_seen


def test_the_index_of_another_catalogue_is_not_used(store: IndexStore, catalogue: Catalogue, tmp_path: Path) -> None:
    build(store, catalogue, tmp_path / "checkpoint")
    database = open_database(f"sqlite:///{tmp_path}/other.db")
    engine = Engine(store, Catalogue(database), poll_interval=60)
    engine.refresh()
    with pytest.raises(IndexVersionError):
        engine.require_snapshot()
    assert "another catalogue" in str(engine.problem)
    database.dispose()


def test_searches_that_wait_together_get_what_each_would_get_alone(
    store: IndexStore, catalogue: Catalogue, tmp_path: Path
) -> None:
    build(store, catalogue, tmp_path / "checkpoint")
    sizes: list[int] = []

    def observe(_answer: SearchAnswer, waited: Sequence[float], _seconds: float) -> None:
        sizes.append(len(waited))

    async def run() -> None:
        engine = Engine(store, catalogue, poll_interval=60, observe=observe)
        async with engine.running():
            snapshot = engine.require_snapshot()
            bodies = [
                SearchRequest(graph={"objects": names}, limit=limit, offset=limit // 2, min_score=score)
                for names, limit, score in [(["man"], 3, None), (["dog", "cup"], 9, 0.1), (["car"], 4, None)] * 30
            ]
            queries = [interpret(body, snapshot, Settings()) for body in bodies]
            alone = [await engine.search(query) for query in queries[:3]]
            together = await asyncio.gather(*map(engine.search, queries))
            for answer, expected in zip(together, alone * 30, strict=True):
                assert list(answer.images) == list(expected.images)
                assert answer.scores == pytest.approx(expected.scores, abs=2e-6)
                assert answer.total == expected.total

    asyncio.run(run())
    assert sum(sizes) == 93
    assert 2 <= max(sizes) <= 64
