"""What the worker reads from its environment, beside what every process of the version reads."""

import re
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, Self

from pydantic import AnyHttpUrl, Field, SecretStr, WebsocketUrl, field_validator, model_validator

from worker.latest import DAY, HOUR
from worker.latest.archive import PartitionLength
from worker.latest.settings import (
    PREFIX,
    InvalidSettings,
    Settings,
    WordList,
    check_host_and_port,
    check_key,
    find_secret_parts,
    find_secrets,
    list_written,
    name_file_setting,
    split_words,
)
from worker.settings.ccxt_names import EXTRA, find_exchange_ids, is_ccxt, name_exchange, split_source
from worker.settings.proxies import ProxySettings, is_proxy
from worker.settings.servers import UrlList, list_servers, parse_named_addresses

SOURCES = ("cryptowatch", "kraken", "binance", "coinbase", "simulated")
CCXT_SOURCE = "ccxt:ID"
"""How the sources are written that ccxt has, for people."""
PUSHOVER = "pushover"
SHORTEST_SECRET = 16
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
LONGEST_BACKFILL = 366 * DAY

_NEXT_URL = re.compile(r"[,\s]+(?=(?:[\w-]+=)?[a-zA-Z][a-zA-Z0-9+.-]*://)")
"""Between two URLs of a list: they may have commas inside."""
_NAMED_URL = re.compile(r"(?:([a-z0-9][a-z0-9_-]{0,31})=)?([a-zA-Z][a-zA-Z0-9+.-]*)(://\S+)")
_BY_KUBERNETES = re.compile(r"_(?:service_(?:host|port)|port)(?:_|$)")
"""What it sets by itself for a service that is called like us: `TRACKER_REDIS_PORT=tcp://...`."""
_LENGTH = re.compile(r"(0|[1-9][0-9]{0,3}(?=[hd]))([hd]?)")


class NotifyTarget(NamedTuple):
    """A way to a person, as `TRACKER_NOTIFY` names it."""

    name: str
    url: str
    """There may be secrets in it, so it is not shown."""

    @property
    def is_webhook(self) -> bool:
        return self.url.startswith(WEBHOOK)


WEBHOOK = "webhook+"


