"""What a process of this version reads from its environment. One frozen object, read once, passed down."""

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import quote

from pydantic import (
    AnyHttpUrl,
    Field,
    SecretStr,
    UrlConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, MultiHostUrl
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from . import checks
from .layers import WITHOUT_FILES, InvalidSettings, make_layers
from .redaction import find_addresses, find_secrets, hide_passwords

__all__ = ["PREFIX", "WITHOUT_FILES", "InvalidSettings", "Settings", "WordList", "split_words"]

PREFIX = "TRACKER_"
SOCKET = "redis.sock"
ARCHIVE = "archive.db"
USUAL_RATE = "600/minute"
USUAL_COST = "2000000/minute"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

RedisUrl = Annotated[MultiHostUrl, UrlConstraints(allowed_schemes=["redis", "rediss", "unix"])]
WordList = Annotated[tuple[str, ...], NoDecode]
"""A list, written with commas between."""

OUR_PATHS = (str(__package__).partition(".")[0], "latest", "health", "docs", "redoc", "page", "openapi.json", "metrics")
"""How the paths begin that are served."""
_ROOT_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+")

_KINDS = {"sqlite": "sqlite", "postgresql": "postgresql", "postgres": "postgresql"}
_DRIVEN = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
_SHOWN = frozenset({"database_url", "redis_url"})
"""Secrets that are shown when they are wrong, without the password in them."""
_HOST = re.compile(r"[A-Za-z0-9_.-]+|\[[0-9a-fA-F:.]+\]|\*")

split_words = checks.split_words


class Settings(BaseSettings):
    """`TRACKER_BIND=127.0.0.1:9000 scripts/start-api.sh`: from the environment, `.env`, or `tracker.toml`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, use_attribute_docstrings=True
    )
    secret_names: ClassVar[frozenset[str]] = frozenset({"api_keys", "database_url", "redis_url"})
    """Settings that hold something secret, or may. `TRACKER_<NAME>_FILE` names a file that each is read from."""

    bind: str = "127.0.0.1:8000"
    """Where the API and the page listen: `host:port`."""
    redis_url: RedisUrl | None = None
    """The Redis to use, `redis://`, `rediss://` or `unix://`, or nodes of a cluster with commas between; without one, the embedded server in `data_dir`."""
    partitions: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Into how many parts the data of a cluster is divided, for good, when its first worker starts; 64 if that is not said."""
    read_replicas: bool = False
    """The API reads from replicas of a cluster, from each for as long as it has all that was last changed."""
    database_url: str | None = None
    """Where the archive is kept, `sqlite+aiosqlite:///` or `postgresql+asyncpg://`; without one, SQLite in `data_dir`."""
    data_dir: Path = Path("data")
    """Where the embedded server keeps its files."""
    interval: Annotated[int, Field(ge=1, le=3600)] = 60
    """Seconds between two ticks."""
    min_coverage: Annotated[float, Field(ge=0, le=1)] = 0.5
    """A metric is ranked when its day has so much of the numbers that the most complete metric has, 0 to 1; 0: always."""
    api_keys: WordList = ()
    """Who may ask, by `Authorization: Bearer KEY`, for everything; empty: everybody, or as `keys_required` says."""
    keys_required: bool = False
    """Nobody is answered without a key: one that `scripts/keys.sh` makes, or one of `api_keys`, with which it is so anyway."""
    rate_limit: str = "auto"
    """Requests of a key, or of an address without one: `600/minute`, `off`, or `auto`: that where others than this machine may ask, else `off`."""
    cost_limit: str = "auto"
    """The same of points that are asked for: `auto` is `2000000/minute` where others may ask."""
    trusted_proxies: WordList = ()
    """Addresses and networks of proxies whose `Forwarded` and `X-Forwarded-*` are believed: `127.0.0.1`, `10.0.0.0/8`."""
    root_path: str | None = None
    """The path below which a proxy serves the API and the page: `/tracker`."""
    cors_origins: WordList = ()
    """Web pages of which origins may ask: `https://example.org`, or `*`."""
    open: bool = False
    """Listen beyond this machine although there are no keys."""
    public_url: AnyHttpUrl | None = None
    """Where people reach the page, for the links in messages; else `http://` and `bind`."""
    hosts: WordList = ()
    """Further names that the API may be asked by, beside `bind`, `public_url`, `localhost` and every IP address; `*`: any."""
    api_processes: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes that serve the API at one port, at most one for each processor core."""
    tls_cert: Path | None = None
    """A file with the certificate, and those between it and its authority, in PEM: HTTPS is spoken instead of HTTP."""
    tls_key: Path | None = None
    """The file with the key of `tls_cert`, in PEM and without a password."""
    connections: Annotated[int, Field(ge=8, le=100_000)] = 512
    """Connections to the API at once, at most."""
    client_connections: Annotated[int, Field(ge=1, le=100_000)] = 128
    """Connections of one client (an IPv4 address, an IPv6 network of 64 bits) at once, at most."""
    streams: Annotated[int, Field(ge=0, le=100_000)] = 256
    """Streams of events (`/stream` and `/ws`) at once, at most; each is one of the connections, too."""
    idle_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """How long a connection may wait between two requests."""
    request_seconds: Annotated[int, Field(ge=1, le=600)] = 10
    """How long a request may take to arrive, from its first byte to its last."""
    head_bytes: Annotated[int, Field(ge=1024, le=1024 * 1024)] = 16 * 1024
    """Bytes of a request line and its headers, at most."""
    cache_bytes: Annotated[int, Field(ge=0, le=2**40)] = 64 * 1024 * 1024
    """Bytes of answers that the API keeps in memory, at most, to send them again; 0: none."""
    access_log: bool = False
    """Log every request to the API: who asked for which path, the status, bytes and milliseconds of the answer."""
    piece_bytes: Annotated[int, Field(ge=0, le=1024**4)] = 64 * 1024 * 1024
    """Memory for hours of histories that the API keeps encoded, in bytes, at most; 0: none are kept."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important line that is logged."""
    log_format: Literal["console", "json"] = "console"
    """For people or for machines."""
    log_file: Path | None = None
    """Where the log goes instead of standard error."""

    @field_validator("*", mode="before")
    @classmethod
    def _strip_blanks(cls, value: object, info: ValidationInfo) -> object:
        """Take the blanks and line ends off that a file or a shell has put around it; a value of blanks is none."""
        if not isinstance(value, str):
            return value
        text = checks.strip_text(value)
        return text if text or not value else cls.model_fields[str(info.field_name)].get_default()

    @field_validator("api_keys", "cors_origins", "hosts", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return split_words(value)

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: str | None) -> str | None:
        """Take a URL with the driver that we use, named or not."""
        if value is None:
            return None
        scheme, colon, rest = value.partition("://")
        kind, plus, driver = scheme.partition("+")
        driven = _DRIVEN.get(_KINDS.get(kind, ""), "")
        is_driven = driven and (not plus or driver == driven.partition("+")[2])
        has_place = rest.strip("/") and (kind != "sqlite" or rest.startswith("/"))
        if not colon or not is_driven or not has_place:
            raise ValueError(
                "must be sqlite+aiosqlite:///path/of/a/file (four slashes before an absolute one) "
                "or postgresql+asyncpg://user:password@host/database"
            )
        address = f"{driven}://{rest}"
        return address if kind == "sqlite" else checks.check_postgresql_address(address)

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: MultiHostUrl | None) -> MultiHostUrl | None:
        if value is not None:
            checks.check_redis_address(str(value))
        return value

    @field_validator("bind")
    @classmethod
    def _check_bind(cls, value: str) -> str:
        return checks.check_host_and_port(value)

    @field_validator("api_keys")
    @classmethod
    def _check_api_keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(checks.check_api_key(each) for each in value)

    @field_validator("rate_limit", "cost_limit")
    @classmethod
    def _check_limit(cls, value: str) -> str:
        return checks.check_usage_limit(value)

    @field_validator("trusted_proxies")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(checks.check_network(each) for each in value)

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(checks.check_origin(each) for each in value)

    @field_validator("root_path")
    @classmethod
    def _check_root_path(cls, value: str | None) -> str | None:
        """Take a path without the slash at its end, which begins with no path of our own: it would be taken for that."""
        path = (value or "").rstrip("/")
        if path and not _ROOT_PATH.fullmatch(path):
            raise ValueError("must be a path of letters, digits and . _ ~ -: /tracker, /team/tracker; or empty")
        if path.split("/")[1:2] and path.split("/")[1] in OUR_PATHS:
            raise ValueError(f"must not begin with a path of our own: {', '.join(OUR_PATHS)}")
        return path or None

    @field_validator("hosts")
    @classmethod
    def _check_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            if not _HOST.fullmatch(host):
                raise ValueError(f"{host!r} is not a host: write tracker.example.org, without scheme and port, or *")
        return tuple(host.lower().rstrip(".") for host in value)

    @field_validator("interval")
    @classmethod
    def _divides_the_hour(cls, value: int) -> int:
        # Hours are made of whole ticks, or an hour mean would have a different number behind it each time.
        if 3600 % value:
            raise ValueError("must divide an hour: 1, 5, 10, 15, 30, 60, 300, ...")
        return value

    @model_validator(mode="after")
    def _stays_at_home_without_keys(self) -> Self:
        if self.host not in LOOPBACK and not self.is_guarded and not self.open:
            raise ValueError(
                f"{PREFIX}BIND: {self.bind!r} listens beyond this machine; "
                f"set {PREFIX}API_KEYS or {PREFIX}KEYS_REQUIRED=yes, or {PREFIX}OPEN=yes if everybody may ask"
            )
        return self

    @model_validator(mode="after")
    def _takes_certificate_and_key(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            missing = "TLS_KEY" if self.tls_cert else "TLS_CERT"
            raise ValueError(f"{PREFIX}{missing}: is not set; HTTPS takes both {PREFIX}TLS_CERT and {PREFIX}TLS_KEY")
        return self

    @property
    def host(self) -> str:
        return self.bind.rpartition(":")[0]

    @property
    def is_guarded(self) -> bool:
        """Whether nobody is answered without a key."""
        return self.keys_required or bool(self.api_keys)

    def list_usage_limits(self) -> dict[str, str]:
        """Return the limits that are in force, as they are written, by what they count."""
        # On loopback without a proxy whoever asks is a program of this machine, and could as well ask Redis.
        is_exposed = self.host not in LOOPBACK or bool(self.trusted_proxies)
        limits = {}
        for name, given, usual in (("requests", self.rate_limit, USUAL_RATE), ("points", self.cost_limit, USUAL_COST)):
            chosen = (usual if is_exposed else checks.NO_LIMIT) if given == checks.AUTOMATIC else given
            if chosen != checks.NO_LIMIT:
                limits[name] = chosen
        return limits

    @property
    def redis_address(self) -> str:
        """The server to connect to, as a URL."""
        return str(self.redis_url) if self.redis_url else f"unix://{quote(str((self.data_dir / SOCKET).absolute()))}"

    @property
    def archive_address(self) -> str:
        """The database to connect to, as a URL."""
        return self.database_url or f"{_DRIVEN['sqlite']}:///{quote(str((self.data_dir / ARCHIVE).absolute()))}"

    @property
    def secrets(self) -> frozenset[str]:
        """Every text in here that nobody may see: keys, tokens, the passwords of addresses."""
        given = [getattr(self, name) for name in type(self).model_fields]
        hidden = {value.get_secret_value() for value in given if isinstance(value, SecretStr)}
        listed = [each for value in given for each in (value if isinstance(value, tuple) else (value,))]
        urls = [str(each) for each in listed if isinstance(each, MultiHostUrl | AnyHttpUrl)] + [self.archive_address]
        return frozenset({*hidden, *self.api_keys, *(secret for url in urls for secret in find_secrets(url))} - {""})

    @property
    def addresses(self) -> frozenset[str]:
        """Where our servers are, which is nobody's business who has no key."""
        return frozenset(find_addresses(self.redis_address) | find_addresses(self.archive_address))

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *_: PydanticBaseSettingsSource, **named: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (named["init_settings"], *make_layers(settings_cls, cls.secret_names))

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read the environment. Raises `WrongSettings` that names each setting, its value and what is accepted."""
        try:
            return cls(**given)
        except ValidationError as error:
            raise InvalidSettings("\n".join(cls._line(detail) for detail in error.errors())) from error
        except (SettingsError, ValueError, OSError, RecursionError) as error:
            raise InvalidSettings(f"the settings cannot be read: {error}") from error

    @classmethod
    def _line(cls, detail: ErrorDetails) -> str:
        reason = detail["msg"].removeprefix("Value error, ")
        if not detail["loc"]:
            return reason
        name = str(detail["loc"][0])
        # Whoever reads the log need not know a secret. Of an address its password is one.
        shown = "what is set" if name in cls.secret_names - _SHOWN else hide_passwords(repr(detail["input"]))
        return f"{PREFIX}{name.upper()}: {shown} is not accepted: {reason}"
