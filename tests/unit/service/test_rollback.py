"""Which versions there are, stay, and can be gone back to; and that only one process at a time decides it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from service.catalogue import Catalogue
from service.database import open_database
from service.errors import IndexVersionError, NotFoundError, ReindexRunningError, RollbackError
from service.index.build import build_index
from service.index.ranking import Lookup
from service.index.versions import IndexStore, open_version
from service.jobs import Jobs
from service.rollback import roll_back
from tests.factories import make_checkpoint, make_records


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    return IndexStore(tmp_path / "index", kept=3)


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    database = open_database(f"sqlite:///{tmp_path}/catalogue.db")
    Catalogue(database).upsert(make_records(20))
    yield Jobs(database, timeout=30)
    database.dispose()


@pytest.fixture
def build(jobs: Jobs, store: IndexStore, tmp_path: Path) -> Callable[[], str]:
    """Builds a version; gives its name."""
    make_checkpoint(tmp_path / "checkpoint")

    def build() -> str:
        database = open_database(f"sqlite:///{tmp_path}/catalogue.db")
        try:
            return build_index(
                catalogue=Catalogue(database),
                store=store,
                checkpoint=tmp_path / "checkpoint",
                progress=lambda *_: None,
                confirm=lambda _: None,
            ).version
        finally:
            database.dispose()

    return build


def test_manifests_are_newest_first_and_a_damaged_one_is_none(build: Callable[[], str], store: IndexStore) -> None:
    assert store.manifests() == {}
    names = [build() for _ in range(3)]
    (store.directory(names[1]) / "manifest.json").write_bytes(b"{")
    (store.root / "versions" / "not-a-version").mkdir()

    manifests = store.manifests()

    assert list(manifests) == names[::-1]
    assert [manifest and manifest.version for manifest in manifests.values()] == [names[2], None, names[0]]


@pytest.mark.parametrize("kept", [1, 2])
def test_as_many_versions_stay_as_are_wanted_and_the_one_in_use(
    build: Callable[[], str], store: IndexStore, kept: int
) -> None:
    names = [build() for _ in range(3)]
    fewer = IndexStore(store.root, kept=kept)
    fewer.use(names[0])
    fewer.prune()
    assert sorted(fewer.names()) == [names[0], *names[3 - kept :]]


def test_a_version_in_memory_outlives_its_files(build: Callable[[], str], store: IndexStore) -> None:
    version = open_version(store.directory(build()))
    before = [version.records[row] for row in range(len(version.ids))]
    query = np.load(store.directory(version.manifest.version) / "vectors.npy")[0]
    found = version.index.search([Lookup(query=query, wanted=5, min_score=None, allowed=None)])[0]

    shutil.rmtree(store.directory(version.manifest.version))

    assert [version.records[row] for row in range(len(version.ids))] == before
    again = version.index.search([Lookup(query=query, wanted=5, min_score=None, allowed=None)])[0]
    assert again.rows.tolist() == found.rows.tolist()


def test_going_back_takes_the_newest_usable_older_version(
    build: Callable[[], str], store: IndexStore, jobs: Jobs
) -> None:
    first, second, third = build(), build(), build()
    assert roll_back(store, jobs).version == second == store.current()
    assert roll_back(store, jobs).version == first == store.current()
    with pytest.raises(RollbackError, match="no older"):
        roll_back(store, jobs)
    assert roll_back(store, jobs, third).version == third == store.current()
    assert roll_back(store, jobs, third).version == third, "asked twice it is the same"

    (store.directory(second) / "manifest.json").unlink()
    assert roll_back(store, jobs).version == first
    store.current_file.write_bytes(b"?")
    assert roll_back(store, jobs).version == third, "whatever was in use, this one works"


def test_what_cannot_be_gone_back_to_changes_nothing(build: Callable[[], str], store: IndexStore, jobs: Jobs) -> None:
    first, second = build(), build()
    (store.directory(first) / "vectors.npy").write_bytes(b"")
    with pytest.raises(RollbackError, match="damaged"):
        roll_back(store, jobs)
    for name in ("20260101T000000000000Z-00000000", "../versions/" + first, "", "/etc"):
        with pytest.raises(NotFoundError):
            roll_back(store, jobs, name)
    job, _ = jobs.enqueue(checkpoint="checkpoint")
    with pytest.raises(ReindexRunningError) as caught:
        roll_back(store, jobs)
    assert caught.value.job_id == job.id
    assert store.current() == second


def test_only_one_at_a_time_may_switch_over_all_processes(store: IndexStore) -> None:
    script = (
        "import sys, time, pathlib; from service.index.versions import IndexStore\n"
        "with IndexStore(pathlib.Path(sys.argv[1])).switching(0): print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(store.root)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        os.kill(holder.pid, signal.SIGSTOP)
        with pytest.raises(RollbackError, match="ask again"), store.switching(0.1):
            pass
        holder.kill()
        holder.wait()
    with store.switching(5), pytest.raises(RollbackError), store.switching(0):
        pass


def test_many_who_go_back_and_forth_leave_a_whole_current(
    build: Callable[[], str], store: IndexStore, jobs: Jobs
) -> None:
    names = [build(), build(), build()]
    ended = threading.Event()

    def look() -> set[str | None]:
        seen = set()
        while not ended.is_set():
            seen.add(store.current())
        return seen

    def switch(name: str) -> str:
        try:
            return roll_back(store, jobs, name).version
        except RollbackError:
            return name

    with ThreadPoolExecutor(5) as pool:
        watcher = pool.submit(look)
        try:
            assert list(pool.map(switch, names * 4)) == names * 4
        finally:
            ended.set()
        assert watcher.result() <= set(names)
    assert json.loads(store.current_file.read_bytes())["version"] in names


def test_a_build_that_was_given_up_leaves_the_next_ones_directory_alone(store: IndexStore) -> None:
    with store.stage() as old:
        (old / "file").write_text("old")
        with IndexStore(store.root).stage() as new:
            assert not old.exists()
            (new / "file").write_text("new")
            with IndexStore(store.root).stage() as newest:
                (newest / "file").write_text("newest")
                with pytest.raises(FileNotFoundError):
                    (new / "file").read_text()
                store.discard_staged()
                assert (newest / "file").read_text() == "newest"
    assert list((store.root / "staging").iterdir()) == []


def test_what_is_being_built_can_be_taken_away(store: IndexStore) -> None:
    with store.stage() as directory:
        (directory / "file").write_text("half")
        store.discard_staged()
        with pytest.raises(OSError, match="No such file"):
            (directory / "file").open("w")
    assert list((store.root / "staging").iterdir()) == []
    assert store.current() is None
    with pytest.raises(IndexVersionError):
        open_version(directory)
