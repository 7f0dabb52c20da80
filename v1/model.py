"""
The values everything else is about. Frozen, without behaviour that needs a clock or a network.

Numbers are decimal text throughout, digit for digit as the provider sent them; `None` means
that nobody said a number. Times are unix seconds, UTC.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple, NewType, Self

Metric = NewType("Metric", str)
"""One market, `EXCHANGE:PAIR`, upper case: `KRAKEN:BTCUSD`."""

MINUTE = 60
HOUR = 3600
DAY = 86400


def find_hour(tick: int) -> int:
    """Return the hour whose set holds `tick`: hours are open at their start, closed at their end."""
    return (tick - 1) // HOUR * HOUR


def list_hours(after: int, until: int) -> range:
    """Return the hours that may hold a tick in (after, until], oldest first."""
    return range(find_hour(after + 1), find_hour(until) + 1, HOUR)


class Measure(StrEnum):
    """One number sampled of a metric. The order is the order inside a stored sample."""

    PRICE = "price"
    """Last price, in the quote currency."""
    VOLUME = "volume"
    """Traded in the last 24 hours, in the base currency."""
    CHANGE_PERCENTAGE = "change_percentage"
    """Change of the price over 24 hours, in percent."""
    CHANGE_ABSOLUTE = "change_absolute"
    """Change of the price over 24 hours, in the quote currency."""
    INTERVAL_VOLUME = "interval_volume"
    """Traded since the previous sample, in the base currency."""
    INTERVAL_RETURN = "interval_return"
    """Change of the price since the previous sample, in percent."""


MEASURES = tuple(Measure)


class By(StrEnum):
    """What a rank is made by."""

    STDDEV = "stddev"
    """Population standard deviation over the day, in the measure's own unit."""
    CV = "cv"
    """Coefficient of variation: that deviation divided by the absolute mean; has no unit."""


class Sample(NamedTuple):
    """All measures of one metric at one tick."""

    tick: int
    """The instant on the sampling grid, unix seconds."""
    values: tuple[str | None, ...]
    """One decimal text per measure, in the order of `MEASURES`."""

    @classmethod
    def make(cls, tick: int, values: Mapping[Measure, str | None]) -> Self:
        """Return a sample of which `values` are known."""
        return cls(tick, tuple([values.get(measure) for measure in MEASURES]))

    def value(self, measure: Measure) -> str | None:
        return self.values[MEASURES.index(measure)]

    def replace_value(self, measure: Measure, value: str | None) -> Self:
        """Return the sample with another number of one measure."""
        place = MEASURES.index(measure)
        return self._replace(values=(*self.values[:place], value, *self.values[place + 1 :]))


class Reading(NamedTuple):
    """What a source heard of one metric, before it becomes a sample."""

    price: str
    volume: str | None = None
    change_percentage: str | None = None
    change_absolute: str | None = None
    interval_volume: str | None = None
    provider_time: int | None = None
    """When the provider says the numbers are from, unix seconds; `None` where it does not say."""


class Candle(NamedTuple):
    """One finished minute of trading, [start, start + 60), as a provider or a recording tells it."""

    start: int
    """Unix seconds, a multiple of the candle's length."""
    open: str
    high: str
    low: str
    close: str
    volume: str
    """Traded in the base currency."""


class RankPlace(NamedTuple):
    """A metric's place among all metrics by one measure."""

    metric: Metric
    rank: int
    """1 is the largest; equal values share a place (1, 1, 3)."""
    value: float
    """Deviation or coefficient of variation, correctly rounded."""
    samples: int
    """How many numbers of the day are behind it."""
