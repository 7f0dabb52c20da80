"""
What the simulated market's pairs say: prices, volumes, outages, as exact text and a function of (seed,
pair, time). Pure: no clock, no network, no state but a cache.

A pair's price is that of its base over that of its quote, at a number of places that fits it; its volume
follows the base's activity. The two ways to ask agree to the last digit: what `reading` says of a tick
follows from what `candles` gives, by the rules in `worker.candles`.
"""

from array import array
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from itertools import accumulate
from math import exp
from typing import NamedTuple

from worker.latest import DAY, MINUTE, Candle, Metric, Reading, decimals
from worker.latest.market import compute_change_percentage
from worker.sources.simulated.assets import BELL, MINUTES, AssetWalk, SimulatedAssets
from worker.sources.simulated.catalogue import SimulatedPair, list_pairs

_OUTAGE = 10
"""Odds, in 256, that a pair has an outage on a day."""
_WICK = 1000 * 255**2
"""High and low are away from open and close by up to a thousandth, seldom so much: a byte squared over this."""


@cache
def _amounts(idle: int) -> tuple[float, ...]:
    """Return a table that turns a byte into the amount of a minute, 1 in the mean: few large, many small ones."""
    traded = 256 - idle
    return (0.0,) * idle + tuple(exp(0.8 * BELL[step * 256 // traded] - 0.32) * 256 / traded for step in range(traded))


class PairDay(NamedTuple):
    """One day of a pair, in units of the last place."""

    closes: "array[int]"
    """Price at midnight, and at the end of each minute."""
    traded: "array[int]"
    """Volume since midnight, likewise."""
    wicks: bytes
    """How far high and low are away, two bytes a minute."""
    outage: range
    """Minutes without a candle."""


class SimulatedPairs:
    """All pairs of one seed."""

    def __init__(self, seed: int) -> None:
        self._assets = SimulatedAssets(seed)
        self.all: Mapping[Metric, SimulatedPair] = {pair.metric: pair for pair in list_pairs(self._assets.draw_bytes)}
        # Yesterday, today and tomorrow of each: 26 kB a pair and day.
        self.day = lru_cache(maxsize=3 * len(self.all))(self._day)

    def make_reading(self, pair: SimulatedPair, at: int, interval: int) -> Reading | None:
        """Return what the exchange says at `at`; `None` where nothing was heard of the pair for `interval` seconds."""
        minutes = range((at - interval) // MINUTE * MINUTE, at, MINUTE)
        last = next((start for start in reversed(minutes) if self._is_trading(pair, start)), None)
        if last is None:
            return None
        now, listed = min(at, last + MINUTE), pair.find_listing_time(last)
        price = self._price(pair, now)
        volume = percentage = absolute = None
        if at - DAY >= listed + MINUTE:
            yesterday = self._price(pair, at - DAY)
            volume = self._volume(pair, at - DAY, now)
            absolute = decimals.format_decimal(decimals.subtract(price, yesterday))
            percentage = compute_change_percentage(price, yesterday)
        interval_volume = self._volume(pair, max(at - interval, listed), now)
        return Reading(decimals.format_decimal(price), volume, percentage, absolute, interval_volume, now)

    def make_candles(self, pair: SimulatedPair, start: int, end: int) -> Iterator[Candle]:
        """Return the candles with start <= candle.start < end, oldest first, also those that are still to come."""
        for day in range(start // DAY, -(-end // DAY)):
            first, beyond = (-(-(instant - day * DAY) // MINUTE) for instant in (start, end))
            known = self.day(pair.metric, day)
            for minute in range(max(0, first), min(MINUTES, beyond)):
                opens = day * DAY + minute * MINUTE
                if pair.is_listed(opens) and minute not in known.outage:
                    yield _candle(pair, known, opens, minute)

    def _is_trading(self, pair: SimulatedPair, start: int) -> bool:
        day, second = divmod(start, DAY)
        return pair.is_listed(start) and second // MINUTE not in self.day(pair.metric, day).outage

    def _price(self, pair: SimulatedPair, at: int) -> decimals.Number:
        day, minute, second = _place(at)
        return _between(self.day(pair.metric, day).closes, minute, second), pair.price_places

    def _volume(self, pair: SimulatedPair, after: int, until: int) -> str:
        (first, *since), (last, *to) = _place(after), _place(until)
        units = sum(self.day(pair.metric, day).traded[-1] for day in range(first, last))
        units += _between(self.day(pair.metric, last).traded, *to)
        units -= _between(self.day(pair.metric, first).traded, *since)
        return decimals.format_decimal((units, pair.volume_places))

    def _day(self, metric: Metric, day: int) -> PairDay:
        pair = self.all[metric]
        base, quote = self._assets.walk(pair.base, day), self._assets.walk(pair.quote, day)
        outage = self._outage(metric, day)
        noise = self._assets.draw_bytes("minutes", metric, day, 4 * MINUTES)
        volumes = _volumes(pair, base, noise[:MINUTES], outage)
        closes = _closes(pair, base, quote, noise[MINUTES : 2 * MINUTES])
        for minute, volume in enumerate(volumes):
            if not volume:
                closes[minute + 1] = closes[minute]
        return PairDay(array("q", closes), array("q", accumulate(volumes, initial=0)), noise[2 * MINUTES :], outage)

    def _outage(self, metric: Metric, day: int) -> range:
        """Return the minutes of the day in which the pair is not heard of; never near midnight."""
        noise = self._assets.draw_bytes("outage", metric, day, 4)
        if noise[0] >= _OUTAGE:
            return range(0)
        start = 30 + int.from_bytes(noise[1:3]) * (MINUTES - 120) // 2**16
        return range(start, start + 5 + noise[3] // 4)


def _volumes(pair: SimulatedPair, base: AssetWalk, noise: bytes, outage: range) -> list[int]:
    amounts = _amounts(pair.idle)
    volumes = [int(pair.rate * busy * amounts[byte]) for busy, byte in zip(base.activity, noise, strict=True)]
    for minute in outage:
        volumes[minute] = 0
    # Midnight's price follows from the assets alone, so that yesterday ends where today starts: that is a trade.
    volumes[-1] = max(1, volumes[-1])
    return volumes


def _closes(pair: SimulatedPair, base: AssetWalk, quote: AssetWalk, noise: bytes) -> list[int]:
    logs = [above - below for above, below in zip(base.logs, quote.logs, strict=True)]
    for minute, byte in enumerate(noise[1:], 1):
        logs[minute] += pair.bounce * BELL[byte]
    scale = pair.level * 10**pair.price_places
    return [max(1, int(scale * exp(log_price) + 0.5)) for log_price in logs]


def _place(at: int) -> tuple[int, int, int]:
    """Return day, minute and second; midnight is the end of a day here, not the start of one."""
    day = (at - 1) // DAY
    return day, *divmod(at - day * DAY, MINUTE)


def _between(numbers: "array[int]", minute: int, second: int) -> int:
    """Return what lies `second` seconds after the end of `minute`, on a straight line to the next."""
    number = numbers[minute]
    return number + (numbers[minute + 1] - number) * second // MINUTE if second else number


def _candle(pair: SimulatedPair, day: PairDay, start: int, minute: int) -> Candle:
    first, last = day.closes[minute], day.closes[minute + 1]
    volume = day.traded[minute + 1] - day.traded[minute]
    opened, close = (
        decimals.format_decimal((first, pair.price_places)),
        decimals.format_decimal((last, pair.price_places)),
    )
    high, low = (opened, close) if first > last else (close, opened)
    if volume:
        top, bottom = max(first, last), min(first, last)
        up, down = top * day.wicks[2 * minute] ** 2 // _WICK, bottom * day.wicks[2 * minute + 1] ** 2 // _WICK
        high, low = (
            decimals.format_decimal((top + up, pair.price_places)),
            decimals.format_decimal((bottom - down, pair.price_places)),
        )
    return Candle(start, opened, high, low, close, decimals.format_decimal((volume, pair.volume_places)))
