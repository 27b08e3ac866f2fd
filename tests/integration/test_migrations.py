"""The tables, from nothing and from every earlier state, on real databases."""

import subprocess
import sys
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from service.catalogue import Catalogue
from service.database import connected, open_database
from service.errors import CatalogueError
from service.schema import downgrade_schema, schema_revision
from service.tables import SCHEMA_REVISION, Base
from tests.factories import make_records
from tests.integration.conftest import NewDatabase, Place

# As the release before there were migrations made them.
OLD_TABLES = """
CREATE TABLE schema_version (id INTEGER NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (id));
CREATE TABLE images (id VARCHAR(200) {collate} NOT NULL, url TEXT, width INTEGER, height INTEGER, graph TEXT NOT NULL,
    updated_at {moment} NOT NULL, PRIMARY KEY (id));
CREATE TABLE jobs (id VARCHAR(36) NOT NULL, kind VARCHAR(32) NOT NULL, state VARCHAR(16) NOT NULL, slot VARCHAR(32),
    idempotency_key VARCHAR(200), checkpoint TEXT NOT NULL, done INTEGER NOT NULL, total INTEGER NOT NULL,
    index_version VARCHAR(64), error TEXT, created_at {moment} NOT NULL, started_at {moment},
    heartbeat_at FLOAT NOT NULL, finished_at {moment}, PRIMARY KEY (id), UNIQUE (slot), UNIQUE (idempotency_key));
CREATE INDEX ix_jobs_state ON jobs (state);
INSERT INTO images VALUES ('a', 'http://a', 640, NULL,
    '{{"objects":[{{"id":"m","name":"man"}}],"relationships":[]}}', '2026-01-02 03:04:05.000000');
INSERT INTO schema_version VALUES (1, 1)
"""


def make_old(url: str) -> None:
    """A database of the earlier release, with one image."""
    with connected(url) as engine, engine.begin() as connection:
        postgres = engine.dialect.name == "postgresql"
        tables = OLD_TABLES.format(
            collate='COLLATE "C"' if postgres else "", moment="TIMESTAMP WITH TIME ZONE" if postgres else "DATETIME"
        )
        for statement in tables.split(";\n"):
            connection.exec_driver_sql(statement)
    engine.dispose()


def differences(url: str) -> list[Any]:
    with connected(url) as engine, engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        found = compare_metadata(context, Base.metadata)
    engine.dispose()
    return list(found)


def test_an_empty_database_gets_the_tables_of_the_models(new_database: NewDatabase) -> None:
    url = new_database()
    engine = open_database(url)

    assert Catalogue(engine).revision() == 0
    assert differences(url) == []
    with engine.connect() as connection:
        assert schema_revision(connection) == SCHEMA_REVISION
        assert not inspect(connection).has_table("schema_version")
    engine.dispose()


def test_the_last_migration_is_the_one_that_the_program_wants() -> None:
    assert ScriptDirectory("service/migrations").get_heads() == [SCHEMA_REVISION]


def test_a_database_of_the_earlier_release_is_taken_over_with_its_images(new_database: NewDatabase) -> None:
    url = new_database()
    make_old(url)
    engine = open_database(url)
    catalogue = Catalogue(engine)

    image = catalogue.get("a")

    assert image is not None
    assert (image.url, image.width, image.height, image.metadata) == ("http://a", 640, None, None)
    assert image.graph["objects"][0]["name"] == "man"
    assert differences(url) == []
    catalogue.put(make_records(1)[0])
    assert [change.image_id for chunk in catalogue.changes(0) for change in chunk] == ["image-0000"]
    engine.dispose()


def test_down_and_up_again_keeps_the_images(new_database: NewDatabase) -> None:
    url = new_database()
    engine = open_database(url)
    records = make_records(20)
    ids = [record.image_id for record in records]
    Catalogue(engine).upsert(records)
    Catalogue(engine).delete(ids.pop())
    before = Catalogue(engine).get_many(ids)

    downgrade_schema(engine, "0001")

    with engine.connect() as connection:
        assert schema_revision(connection) == "0001"
        assert connection.scalar(text("SELECT version FROM schema_version")) == 1
        assert connection.scalar(text("SELECT count(*) FROM images")) == 19
    engine.dispose()
    again = open_database(url)
    assert Catalogue(again).get_many(ids) == before
    assert Catalogue(again).revision() == 0
    assert differences(url) == []
    again.dispose()


@pytest.mark.parametrize("revision", [SCHEMA_REVISION, "0099", "base", "-1"])
def test_going_back_to_what_did_not_come_before_is_refused(new_database: NewDatabase, revision: str) -> None:
    engine = open_database(new_database())
    with pytest.raises(CatalogueError, match="before it came 0001"):
        downgrade_schema(engine, revision)
    engine.dispose()


@pytest.mark.parametrize("statement", ["UPDATE alembic_version SET version_num = '0099'", None])
def test_tables_of_a_newer_release_are_refused_and_left_alone(new_database: NewDatabase, statement: str | None) -> None:
    url = new_database()
    if statement is None:
        make_old(url)
        statement = "UPDATE schema_version SET version = 99"
    else:
        open_database(url).dispose()
    with connected(url) as engine, engine.begin() as connection:
        connection.exec_driver_sql(statement)
        tables = inspect(connection).get_table_names()

    with pytest.raises(CatalogueError, match=r"schema revision 0*99, this program knows 0\d+; upgrade the program"):
        open_database(url)

    assert inspect(engine).get_table_names() == tables
    engine.dispose()


@pytest.mark.parametrize("old", [False, True])
def test_many_processes_may_start_at_once(new_database: NewDatabase, *, old: bool) -> None:
    url = new_database()
    if old:
        make_old(url)
    program = "import sys; from service.database import open_database; sys.stdin.read(); open_database(sys.argv[1])"
    processes = [
        subprocess.Popen([sys.executable, "-c", program, url], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    errors = []
    for process in processes:
        assert process.stderr is not None
        with process.stderr as stderr:
            errors.append(stderr.read().decode())
        process.wait()

    assert errors == [""] * 4
    assert differences(url) == []


def test_there_is_nothing_to_import_where_there_is_nothing_to_do(new_database: NewDatabase) -> None:
    url = new_database()
    open_database(url).dispose()
    program = "import sys; from service.database import open_database; open_database(sys.argv[1]); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program, url], capture_output=True, text=True, check=True).stdout
    assert "sqlalchemy" in loaded.split()
    assert "alembic" not in loaded.split()


def test_the_commands_show_and_change_the_revision(empty_place: Place) -> None:
    assert "no tables yet" in empty_place.run("database", "status").stdout
    upgraded = empty_place.run("database", "upgrade")
    assert (upgraded.returncode, f"revision {SCHEMA_REVISION}" in upgraded.stdout) == (0, True)
    empty_place.fill(3)
    assert empty_place.run("database", "downgrade", "0001").returncode == 0
    status = empty_place.run("database", "status").stdout
    assert "revision 0001" in status
    assert "`scenerank database upgrade`" in status
    refused = empty_place.run("database", "downgrade", "0000")
    assert refused.returncode != 0
    assert "there is no revision '0000' to go back to" in refused.stderr
    assert "Traceback" not in refused.stderr