class WorkerSettings(Settings):
    """`TRACKER_SOURCES=binance TRACKER_METRICS='BINANCE:*' scripts/start-worker.sh`."""

    secret_names: ClassVar[frozenset[str]] = Settings.secret_names | {
        "coinmarketcap_api_key",
        "cryptocompare_api_key",
        "cryptowatch_api_key",
        "heartbeat_url",
        "notify",
        "proxy",
        "pushover_token",
        "pushover_user",
        "webhook_secret",
    }

    sources: Annotated[WordList, Field(min_length=1)] = ("kraken",)
    """Who is asked, commas between; where two have a metric, the first one that answers in time gives it."""
    metrics: Annotated[WordList, Field(min_length=1)] = ("KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:XRPUSD")
    """What is sampled, commas between: `KRAKEN:BTCUSD`, all of an exchange `KRAKEN:*`, or everything `*`."""
    jump_limit: Annotated[int, Field(ge=2, le=1000)] = 3
    """A price that is so many times the last one, or as small a part of it, waits for a second look, or another source."""
    kraken_url: UrlList = (AnyHttpUrl("https://api.kraken.com"),)
    """Where Kraken, or what answers like it, is asked; of several servers, commas between, the first that answers serves."""
    binance_url: UrlList = (AnyHttpUrl("https://data-api.binance.vision"),)
    """Where Binance, or what answers like it, is asked; several as above."""
    coinbase_url: UrlList = (AnyHttpUrl("https://api.exchange.coinbase.com"),)
    """Where Coinbase Exchange, or what answers like it, is asked; several as above."""
    cryptowatch_url: UrlList | None = None
    """Where servers that answer like Cryptowatch are asked, several as above; the service itself closed in 2023."""
    cryptowatch_api_key: SecretStr | None = None
    """The key for that server, if it wants one."""
    ccxt_urls: WordList = ()
    """Where exchanges of ccxt are asked instead, `kraken=https://...`, commas between; of several for one, as above."""
    source_streams: bool = False
    """Whether `kraken` and `binance` are sampled by their WebSocket streams, and asked only where those are not known to be good."""
    kraken_stream_url: WebsocketUrl = WebsocketUrl("wss://ws.kraken.com/v2")
    """Where Kraken's WebSocket v2, or what speaks like it, is."""
    binance_stream_url: WebsocketUrl = WebsocketUrl("wss://data-stream.binance.vision")
    """Where Binance's streams, or what speaks like them, are."""
    proxy: SecretStr | None = None
    """The HTTP proxy for providers, Pushover and the heartbeat, `http://[user:password@]host:port`; else `HTTPS_PROXY`'s."""
    budget_percent: Annotated[int, Field(ge=1, le=95)] = 95
    """How much of what a provider allows an address is used; less where other programs ask from the same one."""
    egress: Annotated[str, Field(pattern="^[A-Za-z0-9._-]{1,64}$")] = "direct"
    """A name for the address that providers see us come from: workers on one Redis with the same name share their limits."""
    pushover_token: SecretStr | None = None
    """The application's token; with `pushover_user`, alerts are sent through Pushover."""
    pushover_user: SecretStr | None = None
    """The key of the user, or group, that they are sent to."""
    pushover_url: AnyHttpUrl = AnyHttpUrl("https://api.pushover.net")
    """Where Pushover, or what answers like it, is asked."""
    pushover_emergency: bool = False
    """Critical alerts are repeated every minute, for an hour, until somebody acknowledges them or they are over."""
    pushover_connections: Annotated[int, Field(ge=1, le=2)] = 1
    """Messages on their way at once. Each that is when we are killed may come twice."""
    notify: SecretStr | None = None
    """Further channels, `[name=]url` with commas between: Apprise's URLs, and `webhook+https://...`."""
    webhook_secret: SecretStr | None = None
    """What webhooks are signed with; 16 characters or more."""
    webhook_private: bool = False
    """Webhooks may go to addresses that are not on the internet."""
    heartbeat_url: AnyHttpUrl | None = None
    """Called about once a minute while ticks are committed, so that somebody else notices when they are not."""
    share: bool = False
    """Whether all workers of a cluster share its metrics; else one feeds them, and the others stand by for it."""
    rules_file: Path | None = None
    """Alert rules in TOML, beside those of the API; read again when it changes."""
    journal_bytes: Annotated[int, Field(ge=1024**2, le=1024**4)] = 1024**3
    """Bytes of files in `data_dir` for ticks that wait while Redis is away for long, at most; the oldest make room."""
    keep_answers: Annotated[int, Field(ge=0, le=168)] = 0
    """For how many hours the providers' answers are kept in `data_dir`, packed, to be replayed; 0: not at all."""
    keep_answers_bytes: Annotated[int, Field(ge=1024**2, le=1024**4)] = 256 * 1024**2
    """Bytes of files with answers, at most; the oldest make room."""
    worker_metrics_bind: str | None = None
    """Where the worker serves its metrics to Prometheus, `host:port` (`127.0.0.1:9101`); without one, nowhere."""
    alert_days: Annotated[int, Field(ge=1, le=365)] = 30
    """How long alerts, and what became of their messages, are kept."""

    archive_backfill: Annotated[int, Field(ge=0, le=LONGEST_BACKFILL)] = 7 * DAY
    """How far back the providers are asked for hours that the archive lacks: `36h`, `7d`; 0: not at all."""
    archive_days: Annotated[int, Field(ge=2)] | None = None
    """How many days the archive keeps; without a number all."""
    archive_grace: Annotated[int, Field(ge=0, le=HOUR)] = 90
    """Seconds after its end that an hour waits for late samples before it is closed."""
    archive_partitions: PartitionLength = PartitionLength.MONTH
    """How long the ranges are that new partitions in PostgreSQL hold, `month` or `week`; those that are there stay."""

    top_size: Annotated[int, Field(ge=10, le=5000)] = 200
    """How many coins the top list has."""
    top_margin: Annotated[int, Field(ge=0, le=HOUR)] = 60
    """Seconds that a minute of the top list waits for lists that are due at it; what comes later is late."""
    coinmarketcap_url: AnyHttpUrl = AnyHttpUrl("https://pro-api.coinmarketcap.com")
    """Where CoinMarketCap, or what answers like it, is asked for prices."""
    coinmarketcap_api_key: SecretStr | None = None
    """Its key. The top list is made when both providers have theirs."""
    coinmarketcap_credits: Annotated[int, Field(ge=1)] = 10_000
    """Credits of a month that may be used."""
    coinmarketcap_calls_per_minute: Annotated[int, Field(ge=1)] = 30
    """Calls a minute that its plan allows."""
    coinmarketcap_rows: Annotated[int, Field(ge=0, le=5000)] = 0
    """How many coins are priced, those of the largest volume; 0: as the top list, up to a whole credit."""
    cryptocompare_url: AnyHttpUrl = AnyHttpUrl("https://data-api.cryptocompare.com")
    """Where CryptoCompare's data API, or what answers like it, is asked for ranks."""
    cryptocompare_api_key: SecretStr | None = None
    """Its key."""
    cryptocompare_calls: Annotated[int, Field(ge=1)] = 11_000
    """Calls of a month that may be used."""

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read the environment. Raises `WrongSettings` as `Settings.load` does, and for a name that is no setting."""
        try:
            settings = super().load(**given)
        except InvalidSettings as error:
            raise InvalidSettings("\n".join([str(error), *_find_misspelt(cls)])) from error
        if wrong := _find_misspelt(cls):
            raise InvalidSettings("\n".join(wrong))
        return settings

    @field_validator("archive_backfill", mode="before")
    @classmethod
    def _parse_length(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        found = _LENGTH.fullmatch(value.strip())
        seconds = int(found[1]) * {"h": HOUR, "d": DAY}.get(found[2], 0) if found else -1
        if not 0 <= seconds <= LONGEST_BACKFILL:
            raise ValueError("must be a number of hours or days, up to 366d: 36h, 7d; or 0")
        return seconds

    @field_validator(
        "coinmarketcap_api_key", "cryptocompare_api_key", "cryptowatch_api_key", "pushover_token", "pushover_user"
    )
    @classmethod
    def _check_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_key(value.get_secret_value())
        return value

    @field_validator("worker_metrics_bind")
    @classmethod
    def _check_metrics_bind(cls, value: str | None) -> str | None:
        return None if value is None else check_host_and_port(value)

    @field_validator("ccxt_urls", "sources", "metrics", mode="before")
    @classmethod
    def _split_words(cls, value: object) -> object:
        return split_words(value)

    @field_validator("sources")
    @classmethod
    def _check_sources(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if is_ccxt(name):
                _check_ccxt(name)
            elif name not in SOURCES:
                near = get_close_matches(name, SOURCES, 1)
                known = [*near, *(f"ccxt:{each}" for each in (name,) if each in find_exchange_ids())]
                meant = f"; did you mean {known[0]!r}?" if known else ""
                raise ValueError(f"there is no source {name!r}, only {', '.join(SOURCES)} and {CCXT_SOURCE}{meant}")
        return tuple(dict.fromkeys(value))

    @field_validator("ccxt_urls")
    @classmethod
    def _check_ccxt_urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for exchange in parse_named_addresses(value):
            _check_ccxt(f"ccxt:{exchange}")
        return value

    @field_validator("metrics")
    @classmethod
    def _check_metrics(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wishes = tuple(wish.upper() for wish in value)
        for wish in wishes:
            exchange, colon, pair = wish.partition(":")
            if wish != "*" and not (exchange and colon and pair and wish.isprintable() and " " not in wish):
                raise ValueError(f"{wish!r} is not a metric: write EXCHANGE:PAIR, EXCHANGE:* or *")
            if "*" in exchange + pair and wish != "*" and (pair != "*" or "*" in exchange):
                raise ValueError(
                    f"{wish!r} is not accepted: * stands for all pairs; write EXCHANGE:PAIR, EXCHANGE:* or *"
                )
        return wishes

    @model_validator(mode="after")
    def _check_cryptowatch_url(self) -> Self:
        if "cryptowatch" in self.sources and self.cryptowatch_url is None:
            raise ValueError(
                f"{PREFIX}CRYPTOWATCH_URL is missing: Cryptowatch closed in 2023, name a server that answers like it"
            )
        return self

    @model_validator(mode="after")
    def _check_metrics_have_a_source(self) -> Self:
        # What cryptowatch has is known when it is asked. Metrics that nobody set stop no role that does not need them.
        if "cryptowatch" in self.sources or "metrics" not in self.model_fields_set:
            return self
        given = {name_exchange(source) for source in self.sources}
        for wish in self.metrics:
            exchange = wish.partition(":")[0]
            if wish != "*" and exchange not in given:
                raise ValueError(
                    f"{PREFIX}METRICS: no source gives {wish}: {PREFIX}SOURCES is {','.join(self.sources)}, "
                    f"and gives {', '.join(f'{name_exchange(name)}:*' for name in self.sources)}; "
                    f"{_suggest_source(exchange)}"
                )
        return self

    @model_validator(mode="after")
    def _check_metrics_stay_at_home(self) -> Self:
        host = (self.worker_metrics_bind or LOOPBACK[0]).rpartition(":")[0] or LOOPBACK[0]
        if host not in LOOPBACK and not self.api_keys and not self.open:
            raise ValueError(
                f"{PREFIX}WORKER_METRICS_BIND: {self.worker_metrics_bind!r} listens beyond this machine; "
                f"set {PREFIX}API_KEYS, or {PREFIX}OPEN=yes if everybody may ask"
            )
        return self

    @model_validator(mode="after")
    def _check_proxy(self) -> Self:
        # Said here, and not by a field: there may be a password in it.
        if self.proxy is not None and not is_proxy(self.proxy.get_secret_value()):
            raise ValueError(f"{PREFIX}PROXY must be http://host:port, or http://user:password@host:port")
        return self

    @model_validator(mode="after")
    def _check_channels(self) -> Self:
        # Said here, and not by a field: what a field says of a wrong value shows it, and these are secret.
        if (self.pushover_token is None) != (self.pushover_user is None):
            raise ValueError(f"{PREFIX}PUSHOVER_TOKEN and {PREFIX}PUSHOVER_USER go together, and one is missing")
        secret = self.webhook_secret.get_secret_value() if self.webhook_secret else ""
        if any(way.is_webhook for way in self.notify_targets) and len(secret) < SHORTEST_SECRET:
            raise ValueError(f"{PREFIX}WEBHOOK_SECRET must have {SHORTEST_SECRET} characters or more, to sign webhooks")
        names = [*([PUSHOVER] if self.pushover_token else []), *(way.name for way in self.notify_targets)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"{PREFIX}NOTIFY: two channels are called {twice!r}; give one a name: other={twice}://...")
        return self

    @property
    def notify_targets(self) -> tuple[NotifyTarget, ...]:
        """What `notify` names. Raises `ValueError`."""
        given = self.notify.get_secret_value().strip() if self.notify else ""
        return (
            tuple(_parse_target(place, text) for place, text in enumerate(_NEXT_URL.split(given), 1)) if given else ()
        )

    @property
    def secrets(self) -> frozenset[str]:
        """Every text in here that nobody may see; of addresses that are called with a secret in them, all of it."""
        urls = [way.url for way in self.notify_targets] + ([str(self.heartbeat_url)] if self.heartbeat_url else [])
        asked = [server.address for server in list_servers(self) if server.address]
        hidden = {secret for url in asked for secret in find_secrets(url)} - {""}
        return super().secrets | hidden | {part for url in urls for part in find_secret_parts(url)}

    @property
    def proxies(self) -> ProxySettings:
        """The proxies of this setting and of the environment."""
        return ProxySettings.read(self.proxy.get_secret_value() if self.proxy else None)

    @property
    def public_page(self) -> str:
        """Where people reach the page."""
        return str(self.public_url or f"{'https' if self.tls_cert else 'http'}://{self.bind}")


def list_written_names(kind: type[WorkerSettings]) -> set[str]:
    """Return the names of all settings that are written anywhere, without their prefix and in small letters."""
    return {name for _, given in list_written(kind) for name in given}


def _find_misspelt(kind: type[WorkerSettings]) -> list[str]:
    """Say which names are nobody's. The worker reads every setting there is, so it is the one to tell."""
    try:
        names = list_written_names(kind)
    except InvalidSettings:  # Said already, of the file.
        return []
    known = {*kind.model_fields, *map(name_file_setting, kind.secret_names)}
    return [
        f"{PREFIX}{name.upper()}: there is no such setting{_suggest(name, known)}"
        for name in sorted(names - known)
        if not _BY_KUBERNETES.search(f"_{name}")
    ]


