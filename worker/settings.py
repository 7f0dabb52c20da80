"""What the worker reads from its environment, beside what every process of the version reads."""

from difflib import get_close_matches
from typing import Annotated, Self

from pydantic import AnyHttpUrl, Field, SecretStr, field_validator, model_validator

from worker.latest import PREFIX, Settings, Words, words

SOURCES = ("cryptowatch", "kraken", "binance", "simulated")


class WorkerSettings(Settings):
    """`TRACKER_SOURCES=binance TRACKER_METRICS='BINANCE:*' scripts/start-worker.sh`."""

    sources: Annotated[Words, Field(min_length=1)] = ("kraken",)
    """Who is asked, commas between; where two have a metric, the first one gives it."""
    metrics: Annotated[Words, Field(min_length=1)] = ("KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:XRPUSD")
    """What is sampled, commas between: `KRAKEN:BTCUSD`, all of an exchange `KRAKEN:*`, or everything `*`."""
    kraken_url: AnyHttpUrl = AnyHttpUrl("https://api.kraken.com")
    """Where Kraken, or what answers like it, is asked."""
    binance_url: AnyHttpUrl = AnyHttpUrl("https://data-api.binance.vision")
    """Where Binance, or what answers like it, is asked."""
    cryptowatch_url: AnyHttpUrl | None = None
    """Where a server that answers like Cryptowatch is asked; the service itself closed in 2023."""
    cryptowatch_api_key: SecretStr | None = None
    """The key for that server, if it wants one."""

    @field_validator("sources", "metrics", mode="before")
    @classmethod
    def _split_words(cls, value: object) -> object:
        return words(value)

    @field_validator("sources")
    @classmethod
    def _are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in SOURCES:
                near = get_close_matches(name, SOURCES, 1)
                meant = f"; did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"there is no source {name!r}, only {', '.join(SOURCES)}{meant}")
        return tuple(dict.fromkeys(value))

    @field_validator("metrics")
    @classmethod
    def _are_metrics(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wishes = tuple(wish.upper() for wish in value)
        for wish in wishes:
            exchange, colon, pair = wish.partition(":")
            if wish != "*" and not (exchange and colon and pair and wish.isprintable() and " " not in wish):
                raise ValueError(f"{wish!r} is not a metric: write EXCHANGE:PAIR, EXCHANGE:* or *")
        return wishes

    @model_validator(mode="after")
    def _cryptowatch_has_an_address(self) -> Self:
        if "cryptowatch" in self.sources and self.cryptowatch_url is None:
            raise ValueError(
                f"{PREFIX}CRYPTOWATCH_URL is missing: Cryptowatch closed in 2023, name a server that answers like it"
            )
        return self
