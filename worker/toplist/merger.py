"""
The role that makes the top list of each minute out of the newest prices and the newest ranks.

A minute waits for the lists that are due at it, as long as the margin says. A list that has not come by then
is late, and the last one that was good stays in its place, with its age. Whoever was away for a while makes
up for the minutes since the last snapshot, out of the lists as they were then. A minute is made once.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import structlog

from worker.latest import DAY, MINUTE
from worker.latest.store import StoreError
from worker.latest.toplist import (
    ListOrigin,
    ListStore,
    PricedCoin,
    ProviderList,
    RankedCoin,
    TopList,
    TopWriter,
    is_late_list,
    is_list_due,
    merge_lists,
)
from worker.reporting.outage_log import OutageLog
from worker.reporting.redis_retry import describe_trouble

log = structlog.get_logger()

NAME = "merging"


class TopListMerger:
    """Makes snapshots, minute after minute. What goes wrong with Redis costs nothing but time."""

    def __init__(self, listings: ListStore, top: TopWriter, margin: int, clock: Callable[[], float]) -> None:
        self._listings = listings
        self._top = top
        self._margin = margin
        self._clock = clock
        self._done: int | None = None
        """The newest minute that is behind us."""
        self._last: TopList | None = None
        self._outage = OutageLog(role=NAME)

    async def run(self, now: int, beats: AsyncIterator[int]) -> None:
        """Make the snapshot of minute `now`, and of every one that comes, for ever."""
        await self.merge_until(now)
        async for at in beats:
            await self.merge_until(at)

    async def merge_until(self, at: int) -> None:
        """Make the snapshots that are missing up to minute `at`."""
        try:
            for minute in range(await self._find_first_minute(at), at + 1, MINUTE):
                await self._make_list(minute)
                self._done = minute
            await self._write_state(at)
        except StoreError as error:
            message = f"{describe_trouble(error)}, minutes are made up for later"
            self._outage.log_failure(message, str(error), kind=message)
            self._done = None
        else:
            self._outage.log_recovery("Redis is back")

    async def _find_first_minute(self, at: int) -> int:
        """Return the first minute that has to be made."""
        if self._done is None:
            span = await self._top.read_range()
            oldest = await self._listings.find_oldest_minute()
            self._done = span.newest if span else (at if oldest is None else oldest) - MINUTE
            if self._done > at:
                log.warning("there are top lists of the future, and none is made until then: was a clock wrong?")
        return max(self._done + MINUTE, at - DAY)

    async def _make_list(self, minute: int) -> None:
        prices, ranks = await self._wait_for_lists(minute)
        if prices is None or ranks is None:
            return
        last = self._last
        if last and (last.prices.at, last.ranks.at) == (prices.about.at, ranks.about.at):
            snapshot = last._replace(at=minute)
        else:
            snapshot = merge_lists(minute, prices, ranks, self._margin)
        if await self._top.write_snapshot(snapshot):
            log.debug("top list", at=minute, coins=len(snapshot.coins), unpriced=snapshot.count_unpriced)
        self._last = snapshot

    async def _wait_for_lists(
        self, minute: int
    ) -> tuple[ProviderList[PricedCoin] | None, ProviderList[RankedCoin] | None]:
        """Return the newest lists of a minute, as soon as those that are due have come, or it is too late for them."""
        prices_seen = ranks_seen = 0
        while True:
            prices, ranks = await self._listings.read_prices(minute), await self._listings.read_ranks(minute)
            left = minute + self._margin - self._clock()
            # Behind a later list none comes any more.
            is_awaited = (prices_seen <= minute and is_list_due(prices and prices.about, minute)) or (
                ranks_seen <= minute and is_list_due(ranks and ranks.about, minute)
            )
            if left <= 0 or not is_awaited:
                return prices, ranks
            prices_seen = max(prices_seen, prices.about.at if prices else 0)
            ranks_seen = max(ranks_seen, ranks.about.at if ranks else 0)
            prices_seen, ranks_seen = await self._listings.wait_for_news(prices_seen, ranks_seen, left)

    async def _write_state(self, at: int) -> None:
        last = self._last
        state: dict[str, Any] = {"state": "waiting", "reason": "the two lists were not there yet", "at": at}
        state["margin"] = self._margin
        if last is not None:
            late = [
                _describe_lateness(about, at)
                for about in (last.prices, last.ranks)
                if is_late_list(about, at, self._margin)
            ]
            state |= {"state": "late" if late else "ok", "reason": "; ".join(late) or None, "list_at": last.at}
            state |= {"of": len(last.coins), "unpriced": last.count_unpriced}
            if last.count_unpriced * 2 > len(last.coins):
                strangers = (
                    f"{last.count_unpriced} of {len(last.coins)} coins have no price: the lists name different coins"
                )
                state |= {"state": "failing", "reason": "; ".join([*late, strangers])}
        await self._top.write_role_state(NAME, state)


def _describe_lateness(about: ListOrigin, at: int) -> str:
    return f"the list of {about.source} is {at - about.at} s old, with one every {about.interval} s"