def _check_ccxt(source: str) -> None:
    """Raise `ValueError` where ccxt is not installed, or does not know the exchange."""
    known = find_exchange_ids()
    if not known:
        raise ValueError(f"{source!r} needs the package ccxt, which is not installed; type: {EXTRA}")
    if split_source(source) not in known:
        near = get_close_matches(split_source(source), known, 3)
        nearest = f"; nearest: {', '.join(f'ccxt:{name}' for name in near)}" if near else ""
        raise ValueError(f"ccxt knows no exchange {split_source(source)!r}, but {len(known)} others{nearest}")


def _suggest_source(exchange: str) -> str:
    """Say what makes an exchange be sampled, as the end of a sentence."""
    name = exchange.lower()
    if name in SOURCES:
        return f"add {name} to {PREFIX}SOURCES"
    return f"add ccxt:{name} to {PREFIX}SOURCES" if name in find_exchange_ids() else "name another exchange"


def _suggest(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, 1)
    return f"; did you mean {PREFIX}{near[0].upper()}?" if near else ""


def _parse_target(place: int, text: str) -> NotifyTarget:
    found = _NAMED_URL.fullmatch(text)
    if not found:
        raise ValueError(f"{PREFIX}NOTIFY: entry {place} is not [name=]scheme://...")
    name, scheme, rest = found.groups()
    scheme = scheme.lower()
    if scheme.startswith(WEBHOOK) and scheme not in (f"{WEBHOOK}http", f"{WEBHOOK}https"):
        raise ValueError(f"{PREFIX}NOTIFY: entry {place}: a webhook is {WEBHOOK}https://... or {WEBHOOK}http://...")
    return NotifyTarget(name or scheme.partition("+")[0], scheme + rest)
