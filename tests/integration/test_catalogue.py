"""The catalogue and the jobs on real databases."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, update

from model.collection import ImageRecord
from model.errors import DataError
from model.formats import write_graph
from service import catalogue as catalogue_module
from service.catalogue import Catalogue
from service.database import open_database
from service.errors import CatalogueError, ForgottenError, NotFoundError, ReindexRunningError
from service.jobs import Jobs
from service.tables import Job
from tests.factories import make_records
from tests.integration.conftest import NewDatabase

RECORDS = make_records(30)


@pytest.fixture
def database(new_database: NewDatabase) -> Iterator[Engine]:
    engine = open_database(new_database())
    yield engine
    engine.dispose()


@pytest.fixture
def catalogue(database: Engine) -> Catalogue:
    return Catalogue(database)


@pytest.fixture
def jobs(database: Engine) -> Jobs:
    return Jobs(database, timeout=30)


def test_an_image_is_kept_whole(catalogue: Catalogue) -> None:
    record = replace(RECORDS[0], image_id="ä/日本 1", url=None, width=None)
    catalogue.upsert([record])

    image = catalogue.get("ä/日本 1")

    assert image is not None
    assert (image.url, image.width, image.height) == (None, None, 480)
    assert image.graph == write_graph(record.graph)
    assert image.updated_at.tzinfo is not None
    assert catalogue.get("another") is None


def test_importing_twice_is_importing_once(catalogue: Catalogue) -> None:
    told: list[int] = []
    catalogue.upsert(RECORDS)
    before = catalogue.get_many([record.image_id for record in RECORDS])

    assert catalogue.upsert(RECORDS, told.append) == sum(told) == 30

    assert catalogue.count() == 30
    assert catalogue.get_many([record.image_id for record in RECORDS]) == before, "unchanged, their times too"


def test_a_changed_image_is_replaced_and_its_time_tells(catalogue: Catalogue) -> None:
    catalogue.upsert(RECORDS)
    before = catalogue.get("image-0003")
    catalogue.upsert([replace(RECORDS[3], url="https://images.example/new.jpg"), replace(RECORDS[4], width=None)])

    after = catalogue.get("image-0003")

    assert before is not None
    assert after is not None
    assert after.url == "https://images.example/new.jpg"
    assert after.updated_at > before.updated_at
    assert catalogue.get_many(["image-0003", "image-0005", "none"]).keys() == {"image-0003", "image-0005"}
    assert catalogue.count() == 30


def test_of_several_records_with_one_id_the_last_counts(catalogue: Catalogue) -> None:
    catalogue.upsert([RECORDS[0], replace(RECORDS[0], width=1)])
    image = catalogue.get(RECORDS[0].image_id)
    assert image is not None
    assert (catalogue.count(), image.width) == (1, 1)


def test_images_stream_as_text_in_the_order_of_code_points(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue_module, "STREAM_CHUNK", 4)
    ids = ["b", "B", "a", "Z", "10", "9", "_", "é", "-", "aa", "A a", "日"]
    metadata = {"caption": "line\none \u2028 \0 日本", "tags": [1, None, {"a": 0.5}]}
    catalogue.upsert(
        replace(record, image_id=image_id, metadata=metadata if image_id < "a" else None)
        for record, image_id in zip(RECORDS, ids, strict=False)
    )

    chunks = list(catalogue.stream())

    images = [image for chunk in chunks for image in chunk]
    assert max(map(len, chunks)) == 4
    assert [image.image_id for image in images] == sorted(ids)
    for image in images:
        expected = catalogue.get(image.image_id)
        assert expected is not None
        assert json.loads(image.graph) == expected.graph
        assert json.loads(image.fields) == {
            "url": expected.url,
            "width": expected.width,
            "height": expected.height,
            "metadata": expected.metadata,
            "updated_at": expected.updated_at.isoformat(),
        }
        assert "\n" not in image.fields + image.graph, "it ends a record of an index version"


@pytest.mark.parametrize("image_id", ["", "x" * 201, "a\0b", "a\nb", "\ud800"])
def test_an_id_that_cannot_be_kept_is_refused(catalogue: Catalogue, image_id: str) -> None:
    with pytest.raises(DataError, match="image id"):
        catalogue.upsert([ImageRecord(image_id=image_id, graph=RECORDS[0].graph, url=None, width=None, height=None)])
    assert catalogue.count() == 0


def test_a_url_that_cannot_be_kept_is_refused(catalogue: Catalogue) -> None:
    with pytest.raises(DataError, match="the url of image"):
        catalogue.upsert([replace(RECORDS[0], url="https://images.example/\0")])


def test_there_is_one_reindex_at_a_time(jobs: Jobs) -> None:
    job, is_new = jobs.enqueue(checkpoint="c")
    assert (job.state, job.checkpoint, is_new) == ("enqueued", "c", True)
    with pytest.raises(ReindexRunningError, match=job.id):
        jobs.enqueue(checkpoint="c")

    assert jobs.start(job.id)
    assert not jobs.start(job.id), "started once"
    with pytest.raises(ReindexRunningError):
        jobs.enqueue(checkpoint="c")

    jobs.succeed(job.id, "v1")
    done = jobs.get(job.id)
    assert (done.state, done.index_version) == ("succeeded", "v1")
    assert done.started_at is not None
    assert done.finished_at is not None
    assert done.created_at <= done.started_at <= done.finished_at
    assert jobs.enqueue(checkpoint="c")[1]


def test_one_key_is_one_job(jobs: Jobs) -> None:
    first, _ = jobs.enqueue(checkpoint="c", idempotency_key="k")
    assert jobs.enqueue(checkpoint="c", idempotency_key="k") == (first, False)
    jobs.fail(first.id, "broken")
    again, is_new = jobs.enqueue(checkpoint="c", idempotency_key="k")
    assert (again.id, again.state, is_new) == (first.id, "failed", False)
    assert jobs.enqueue(checkpoint="c", idempotency_key="l")[1]


@pytest.mark.parametrize("keys", [[None] * 8, ["k"] * 8])
def test_of_many_requests_at_once_one_gets_the_slot(jobs: Jobs, keys: list[str | None]) -> None:
    outcomes: list[tuple[str, bool]] = []

    def ask(key: str | None) -> None:
        try:
            job, is_new = jobs.enqueue(checkpoint="c", idempotency_key=key)
            outcomes.append((job.id, is_new))
        except ReindexRunningError as error:
            outcomes.append((error.job_id, False))

    threads = [threading.Thread(target=ask, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(outcomes) == len(keys)
    assert len({job_id for job_id, _ in outcomes}) == 1
    assert sum(is_new for _, is_new in outcomes) == 1


@pytest.mark.parametrize("running", [False, True])
def test_a_job_whose_process_is_silent_has_failed(database: Engine, jobs: Jobs, *, running: bool) -> None:
    job, _ = jobs.enqueue(checkpoint="c")
    if running:
        jobs.start(job.id)
    with database.begin() as connection:
        connection.execute(update(Job).values(heartbeat_at=time.time() - 31))

    dead = jobs.get(job.id)

    assert (dead.state, "died" in str(dead.error)) == ("failed", True)
    assert not jobs.report(job.id, done=1, total=2), "it has been given up"
    assert not jobs.fail(job.id, "later"), "it has ended already"
    assert jobs.enqueue(checkpoint="c")[1], "the slot is free"


def test_a_job_that_dies_while_it_switches_does_not_say_that_the_index_stayed(database: Engine, jobs: Jobs) -> None:
    job, _ = jobs.enqueue(checkpoint="c")
    jobs.start(job.id)
    assert jobs.switch(job.id, "v2")
    with database.begin() as connection:
        connection.execute(update(Job).values(heartbeat_at=time.time() - 31))

    dead = jobs.get(job.id)

    assert (dead.state, dead.index_version) == ("failed", "v2")
    assert "stayed as it was" not in str(dead.error)
    assert "GET /index" in str(dead.error)
    assert not jobs.switch(job.id, "v2"), "it has been given up"


@pytest.mark.parametrize("ahead", [-3600, 3600])
def test_clocks_of_other_hosts_decide_nothing(
    database: Engine, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    job, _ = jobs.enqueue(checkpoint="c")
    jobs.start(job.id)
    now = time.time()
    with monkeypatch.context() as other_host:
        other_host.setattr(time, "time", lambda: now + ahead)
        assert jobs.get(job.id).state == "running"
        jobs.report(job.id, done=1, total=2)
    assert jobs.get(job.id).state == "running"
    with database.begin() as connection:
        connection.execute(update(Job).values(heartbeat_at=now - 31))
    assert jobs.get(job.id).state == "failed"


def test_reports_keep_a_job_alive(database: Engine, jobs: Jobs) -> None:
    job, _ = jobs.enqueue(checkpoint="c")
    jobs.start(job.id)
    with database.begin() as connection:
        connection.execute(update(Job).values(heartbeat_at=time.time() - 31))
    assert jobs.report(job.id, done=3, total=7)

    alive = jobs.get(job.id)
    assert (alive.state, alive.done, alive.total) == ("running", 3, 7)


def test_an_unknown_job_is_not_found(jobs: Jobs) -> None:
    with pytest.raises(NotFoundError):
        jobs.get("none")


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("nonsense", "is not a database URL"),
        ("oracle9://x", "is not a database URL"),
        ("sqlite://", "must name a file"),
        ("mysql+pymysql://x", "SQLite or PostgreSQL, not mysql"),
        ("postgresql://user:secret@127.0.0.1:1/none", r"user:\*\*\*@127.0.0.1:1/none cannot be opened"),
        ("sqlite:////proc/none/scenerank.db", "cannot be opened"),
    ],
)
def test_a_database_that_cannot_be_opened_is_told_without_its_password(url: str, what: str) -> None:
    with pytest.raises(CatalogueError, match=what) as caught:
        open_database(url)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("not a database, but a file with some text in it " * 100)
    with pytest.raises(CatalogueError, match="cannot be opened"):
        open_database(f"sqlite:///{tmp_path}/x.db")


def test_changes_tell_all_that_has_changed_since_and_each_write_has_the_next_revision(catalogue: Catalogue) -> None:
    catalogue.upsert(RECORDS)
    start = catalogue.revision()
    assert [change for chunk in catalogue.changes(start) for change in chunk] == []

    catalogue.upsert(RECORDS)
    assert catalogue.revision() == start, "nothing has changed"
    assert catalogue.delete("image-0001")
    assert not catalogue.delete("image-0001")
    stored, is_new = catalogue.put(replace(RECORDS[2], url="https://images.example/new"))
    assert (stored.url, is_new) == ("https://images.example/new", False)
    assert catalogue.revision() == start + 2
    changes = {change.image_id: change.image for chunk in catalogue.changes(start) for change in chunk}

    assert set(changes) == {"image-0001", "image-0002"}
    assert changes["image-0001"] is None
    assert "images.example/new" in (changes["image-0002"] or pytest.fail("it is there")).fields
    catalogue.put(RECORDS[1])
    (again,) = [change for chunk in catalogue.changes(start + 2) for change in chunk]
    assert (again.image_id, again.image is None) == ("image-0001", False)
    catalogue.delete("image-0001")
    assert catalogue.prune_removed(start + 3) == 0
    assert catalogue.prune_removed(start + 4) == 1
    assert catalogue.prune_removed(start) == 0
    assert list(catalogue.changes(start + 4)) == []
    with pytest.raises(ForgottenError, match=f"revision {start + 4} "):
        list(catalogue.changes(start + 3))


def test_images_are_counted_again_only_after_a_change(catalogue: Catalogue) -> None:
    other = Catalogue(catalogue._engine)
    asked: list[str] = []
    event.listen(catalogue._engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    for change, count in ((lambda: None, 0), (lambda: other.upsert(RECORDS[:3]), 3), (lambda: other.delete("x"), 3),
                          (lambda: other.delete("image-0001"), 2)):  # fmt: skip
        change()
        assert [catalogue.count(), catalogue.count()] == [count, count]
    assert sum("count(" in statement for statement in asked) == 3


def test_an_image_that_is_removed_between_two_chunks_is_not_missed(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.catalogue.STREAM_CHUNK", 2)
    catalogue.upsert(RECORDS)
    seen: dict[str, bool] = {}
    for position, chunk in enumerate(catalogue.changes(0)):
        seen |= {change.image_id: change.image is not None for change in chunk}
        if position == 0:
            catalogue.delete("image-0000")  # has been told already
            catalogue.delete("image-0029")  # has not
            catalogue.put(replace(RECORDS[10], width=7))

    assert seen.keys() == {record.image_id for record in RECORDS}
    assert {image_id for image_id, there in seen.items() if not there} == {"image-0000", "image-0029"}
