"""A backup restored into an empty system, of the same or the other kind of database, gives the same answers."""

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typing_extensions import Buffer

from model.errors import DataError
from service.backup import DIGESTS, HEADER, write_backup
from service.catalogue import Catalogue
from service.database import open_database
from service.errors import IndexVersionError, ReindexRunningError
from service.index.versions import IndexStore
from service.jobs import Jobs
from service.restore import restore_backup
from tests.factories import make_records
from tests.integration.conftest import ADMIN, PATIENCE, RECORDS, NewDatabase, Place, Service, serving, until

QUERIES: list[dict[str, Any]] = [
    {"text": "man riding horse", "limit": 20},
    {"text": "dog on table; cup", "limit": 20, "with_graph": True},
    {"text": "tree", "limit": 20, "filter": {"must": [{"object": "tree"}]}},
]
IMAGES = "catalogue/images-000000.jsonl"
Members = dict[str, bytes]


@pytest.fixture(scope="module")
def backup(indexed_place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a catalogue that has changed since its index was made, by the command, while the service runs."""
    path = tmp_path_factory.mktemp("backup") / "backup.tar"
    with serving(indexed_place) as service:
        change(service)
        done = indexed_place.run("backup", "--out", str(path))
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def answers(backup: Path, indexed_place: Place) -> list[Any]:
    with serving(indexed_place) as service:
        return ask(service)


def change(service: Service) -> None:
    image = {"graph": {"objects": ["horse", "beach"], "relationships": [[0, "on", 1]]}, "metadata": {"by": "tëst"}}
    service.client.put("/images/new one", json=image, headers=ADMIN).raise_for_status()
    image_id = service.search({"objects": ["man"]}, limit=1).json()["results"][0]["image_id"]
    service.client.delete(f"/images/{image_id}", headers=ADMIN).raise_for_status()


def ask(service: Service) -> list[Any]:
    """The answers but for what differs from one moment to the next."""
    found = [service.client.post("/search", json=query).raise_for_status().json() for query in QUERIES]
    image = service.client.get("/images/new one").raise_for_status().json()
    return [*([answer["results"], answer["total"], answer["index_version"]] for answer in found), image]


def restore(place: Place, file: bytes, *, replace: bool = False) -> None:
    engine = open_database(place.database_url)
    try:
        restore_backup(engine, place.store, Jobs(engine, 30), io.BytesIO(file), replace=replace)
    finally:
        engine.dispose()


def state_of(place: Place) -> tuple[int, int, str | None]:
    engine = open_database(place.database_url)
    try:
        return Catalogue(engine).count(), Catalogue(engine).revision(), place.store.current()
    finally:
        engine.dispose()


def members_of(path: Path) -> Members:
    with tarfile.open(path) as archive:
        return {info.name: file.read() for info in archive if (file := archive.extractfile(info))}


def packed(members: Members, *, links: dict[str, str] | None = None) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return file.getvalue()


@pytest.fixture(params=["sqlite", "postgres"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty system with either kind of database, whichever the backup came from."""
    if request.param == "sqlite":
        return Place(database_url=f"sqlite:///{tmp_path}/scenerank.db", data_dir=tmp_path / "data")
    template: str = request.getfixturevalue("postgres_server")
    name = f"restored_{abs(hash(tmp_path))}"
    with psycopg.connect(template.format("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return Place(database_url=template.format(name), data_dir=tmp_path / "data")


def test_a_restored_system_gives_the_same_answers(backup: Path, answers: list[Any], target: Place) -> None:
    done = target.run("restore", str(backup))
    assert done.returncode == 0, done.stderr
    assert f"{RECORDS} images restored" in done.stdout
    with serving(target) as service:
        assert ask(service) == answers


def test_a_service_that_runs_shows_what_is_restored(backup: Path, answers: list[Any], empty_place: Place) -> None:
    with serving(empty_place) as service:
        assert service.client.get("/readyz").status_code == 503
        done = empty_place.run("restore", str(backup))
        assert done.returncode == 0, done.stderr
        until(lambda: service.client.get("/readyz").status_code == 200, "the restored index is in use")
        assert ask(service) == answers


def test_a_backup_of_a_restored_system_is_the_same(backup: Path, target: Place) -> None:
    restore(target, backup.read_bytes())
    engine, again = open_database(target.database_url), io.BytesIO()
    write_backup(engine, target.store, again)
    engine.dispose()
    (target.data_dir / "again.tar").write_bytes(again.getvalue())
    first, second = members_of(backup), members_of(target.data_dir / "again.tar")
    assert first.keys() == second.keys()
    assert {name for name in first if first[name] != second[name]} <= {HEADER, DIGESTS}  # when it was made


def test_what_is_there_is_not_lost_unless_told(backup: Path, empty_place: Place) -> None:
    empty_place.fill(3)
    before = state_of(empty_place)
    done = empty_place.run("restore", str(backup))
    assert done.returncode == 1
    assert "3 images" in done.stderr
    assert "--replace" in done.stderr
    assert state_of(empty_place) == before
    done = empty_place.run("restore", str(backup), "--replace")
    assert done.returncode == 0, done.stderr
    assert state_of(empty_place)[0] == RECORDS


def test_a_replaced_catalogue_takes_its_new_index_and_no_older_revision(backup: Path, empty_place: Place) -> None:
    empty_place.fill(10)
    empty_place.build(empty_place.checkpoint("other", seed=5))
    engine = open_database(empty_place.database_url)
    for record in make_records(30):
        Catalogue(engine).put(record)
    revision = Catalogue(engine).revision()
    engine.dispose()
    restore(empty_place, backup.read_bytes(), replace=True)
    count, new_revision, version = state_of(empty_place)
    assert count == RECORDS
    assert new_revision > revision
    assert version == json.loads(members_of(backup)[HEADER])["index_version"]


def swap(name: str, old: bytes, new: bytes) -> Callable[[Members], Members]:
    def damage(members: Members) -> Members:
        assert old in members[name]
        return members | {name: members[name].replace(old, new, 1)}

    return damage


def vectors_damaged(members: Members) -> Members:
    name = next(name for name in members if name.endswith("/vectors.npy"))
    return members | {name: members[name][:-1] + bytes([members[name][-1] ^ 1])}


DAMAGES: dict[str, tuple[Callable[[Members], Members], str]] = {
    "no backup": (lambda members: {"readme.txt": b"hello"}, "no backup of SceneRank"),
    "another format": (swap(HEADER, b'"format_version":1', b'"format_version":2'), "format version 2"),
    "cut off": (lambda members: dict(list(members.items())[:-1]), "not whole"),
    "a changed image": (swap(IMAGES, b"horse", b"house"), "checksum"),
    "an image that is missing": (
        lambda members: members | {IMAGES: members[IMAGES].split(b"\n", 1)[1]},
        "checksum",
    ),
    "a row that is none": (swap(IMAGES, b'{"id":', b'{"name":'), "line 1"),
    "a graph that is none": (swap(IMAGES, b'"graph":"{', b'"graph":"['), "line 1"),
    "damaged vectors": (vectors_damaged, "checksum"),
    "a path that leads out": (lambda members: {HEADER: members[HEADER], "index/../../evil": b"x"}, "does not belong"),
    "an absolute path": (lambda members: {HEADER: members[HEADER], "/tmp/evil": b"x"}, "does not belong"),
}  # fmt: skip


def test_a_damaged_backup_changes_nothing(backup: Path, empty_place: Place) -> None:
    members = members_of(backup)
    for alter, message in DAMAGES.values():
        with pytest.raises(DataError, match=message):
            restore(empty_place, packed(alter(members)))
        assert state_of(empty_place) == (0, 0, None)
        assert not list(empty_place.data_dir.glob("index/*"))


def test_half_a_file_changes_nothing(backup: Path, empty_place: Place) -> None:
    data = backup.read_bytes()
    for size in (0, 100, len(data) // 2, len(data) - 20_000):
        with pytest.raises(DataError):
            restore(empty_place, data[:size])
        assert state_of(empty_place) == (0, 0, None)


def test_links_are_refused(backup: Path, empty_place: Place) -> None:
    members = members_of(backup)
    with pytest.raises(DataError, match="does not belong"):
        restore(empty_place, packed({HEADER: members[HEADER]}, links={"index/link": "/etc/passwd"}))


def test_a_damaged_index_is_not_backed_up(empty_place: Place, tmp_path: Path) -> None:
    empty_place.fill(20)
    version = empty_place.build(empty_place.checkpoint("first")).version
    vectors = empty_place.store.directory(version) / "vectors.npy"
    vectors.write_bytes(vectors.read_bytes()[:-1] + b"?")
    engine = open_database(empty_place.database_url)
    with pytest.raises(IndexVersionError, match="checksum"):
        write_backup(engine, empty_place.store, io.BytesIO())
    engine.dispose()
    done = empty_place.run("backup", "--out", str(tmp_path / "backup.tar"))
    assert done.returncode == 1
    assert list(tmp_path.glob("*.tar")) == list(tmp_path.glob(".*")) == []


def test_a_backup_is_of_one_moment(empty_place: Place) -> None:
    """Images that come while it is written are not in it, though they come before what is still to be read."""
    engine = open_database(empty_place.database_url)
    catalogue = Catalogue(engine)
    catalogue.upsert(make_records(20))

    class Slow(io.BytesIO):
        changed = False

        def write(self, data: Buffer) -> int:
            if not self.changed:
                self.changed = True
                catalogue.delete(next(iter(make_records(20))).image_id)
            return super().write(data)

    file = Slow()
    summary = write_backup(engine, empty_place.store, file)
    assert file.changed
    assert summary.images == 20
    assert summary.catalogue_revision < catalogue.revision()
    engine.dispose()


def test_nothing_is_restored_beside_a_reindex(backup: Path, empty_place: Place) -> None:
    engine = open_database(empty_place.database_url)
    jobs = Jobs(engine, 30)
    jobs.enqueue(checkpoint="somewhere")
    with pytest.raises(ReindexRunningError):
        restore_backup(engine, IndexStore(empty_place.data_dir), jobs, io.BytesIO(backup.read_bytes()))
    engine.dispose()


def test_a_catalogue_without_an_index_goes_through_pipes(new_database: NewDatabase, tmp_path: Path) -> None:
    here = Place(database_url=new_database(), data_dir=tmp_path / "here")
    there = Place(database_url=new_database(), data_dir=tmp_path / "there")
    here.fill(20)
    scenerank = [sys.executable, "-m", "scenerank"]
    backup = subprocess.run(
        [*scenerank, "backup", "--out", "-"],
        env=here.environment,
        capture_output=True,
        timeout=4 * PATIENCE,
        check=True,
    )
    assert b"20 images" in backup.stderr
    assert b"no index" in backup.stderr
    command, environment = [*scenerank, "restore", "-"], there.environment
    done = subprocess.run(
        command, env=environment, input=backup.stdout, capture_output=True, timeout=4 * PATIENCE, check=True
    )
    assert b"index build" in done.stdout
    assert state_of(there) == state_of(here)
