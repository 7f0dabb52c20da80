"""What a process of this version reads from its environment. One frozen object, read once, passed down."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote

from pydantic import AnyUrl, Field, UrlConstraints, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

PREFIX = "TRACKER_"
SOCKET = "redis.sock"
MOST_PORTS = 65535
ARCHIVE = "archive.db"
WITHOUT_FILES = "DATA_TRACKER_WITHOUT_FILES"
"""Set in the environment, neither `.env` nor `tracker.toml` is read: the demo's parts must not find real addresses there."""
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

RedisUrl = Annotated[AnyUrl, UrlConstraints(allowed_schemes=["redis", "rediss", "unix"])]
Words = Annotated[tuple[str, ...], NoDecode]
"""A list, written with commas between."""

_KINDS = {"sqlite": "sqlite", "postgresql": "postgresql", "postgres": "postgresql"}
_DRIVEN = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
_PASSWORD = re.compile(r"(//[^:/@]*):[^@]*@")


class WrongSettings(Exception):
    """The environment says something that cannot be meant; the message has one line per wrong setting."""


class Settings(BaseSettings):
    """`TRACKER_BIND=127.0.0.1:9000 scripts/start-api.sh`: from the environment, `.env`, or `tracker.toml`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        toml_file="tracker.toml",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    bind: Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\[\]]+):[0-9]{1,5}$")] = "127.0.0.1:8000"
    """Where the API and the page listen: `host:port`."""
    redis_url: RedisUrl | None = None
    """The Redis to use, `redis://`, `rediss://` or `unix://`; without one, the embedded server in `data_dir`."""
    database_url: str | None = None
    """Where the archive is kept, `sqlite+aiosqlite:///` or `postgresql+asyncpg://`; without one, SQLite in `data_dir`."""
    data_dir: Path = Path("data")
    """Where the embedded server keeps its files."""
    interval: Annotated[int, Field(ge=1, le=3600)] = 60
    """Seconds between two ticks."""
    api_keys: Words = ()
    """Who may ask, by `Authorization: Bearer KEY`; empty: everybody."""
    cors_origins: Words = ()
    """Web pages of which origins may ask: `https://example.org`, or `*`."""
    open: bool = False
    """Listen beyond this machine although there are no keys."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important line that is logged."""
    log_format: Literal["console", "json"] = "console"
    """For people or for machines."""
    log_file: Path | None = None
    """Where the log goes instead of standard error."""

    @field_validator("api_keys", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return words(value)

    @field_validator("database_url")
    @classmethod
    def _is_a_database(cls, value: str | None) -> str | None:
        """Take a URL with the driver that we use, named or not."""
        if value is None:
            return None
        scheme, colon, rest = value.partition("://")
        kind, plus, driver = scheme.partition("+")
        driven = _DRIVEN.get(_KINDS.get(kind, ""), "")
        if not colon or not rest.strip("/") or not driven or (plus and driver != driven.partition("+")[2]):
            raise ValueError(
                "must be sqlite+aiosqlite:///path/of/a/file (four slashes before an absolute one) "
                "or postgresql+asyncpg://user:password@host/database"
            )
        return f"{driven}://{rest}"

    @field_validator("bind")
    @classmethod
    def _is_a_port(cls, value: str) -> str:
        if int(value.rpartition(":")[2]) > MOST_PORTS:
            raise ValueError(f"a port is at most {MOST_PORTS}")
        return value

    @field_validator("interval")
    @classmethod
    def _divides_the_hour(cls, value: int) -> int:
        # Hours are made of whole ticks, or an hour mean would have a different number behind it each time.
        if 3600 % value:
            raise ValueError("must divide an hour: 1, 5, 10, 15, 30, 60, 300, ...")
        return value

    @model_validator(mode="after")
    def _stays_at_home_without_keys(self) -> Self:
        if self.host not in LOOPBACK and not self.api_keys and not self.open:
            raise ValueError(
                f"{PREFIX}BIND: {self.bind!r} listens beyond this machine; "
                f"set {PREFIX}API_KEYS, or {PREFIX}OPEN=yes if everybody may ask"
            )
        return self

    @property
    def host(self) -> str:
        return self.bind.rpartition(":")[0]

    @property
    def redis_address(self) -> str:
        """The server to connect to, as a URL."""
        return str(self.redis_url) if self.redis_url else f"unix://{quote(str((self.data_dir / SOCKET).absolute()))}"

    @property
    def archive_address(self) -> str:
        """The database to connect to, as a URL."""
        return self.database_url or f"{_DRIVEN['sqlite']}:///{quote(str((self.data_dir / ARCHIVE).absolute()))}"

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *_: PydanticBaseSettingsSource, **named: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        given = named["init_settings"], named["env_settings"]
        if WITHOUT_FILES in os.environ:
            return (*given, TomlConfigSettingsSource(settings_cls, None))
        return (*given, named["dotenv_settings"], TomlConfigSettingsSource(settings_cls))

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read the environment. Raises `WrongSettings` that names each setting, its value and what is accepted."""
        try:
            return cls(**given)
        except ValidationError as error:
            raise WrongSettings("\n".join(_line(detail) for detail in error.errors())) from error
        except (SettingsError, ValueError, OSError, RecursionError) as error:
            raise WrongSettings(f"the settings cannot be read: {error}") from error


def words(value: object) -> object:
    """Split a text at its commas; anything else stays as it is."""
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


def _line(detail: ErrorDetails) -> str:
    reason = detail["msg"].removeprefix("Value error, ")
    if not detail["loc"]:
        return reason
    # Whoever reads the log need not know the password of a database.
    given = _PASSWORD.sub(r"\1:***@", repr(detail["input"]))
    return f"{PREFIX}{str(detail['loc'][0]).upper()}: {given} is not accepted: {reason}"
