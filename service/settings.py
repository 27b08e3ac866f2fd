"""The service's settings: environment variables named SCENERANK_*."""

from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import URL

from model.errors import ConfigError
from service.logs import LogFormat

ENV_PREFIX: Final = "SCENERANK_"
SECRETS_DIR: Final = Path("/run/secrets")  # where Docker, and whoever does as it does, puts files for a container
MOST_WINDOW_OF_MILVUS: Final = 16_000  # it gives 16,384 hits, a few of which are needed to see ties


class Settings(BaseSettings):
    """What can be set; each field is the variable SCENERANK_<FIELD>, an empty variable counts as unset.

    Without the variable it is what the file SECRETS_DIR/scenerank_<field> holds: no key has to stand in an environment.

    Args:
        data_dir: where index versions live, and the SQLite database unless database_url names another.
        database_url: any SQLAlchemy URL; postgresql:// means psycopg 3.
        index_url: Milvus, `http://USER:PASSWORD@HOST:PORT/DATABASE`, or a path that ends in `.db` for milvus-lite; none
            set keeps vectors in files under data_dir.
        checkpoint: a training run or checkpoint that new index versions are built with, or `pretrained`.
        admin_keys: comma-separated keys, any of which opens the admin calls; none set closes them to everybody.
        search_keys: comma-separated keys, any of which opens searches and images, as an admin key does; none set opens
            them to everybody.
        pictures_dir: pictures in it are given by GET /images/{id}/picture where a `file:` URL names them.
        rate_limit: requests a second that each key, or each address without one, may make; none set is no limit.
        rate_burst: requests that it may make at once after a rest.
        workers: processes that answer; none set is one for each core that may be used, at most four, one with a GPU.
        max_objects, max_relationships: of a query graph.
        max_name_length: of any text in a query graph. Units: characters.
        max_body_bytes: of a request.
        max_limit: the largest `limit` of a search.
        max_window: the largest `offset + limit` of a search.
        max_queue: searches that may be under way or waiting at once, of all workers; more are refused with 503.
        batch_wait: while many ask, searches are done together that come within so long of each other; 0 lets none wait
            for another. Units: seconds.
        request_timeout: a search that has not been answered for so long is given up with 504. Units: seconds.
        drain_time: from SIGTERM, when /readyz turns 503, until nothing new is accepted. Units: seconds.
        log_format: `text` for lines, `json` for one JSON object a line.
        job_timeout: a job whose process has not reported for so long is taken for dead. Units: seconds.
        index_versions_kept: how many index versions stay on the disk, to go back to; the one in use always does.
        index_poll_interval: how often a process looks for a new index version and for changed images. Units: seconds.
    """

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_ignore_empty=True, frozen=True)

    data_dir: Path = Path("data")
    database_url: SecretStr | None = None
    index_url: SecretStr | None = None
    checkpoint: Path | None = None
    admin_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    search_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    pictures_dir: Path | None = None
    rate_limit: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    rate_burst: int = Field(default=20, ge=1)
    workers: int | None = Field(default=None, ge=1, le=64)
    max_objects: int = Field(default=256, ge=1)
    max_relationships: int = Field(default=1024, ge=0)
    max_name_length: int = Field(default=200, ge=1)
    max_body_bytes: int = Field(default=1024 * 1024, ge=1024)
    max_limit: int = Field(default=1000, ge=1)
    max_window: int = Field(default=10_000, ge=1)
    max_queue: int = Field(default=64, ge=1)
    batch_wait: float = Field(default=0.001, ge=0, le=1)
    request_timeout: float = Field(default=10.0, gt=0)
    drain_time: float = Field(default=1.0, ge=0)
    log_format: LogFormat = "text"
    job_timeout: float = Field(default=30.0, gt=0)
    index_versions_kept: int = Field(default=3, ge=1)
    index_poll_interval: float = Field(default=0.25, gt=0)

    @field_validator("admin_keys", "search_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        return tuple(key for part in value.split(",") if (key := part.strip())) if isinstance(value, str) else value

    @field_validator("max_window")
    @classmethod
    def _within_milvus(cls, value: int, info: ValidationInfo) -> int:
        if info.data.get("index_url") is not None and value > MOST_WINDOW_OF_MILVUS:
            raise ValueError(f"with SCENERANK_INDEX_URL it is at most {MOST_WINDOW_OF_MILVUS}, by a limit of Milvus")
        return value

    @classmethod
    def load(cls, **values: Any) -> Self:  # noqa: ANN401 (whatever the fields take)
        """The settings of the environment, those given here going first.

        Raises:
            ConfigError: a variable has an impossible value; the message names it.
        """
        if SECRETS_DIR.is_dir():
            values = {"_secrets_dir": SECRETS_DIR, **values}
        try:
            return cls(**values)
        except ValidationError as error:
            # Without the value: it may be a key or hold a password.
            lines = [f"{ENV_PREFIX}{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors()]
            raise ConfigError("; ".join(lines) + "; correct or unset the variable") from None

    @property
    def database(self) -> URL | str:
        """The database's URL."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return URL.create("sqlite", database=str(self.data_dir / "scenerank.db"))  # the path may hold a question mark

    @property
    def index_dir(self) -> Path:
        """Where index versions live."""
        return self.data_dir / "index"

    @property
    def checkpoints_dir(self) -> Path:
        """Where the checkpoints live that a request may name."""
        return self.data_dir / "checkpoints"

    def to_environment(self) -> dict[str, str]:
        """The variables that give a child process, which indexes, the same settings; keys stay here."""
        values = {
            "data_dir": str(self.data_dir.absolute()),
            "database_url": self.database_url.get_secret_value() if self.database_url is not None else "",
            "index_url": self.index_url.get_secret_value() if self.index_url is not None else "",
            "job_timeout": str(self.job_timeout),
            "index_versions_kept": str(self.index_versions_kept),
        }
        return {ENV_PREFIX + name.upper(): value for name, value in values.items()}
