"""A disk that is full for a while: what cannot be kept is refused, what was acknowledged stays, searches go on."""

import errno
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.factories import make_records, write_records
from tests.integration.conftest import ADMIN, NewDatabase, Place, Service, serving, until
from tests.integration.test_service_load import with_settings

GRAPH: Final[dict[str, Any]] = {"objects": ["man", "horse"], "relationships": [[0, "riding", 1]]}
IMAGES: Final = 200
DISK: Final = 16  # megabytes
TRIES: Final = 200  # changes until the database really needs more room


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs", str(directory)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not mount a file system")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@contextmanager
def full(disk: Path, *, but: int = 0) -> Iterator[None]:
    """Fill a file system, leaving some bytes."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        file.truncate(max(0, file.tell() - but))
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def nothing_written_by(service: Service) -> Iterator[None]:
    """Refuse a service and its children every write to a file."""
    pid = service.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def fill(place: Place) -> Place:
    place.fill(IMAGES)
    place.build(place.checkpoint("first"))
    return place


def put(service: Service, image_id: str) -> httpx.Response:
    return service.client.put(f"/images/{image_id}", json={"graph": GRAPH}, headers=ADMIN)


def found(service: Service) -> set[str]:
    return {item["image_id"] for item in service.search(GRAPH, limit=1000).raise_for_status().json()["results"]}


def change_until_refused(service: Service, within: Callable[[], AbstractContextManager[None]]) -> None:
    """Changes of which some find no room; those that were acknowledged are there, then and afterwards."""
    kept, refused = set(), None
    with within():
        for number in range(TRIES):
            answer = put(service, f"new-{number}")
            if answer.status_code == 503:
                refused = answer.json()
                break
            assert answer.status_code == 201, answer.text
            kept.add(f"new-{number}")
        assert refused is not None, "the disk is not full"
        assert refused["type"] == "urn:scenerank:problem:database-unavailable"
        assert "full" in refused["detail"]
        assert len(found(service)) >= IMAGES
        assert service.client.get("/images/image-0001").status_code == 200
    assert put(service, "after").status_code == 201
    until(lambda: {*kept, "after"} <= found(service), "what was acknowledged is found")
    assert len(found(service)) == IMAGES + len(kept) + 1


def test_changes_on_a_full_disk(disk: Path) -> None:
    """PostgreSQL's disk is its own."""
    place = fill(Place(database_url=f"sqlite:///{disk}/scenerank.db", data_dir=disk / "data"))
    graphs = write_records(disk.parent / "graphs.jsonl", make_records(4000, seed=5))
    with serving(place) as service:
        change_until_refused(service, lambda: full(disk))
        before = found(service)
        with full(disk, but=256 * 1024):
            command = place.run("import", str(graphs))
            assert (command.returncode, "Traceback" in command.stderr) == (1, False), command.stderr
            assert "has room" in command.stderr
        assert place.run("import", str(graphs)).returncode == 0
        until(lambda: service.client.get("/index").json()["count"] == 4000 + len(before) - IMAGES, "all are found")


def test_changes_where_no_file_may_grow(tmp_path: Path) -> None:
    place = fill(Place(database_url=f"sqlite:///{tmp_path}/scenerank.db", data_dir=tmp_path / "data"))
    with serving(place, stderr=subprocess.DEVNULL) as service:
        change_until_refused(service, lambda: nothing_written_by(service))


def test_a_reindex_on_a_full_disk_leaves_the_old_version_and_the_next_one_succeeds(
    disk: Path, new_database: NewDatabase
) -> None:
    place = fill(Place(database_url=new_database(), data_dir=disk / "data"))
    version = place.store.directory(place.store.current() or "")
    size = sum(path.stat().st_size for path in version.rglob("*") if path.is_file())
    with serving(with_settings(place, JOB_TIMEOUT="60")) as service:
        for share in (0.0, 0.5, 0.9):
            with full(disk, but=int(share * size)):
                job = service.ended(service.reindex().headers["Location"])
                assert job["state"] == "failed", job
                assert "No space left on device" in job["error"], job
                assert len(found(service)) == IMAGES
            assert service.client.get("/index").json()["version"] == version.name
            assert not list((disk / "data" / "index" / "staging").iterdir())
        job = service.ended(service.reindex().headers["Location"])
        assert job["state"] == "succeeded", job["error"]
        until(lambda: service.client.get("/index").json()["version"] != version.name, "the new one is in use")
        assert service.client.get("/readyz").json()["status"] == "ready"
