"""A source with someone looking after it: opened when needed, left alone when it asks, its failures told once."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from aiohttp import ClientSession

from worker.latest import Candle, Metric, Reading
from worker.sources.base import Refused, Source, SourceError

log = structlog.get_logger()

OPEN_SECONDS = 60
"""How long a source may take to learn what it has: some list every pair they know."""


class Watched:
    """
    Decides what a source's failure costs: its own numbers of that tick, and one line in the log.

    It asks over `session`, which it does not own. `patience` is how long an answer may take, in
    seconds: a tick must be over before the next.
    """

    def __init__(self, source: Source, session: ClientSession, patience: float) -> None:
        self.source = source
        self.missing: Mapping[Metric, str] = {}
        """The metrics that were wished for and that the source does not have, with the reason."""
        self._session = session
        self._patience = patience
        self._is_open = False
        self._stay_away_until = 0.0
        self._failing_since: int | None = None
        self._reason: str | None = None
        self._failures = 0

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def metrics(self) -> Sequence[Metric]:
        return self.source.metrics

    async def readings(self, at: int) -> Mapping[Metric, Reading]:
        """Give what the source says of tick `at`, or nothing where it fails; never raises `SourceError`."""
        if at < self._stay_away_until:
            return {}
        try:
            await self._open()
            async with asyncio.timeout(self._patience):
                readings = await self.source.fetch(self._session, at)
        except (SourceError, TimeoutError) as error:
            self._failed(at, error)
            return {}
        self._succeeded(at)
        return readings

    async def open(self, at: int) -> None:
        """Let the source learn what it has, before the first tick needs it; a failure is told, not raised."""
        try:
            await self._open()
        except (SourceError, TimeoutError) as error:
            self._failed(at, error)

    async def candles(self, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        """Give what the source's `candles` gives; raises `SourceError`."""
        return await self.source.candles(self._session, metric, start, end)

    def state(self) -> dict[str, Any]:
        """Say how the source does, for whoever asks the API."""
        return {
            "state": "ok" if self._reason is None else "failing",
            "since": self._failing_since,
            "reason": self._reason,
            "failures": self._failures,
            "metrics": len(self.metrics),
            "missing": dict(self.missing),
            "rejects": dict(self.source.rejects),
        }

    async def _open(self) -> None:
        if self._is_open:
            return
        async with asyncio.timeout(OPEN_SECONDS):
            self.missing = await self.source.open(self._session)
        self._is_open = True
        log.info("source is open", source=self.name, metrics=len(self.metrics), missing=len(self.missing))
        for metric, reason in sorted(self.missing.items()):
            log.warning("no such metric", source=self.name, metric=metric, reason=reason)

    def _failed(self, at: int, error: Exception) -> None:
        reason = str(error) or f"{self.name} took longer than {self._patience:g} s"
        if isinstance(error, Refused) and error.wait:
            self._stay_away_until = at + error.wait
            reason = f"{reason}; it asks us to stay away for {error.wait:g} s"
        self._failures += 1
        if self._reason is None:
            self._failing_since = at
            log.warning("source fails", source=self.name, reason=reason)
        elif self._reason != reason:
            log.warning("source still fails", source=self.name, reason=reason, since=self._failing_since)
        self._reason = reason

    def _succeeded(self, at: int) -> None:
        if self._reason is not None:
            log.info("source is back", source=self.name, at=at, failed_since=self._failing_since)
        self._failing_since = self._reason = None
