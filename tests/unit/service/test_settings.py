from pathlib import Path

import pytest

from model.errors import ConfigError
from service.database import open_database
from service.settings import Settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "DATA_DIR", "CHECKPOINT", "ADMIN_KEYS", "SEARCH_KEYS"):
        monkeypatch.delenv(f"SCENERANK_{name}", raising=False)


def test_the_database_is_in_the_data_directory_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCENERANK_DATA_DIR", "/srv/data")
    assert str(Settings.load().database) == "sqlite:////srv/data/scenerank.db"
    assert Settings.load().index_dir == Path("/srv/data/index")

    monkeypatch.setenv("SCENERANK_DATABASE_URL", "postgresql://db/scenes")
    assert Settings.load().database == "postgresql://db/scenes"


@pytest.mark.parametrize("name", ["what?now", "100%41", "a#b", "a b"])
def test_the_data_directory_may_have_any_name(tmp_path: Path, name: str) -> None:
    settings = Settings.load(data_dir=tmp_path / name)
    open_database(settings.database).dispose()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "scenerank.db").is_file()


def test_a_child_process_gets_a_database_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.load(database_url="postgresql://db/scenes")
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    assert Settings.load().database == "postgresql://db/scenes"


@pytest.mark.parametrize("kind", ["admin", "search"])
def test_keys_are_split_at_commas_and_never_shown(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv(f"SCENERANK_{kind.upper()}_KEYS", " key-one,key-two ,,key-three")
    settings = Settings.load()

    keys = getattr(settings, f"{kind}_keys")
    assert [key.get_secret_value() for key in keys] == ["key-one", "key-two", "key-three"]
    assert "key-" not in repr(settings)


@pytest.mark.parametrize("value", ["", ",", " , "])
def test_no_admin_key_is_no_key_rather_than_an_empty_one(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SCENERANK_ADMIN_KEYS", value)
    assert Settings.load().admin_keys == ()


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCENERANK_CHECKPOINT", "")
    monkeypatch.setenv("SCENERANK_MAX_OBJECTS", "")
    assert (Settings.load().checkpoint, Settings.load().max_objects) == (None, 256)


@pytest.mark.parametrize(("name", "value"), [("MAX_OBJECTS", "many"), ("MAX_LIMIT", "0"), ("JOB_TIMEOUT", "-1")])
def test_an_impossible_value_is_told_by_the_variables_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"SCENERANK_{name}", value)
    with pytest.raises(ConfigError, match=f"SCENERANK_{name}: "):
        Settings.load()


def test_a_child_process_gets_the_same_settings_but_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/tmp")
    settings = Settings.load(data_dir=Path("data"), admin_keys=("key",), job_timeout=3.5)
    environment = settings.to_environment()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    child = Settings.load()

    assert child.data_dir == Path("/tmp/data")
    assert child.database == Settings.load(data_dir=Path("/tmp/data")).database
    assert child.job_timeout == 3.5
    assert child.admin_keys == ()


def test_a_key_may_stand_in_a_file_and_a_variable_goes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("service.settings.SECRETS_DIR", tmp_path)
    (tmp_path / "scenerank_admin_keys").write_text("one,two\n")
    (tmp_path / "scenerank_database_url").write_text("postgresql://host/database\n")
    monkeypatch.delenv("SCENERANK_ADMIN_KEYS", raising=False)
    monkeypatch.setenv("SCENERANK_DATABASE_URL", "sqlite://")
    settings = Settings.load()
    assert [key.get_secret_value() for key in settings.admin_keys] == ["one", "two"]
    assert settings.database == "sqlite://"


def test_no_directory_of_secrets_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("service.settings.SECRETS_DIR", tmp_path / "none")
    monkeypatch.delenv("SCENERANK_ADMIN_KEYS", raising=False)
    assert Settings.load().admin_keys == ()
