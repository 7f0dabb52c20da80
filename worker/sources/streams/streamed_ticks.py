"""
The readings of a tick: from the stream where it is known to be good, and by REST of everything else.

A metric is asked by REST where

    1. no live connection has shown that all of before the tick has come (a silent open stream),
    2. its subscription was refused, or its numbers of 24 hours have not come,
    3. it has been silent for so long that it should have moved by now,
    4. REST said something else than the stream, and nothing newer has come since.

Once a minute everything is asked, and compared. Where REST differs, its value is taken.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping

import structlog

from worker.latest import HOUR, MINUTE, Candle, Metric, Reading
from worker.sources.errors import SourceError, SourceRefused
from worker.sources.rejects import note_reject

from .events import Symbol
from .feed import StreamFeed
from .streamed_market import StreamedMarket

log = structlog.get_logger()

Ask = Callable[[int], Awaitable[Mapping[Metric, Reading]]]
"""Asks by REST for the numbers of a tick; raises `SourceError`."""

CHECK_SECONDS = MINUTE
RETRY_SECONDS = 10
"""After a comparison that failed."""
CACHE_SECONDS = 3
"""An answer by REST may be so old: providers keep it for two seconds, and its time is cut to the second."""
MOST_GRACE, SHARE_OF_INTERVAL = 1.0, 0.2
"""How long a tick waits for the streams, in seconds and of its interval."""
SHARE_OF_REST = 0.4
"""How much of an interval a tick waits for REST where it has readings by streams."""
DIFFERS = "stream differs from REST"
LOST, LATE = "trade lost by the stream", "trade too late for its tick"


class StreamedTicks:
    """Answers ticks out of `feed`, every `interval` seconds; `rejects` counts what went wrong."""

    def __init__(self, feed: StreamFeed, interval: int, rejects: Counter[str]) -> None:
        self._feed = feed
        self._interval = interval
        self._rejects = rejects
        self._grace = min(MOST_GRACE, SHARE_OF_INTERVAL * interval)
        self._longest_answer = SHARE_OF_REST * interval
        self._checked_at = 0
        self._stay_away_until = 0.0
        self._has_logged_difference = False
        self._lost = self._late = 0

    def follow(self, symbols: Mapping[Metric, Symbol]) -> None:
        """Have these markets streamed, and no others."""
        self._feed.follow(symbols)

    def stop(self) -> None:
        """Close the streams; returns at once."""
        self._feed.stop()

    async def fetch(
        self, at: int, metrics: Collection[Metric], dead: Collection[Metric], ask: Ask
    ) -> dict[Metric, Reading]:
        """
        Return the readings of tick `at` of `metrics`; those that are `dead` are no reason to ask.

        Raises `SourceError` where REST is needed for all of them and fails.
        """
        await self._feed.wait_until(at, self._grace)
        streamed, doubtful = self._read(at, metrics)
        unknown = doubtful.difference(dead)
        is_due = at >= self._checked_at + CHECK_SECONDS
        self._count_trades()
        if not unknown and not is_due:
            return streamed
        if not streamed:
            # Whoever asks keeps what a refusal says of a wait, and tells of a failure.
            return await self._merge(at, streamed, await ask(at))
        answer = await self._ask_beside(at, ask, len(unknown))
        return streamed if answer is None else await self._merge(at, streamed, answer)

    def find_hour(self, metric: Metric, hour: int) -> Candle | None:
        """Return the exchange's candle of an hour, made of its trades; `None` where one of them may be missing."""
        market = self._feed.find_market(metric)
        if market is None or self._feed.find_proof(metric) < (hour + HOUR) * 1000:
            return None
        return market.make_hour(hour)

    async def _ask_beside(self, at: int, ask: Ask, unknown: int) -> Mapping[Metric, Reading] | None:
        """Ask by REST for no longer than most of a tick; `None` where it fails, which must not cost what was streamed."""
        if at < self._stay_away_until:
            return None
        try:
            async with asyncio.timeout(self._longest_answer):
                return await ask(at)
        except (SourceError, TimeoutError) as error:
            kind = error.kind if isinstance(error, SourceError) else "too slow"
            self._rejects[f"no answer by REST ({kind})"] += unknown or 1
            self._checked_at = at - CHECK_SECONDS + RETRY_SECONDS
            if isinstance(error, SourceRefused) and error.wait:
                self._stay_away_until = at + error.wait
            return None

    def _read(self, at: int, metrics: Collection[Metric]) -> tuple[dict[Metric, Reading], set[Metric]]:
        """Return the readings that are known to be good, and the metrics of which none is."""
        streamed: dict[Metric, Reading] = {}
        for metric in metrics:
            market, proof = self._feed.find_market(metric), self._feed.find_proof(metric)
            if market is None or proof < at * 1000 or not market.is_trusted(proof):
                continue
            reading = market.make_reading(at, proof)
            if reading is not None:
                streamed[metric] = reading
        return streamed, set(metrics).difference(streamed)

    async def _merge(
        self, at: int, streamed: Mapping[Metric, Reading], answer: Mapping[Metric, Reading]
    ) -> dict[Metric, Reading]:
        """Compare both, and return what is to be believed of each metric."""
        self._checked_at = at
        merged, differing = dict(streamed), []
        judged = set(answer)
        if not self._is_confirmed(at, answer):
            # The answer may hold what the streams have not brought yet: only those that now have brought all are judged.
            judged = await self._feed.wait_for_pongs(self._grace)
        for metric, reading in answer.items():
            market = self._feed.find_market(metric)
            proof = self._feed.find_proof(metric)
            if market is None or market.price is None or proof < at * 1000:
                merged[metric] = reading
            elif self._agrees(at, market, reading):
                merged[metric] = self._complete(at, market, reading, merged.get(metric))
                market.note_agreement(reading, proof)
            elif metric not in judged or not market.has_prices_of(_find_oldest(at, reading)):
                merged[metric] = reading
            else:
                note_reject(self._rejects, DIFFERS, f"{market.price} streamed, {reading.price} by REST", metric)
                market.note_difference(proof)
                differing.append(metric)
                merged[metric] = reading
        self._log_differences(at, differing)
        self._feed.renew(differing)
        return merged

    def _is_confirmed(self, at: int, answer: Mapping[Metric, Reading]) -> bool:
        """Return whether the streams agree with every metric of an answer already."""
        return all(
            self._agrees(at, market, reading)
            for metric, reading in answer.items()
            if (market := self._feed.find_market(metric)) is not None and market.price is not None
        )

    @staticmethod
    def _agrees(at: int, market: StreamedMarket, reading: Reading) -> bool:
        return market.has_had_price(reading, _find_oldest(at, reading))

    @staticmethod
    def _complete(at: int, market: StreamedMarket, reading: Reading, streamed: Reading | None) -> Reading:
        """Return what was streamed, else the answer by REST, with what was traded by whichever of both knows it."""
        if streamed is not None:
            traded = streamed.interval_volume
            return streamed if traded is not None else streamed._replace(interval_volume=reading.interval_volume)
        traded = market.trades.sum_interval(at) if market.is_subscribed else None
        return reading if traded is None else reading._replace(interval_volume=traded)

    def _log_differences(self, at: int, differing: Collection[Metric]) -> None:
        if differing and not self._has_logged_difference:
            log.warning(
                "a stream differs from REST, whose values are taken; the stream is connected anew",
                source=self._feed.name,
                at=at,
                metrics=sorted(differing)[:10],
                of=len(differing),
            )
        elif self._has_logged_difference and not differing:
            log.info("the streams agree with REST again", source=self._feed.name, at=at)
        self._has_logged_difference = bool(differing)

    def _count_trades(self) -> None:
        lost, late = self._feed.count_trades()
        for reason, count, before in ((LOST, lost, self._lost), (LATE, late, self._late)):
            if count > before:
                self._rejects[reason] += count - before
        self._lost, self._late = lost, late


def _find_oldest(at: int, reading: Reading) -> int:
    """Return from when on, milliseconds, the numbers of an answer by REST may be."""
    return ((reading.provider_time or at) - CACHE_SECONDS) * 1000
