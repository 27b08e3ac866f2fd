"""Processes killed at each step of a reindex, of an import and of a change: what was acknowledged stays, no repair."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Final

import psycopg
import pytest
from sqlalchemy import Engine, make_url, select

from model.collection import ImageRecord
from model.formats import write_graph
from service.catalogue import Catalogue
from service.database import open_database
from service.engine import Engine as SearchEngine
from service.index.snapshot import Snapshot
from service.index.versions import open_version
from service.jobs import JobRecord, Jobs
from service.tables import Job
from tests.factories import make_checkpoint, make_records
from tests.integration import killed
from tests.integration.conftest import PATIENCE, NewDatabase, Place, until
from tests.integration.killed import KILLED

IMAGES: Final = 40
MOST_STEPS: Final = 300  # of any work here
TIME_IS_OUT: Final = -5.0  # as a job's timeout: later than the clock of any database is exact to

Fresh = Callable[[], Place]


@pytest.fixture
def opened(request: pytest.FixtureRequest) -> Callable[[str], Engine]:
    """Opens databases, and closes them at the end."""

    def open_(url: str) -> Engine:
        engine = open_database(url)
        request.addfinalizer(engine.dispose)
        return engine

    return open_


@pytest.fixture(scope="module")
def fresh(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """Makes the same place anew each time: two versions, the newer in use, and changes since.

    With two versions kept the next one removes the older, and what was removed before the newer is forgotten.
    """
    template = Place(database_url=new_database(), data_dir=tmp_path_factory.mktemp("template"))
    make_checkpoint(template.data_dir / "checkpoint")
    engine = open_database(template.database_url)
    catalogue = Catalogue(engine)
    catalogue.upsert(make_records(IMAGES))
    template.build(template.data_dir / "checkpoint")
    catalogue.delete("image-0001")
    template.build(template.data_dir / "checkpoint")
    catalogue.delete("image-0002")
    catalogue.put(make_records(IMAGES + 1)[IMAGES])
    engine.dispose()
    numbers = count()

    def make() -> Place:
        data_dir = tmp_path_factory.mktemp(f"copy{next(numbers)}")
        shutil.copytree(template.data_dir, data_dir, dirs_exist_ok=True)
        return Place(database_url=copy_database(template.database_url, data_dir), data_dir=data_dir)

    return make


def copy_database(url: str, directory: Path) -> str:
    """A copy of a database that nobody uses, in the directory if it is a file; its URL."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        copy = directory / "copy.db"
        shutil.copyfile(str(parsed.database), copy)
        return f"sqlite:///{copy}"
    name = f"{parsed.database}_{directory.name}".replace("-", "_").lower()
    with psycopg.connect(url.replace(f"/{parsed.database}?", "/postgres?"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {parsed.database}".encode())
    return url.replace(f"/{parsed.database}?", f"/{name}?")


def is_sqlite(place: Place) -> bool:
    return place.database_url.startswith("sqlite")


def last_job(engine: Engine, timeout: float = 60) -> JobRecord | None:
    jobs = Jobs(engine, timeout)
    with engine.connect() as connection:
        job_id = connection.scalar(select(Job.id).order_by(Job.created_at.desc()))
    return None if job_id is None else jobs.get(job_id)


def catalogue_ids(engine: Engine) -> set[str]:
    return {image.image_id for chunk in Catalogue(engine).stream() for image in chunk}


def found_ids(place: Place, engine: Engine) -> set[str]:
    """What a service that starts now finds."""
    searching = SearchEngine(place.store, Catalogue(engine), poll_interval=1)
    searching.refresh()
    assert searching.problem is None
    snapshot = searching.require_snapshot()
    searching._thread.close()
    assert isinstance(snapshot, Snapshot)
    rows = range(len(snapshot.version.ids) + len(snapshot.overlay.ids))
    return {snapshot.id_of(row) for row in rows if snapshot.find(snapshot.id_of(row)) == row}


def test_a_reindex_killed_at_any_step_leaves_one_whole_version_in_use(
    fresh: Fresh, opened: Callable[[str], Engine]
) -> None:
    outcomes: list[tuple[bool, str]] = []
    for step in range(1, MOST_STEPS):
        place = fresh()
        before = place.store.current()
        # Which steps files go through does not depend on the database, so those are looked at with one of them.
        checkpoint, files = place.data_dir / "checkpoint", is_sqlite(place)
        status = killed.run(killed.build, place.database_url, place.data_dir, checkpoint, step, files)
        if status == 0:
            break
        assert status == KILLED, step

        engine = opened(place.database_url)
        current = place.store.current()
        assert current is not None
        open_version(place.store.directory(current))
        wanted = catalogue_ids(engine)
        assert found_ids(place, engine) == wanted, step
        job = last_job(engine, TIME_IS_OUT)
        if job is not None and job.finished_at is not None:
            assert job.state in ("failed", "succeeded")
            assert current in (before, job.index_version), step
            outcomes.append((current != before, job.state))
        # No repair: the next one does its work, and what the dead one left is gone.
        manifest = place.build(checkpoint)
        assert manifest.count == len(wanted)
        assert found_ids(place, engine) == wanted, step
        assert not list((place.data_dir / "index" / "staging").iterdir()), step
        assert not list((place.data_dir / "index").glob("*.partial")), step
        shutil.rmtree(place.data_dir)
        engine.dispose()
    else:
        pytest.fail("never done")
    assert step > (40 if files else 6)
    assert {(False, "failed"), (True, "failed")} <= set(outcomes), "before the switch, and after it"


def test_an_import_killed_at_any_step_keeps_what_it_told_and_can_be_repeated(
    fresh: Fresh, opened: Callable[[str], Engine], tmp_path: Path
) -> None:
    total, seed = 55, 7  # three chunks; 40 of the images are there already, with other graphs
    for step in range(1, MOST_STEPS):
        place, told = fresh(), tmp_path / "told"
        engine = opened(place.database_url)
        before = stored(engine)
        engine.dispose()
        status = killed.run(killed.import_images, place.database_url, told, total, seed, step)
        after = stored(engine)
        expected = {record.image_id: native(record) for record in make_records(total, seed=seed)}
        acknowledged = sum(int(line) for line in told.read_text().split())
        # A chunk is there whole or not at all.
        written = [before | dict(list(expected.items())[:done]) for done in (0, 20, 40, 55)]
        assert after in written
        assert written.index(after) >= (0, 20, 40, 55).index(acknowledged)
        assert found_ids(place, engine) == set(after)
        if status == 0:
            break
        assert status == KILLED, step
        assert killed.run(killed.import_images, place.database_url, told, total, seed, MOST_STEPS) == 0
        assert stored(engine) == before | expected
        engine.dispose()
    else:
        pytest.fail("never done")
    assert step > 9


@pytest.mark.parametrize("change", ["put", "replace", "delete"])
def test_a_change_killed_at_any_step_is_done_or_not_and_stops_nobody(
    fresh: Fresh, opened: Callable[[str], Engine], change: str
) -> None:
    record = make_records(1, seed=3)[0]
    place = fresh()
    engine = opened(place.database_url)
    for step in range(1, MOST_STEPS):
        if change == "put":
            Catalogue(engine).delete(record.image_id)
        else:
            Catalogue(engine).put(make_records(1)[0])
        before = stored(engine).get(record.image_id)
        revision = Catalogue(engine).revision()
        engine.dispose()

        work = (killed.delete_image, step) if change == "delete" else (killed.put_image, 3, step)
        status = killed.run(work[0], place.database_url, *work[1:])

        after = stored(engine).get(record.image_id)
        done = None if change == "delete" else native(record)
        assert after == (done if status == 0 else before)
        changes = {item.image_id: item.image for chunk in Catalogue(engine).changes(revision) for item in chunk}
        assert set(changes) == ({record.image_id} if status == 0 else set()), "who follows the changes sees as much"
        assert Catalogue(engine).put(make_records(2)[1])[0].image_id == "image-0001", "no lock is left"
        if status == 0:
            break
        assert status == KILLED
    else:
        pytest.fail("never done")
    assert step > 3


def stored(engine: Engine) -> dict[str, str]:
    return {image.image_id: image.graph for chunk in Catalogue(engine).stream() for image in chunk}


def native(record: ImageRecord) -> str:
    return json.dumps(write_graph(record.graph), separators=(",", ":"))


def test_ctrl_c_ends_a_build_and_a_second_one_ends_it_at_once(
    empty_place: Place, opened: Callable[[str], Engine]
) -> None:
    empty_place.fill(4000)
    checkpoint = empty_place.checkpoint("first")
    engine = opened(empty_place.database_url)
    for presses in (1, 2):
        command = [sys.executable, "-m", "scenerank", "index", "build", "--checkpoint", str(checkpoint)]
        with subprocess.Popen(command, env=empty_place.environment, stderr=subprocess.PIPE, text=True) as builder:
            until(lambda: (job := last_job(engine)) is not None and job.state == "running", "it runs", every=0.005)
            for _ in range(presses):
                builder.send_signal(signal.SIGINT)
            _, said = builder.communicate(timeout=PATIENCE)
        assert (builder.returncode, "Stopped" in said, "Traceback" in said) == (130, True, False), said
        assert presses == 2 or "the index stayed as it was" in said
        job = last_job(engine)
        assert job is not None
        assert job.state == "cancelled", "there is room for another one"
        assert empty_place.store.current() is None
        assert not list((empty_place.data_dir / "index" / "staging").iterdir())
