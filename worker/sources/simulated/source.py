"""The simulated market behind the contract of a source. What the market does is decided in `pairs` and `assets`."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from aiohttp import ClientSession

from worker.latest import DAY, HOUR, MINUTE, Candle, Measure, Metric, Reading
from worker.sources.base import SourceProfile, make_wish_filter
from worker.sources.pair_names import UnknownPair, find_missing, find_pair
from worker.sources.simulated.catalogue import EXCHANGE, SimulatedPair
from worker.sources.simulated.pairs import SimulatedPairs

NAME = "simulated"


class SimulatedSource:
    """
    A source that is never away and asks nobody. It has no clock: `fetch_candles` of the future are given, too.

    A pair that is not listed yet, or not any more, is among `metrics` and gives no readings.
    """

    name = NAME
    pace = 0.0
    lead = DAY + 2 * HOUR
    """A day, and more than the longest outage: something must precede the day, or nothing can be derived."""
    profile = SourceProfile(
        EXCHANGE,
        (
            *(Measure.PRICE, Measure.VOLUME, Measure.CHANGE_PERCENTAGE, Measure.CHANGE_ABSOLUTE),
            Measure.INTERVAL_VOLUME,
        ),
        minutes=None,
        hours=0,
        requests="none: it is made up here",
        limits="none",
    )

    def __init__(self, wishes: Sequence[str], interval: int = MINUTE, seed: int = 1) -> None:
        self._wishes = wishes
        self._interval = interval
        self._market = SimulatedPairs(seed)
        self._pairs: dict[Metric, SimulatedPair] = {}
        self._rejects: Counter[str] = Counter()
        self._dead: Collection[Metric] = ()

    async def open(self, session: ClientSession) -> Mapping[Metric, str]:  # noqa: ARG002  # the contract's
        known = self._market.all
        is_wanted = make_wish_filter(self._wishes, EXCHANGE)
        self._pairs = {metric: pair for metric, pair in known.items() if is_wanted(find_pair(metric))}
        return find_missing(NAME, self._wishes, EXCHANGE, [find_pair(metric) for metric in known])

    @property
    def metrics(self) -> Sequence[Metric]:
        return tuple(self._pairs)

    @property
    def dead(self) -> Collection[Metric]:
        return self._dead

    async def fetch(self, session: ClientSession, at: int) -> Mapping[Metric, Reading]:  # noqa: ARG002  # the contract's
        heard = {metric: self._market.make_reading(pair, at, self._interval) for metric, pair in self._pairs.items()}
        readings = {metric: reading for metric, reading in heard.items() if reading is not None}
        if len(readings) < len(heard):
            self._rejects["not trading"] += len(heard) - len(readings)
        self._dead = [metric for metric, pair in self._pairs.items() if not pair.is_listed(at)]
        self._make_some_of_tomorrow(at)
        return readings

    def _make_some_of_tomorrow(self, at: int) -> None:
        # All pairs' new day at the first tick after midnight would take ten times as long as any other tick.
        if at % DAY >= DAY - HOUR:
            ticks = HOUR // self._interval
            for metric in self.metrics[at % HOUR // self._interval :: ticks]:
                self._market.day(metric, at // DAY + 1)

    async def fetch_candles(self, session: ClientSession, metric: Metric, start: int, end: int) -> Sequence[Candle]:  # noqa: ARG002  # the contract's
        # Nothing here waits, so a caller that asks for many pairs would keep everybody else from running.
        await asyncio.sleep(0)
        if metric not in self._pairs:
            raise UnknownPair(f"{NAME} does not give {metric}")
        return list(self._market.make_candles(self._pairs[metric], start, end))

    @property
    def rejects(self) -> Mapping[str, int]:
        return self._rejects
