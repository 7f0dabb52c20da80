"""
What was traded in each interval, out of the trades of one symbol: exactly, or unknown. Pure.

The numbers of trades follow each other, so a lost one shows:

    41 42 43 43 44      43 came twice, as from two connections that overlap: counted once
    41 42 44 43         43 is late: unknown until it comes
    ──start── 41        the first one is taken as it comes: a connection delivers in order
    41 42 ──cut── 43    nothing was lost while there was no connection
    41 42 ──cut── 47    43 to 46 were: known again from when the new connection was subscribed
"""

from collections.abc import Sequence
from typing import NamedTuple

from worker.latest import Candle, decimals

from .events import StreamTrade
from .trade_hours import TradeHours

KEPT_INTERVALS = 4
MOST_WAITING = 1000
"""Trades that wait for one before them. Where there are more, that one is taken for lost."""

Number = decimals.Number


class TradeCounts(NamedTuple):
    """What went wrong with trades since the start."""

    lost: int = 0
    """Gaps in the numbers that were never filled."""
    late: int = 0
    """Trades that came when their interval had been answered; they are in no sum."""


class TradeSums:
    """The sums of one symbol, at `interval` seconds a tick. An interval [at - interval, at) belongs to tick `at`."""

    def __init__(self, interval: int) -> None:
        self._interval = interval
        self._sums: dict[int, Number] = {}
        self._last: int | None = None
        """The number up to which every trade is known."""
        self._waiting: dict[int, StreamTrade] = {}
        """Those that came although one before them has not."""
        self._waited_at: int | None = None
        """The first tick that found a gap that is still open."""
        self._known_since: int | None = None
        """From when on every trade is known, milliseconds; `None` while no connection delivers them."""
        self._known_before: int | None = None
        """The same, of the time before a cut, until the next trade shows whether one was lost in it."""
        self._is_cut = False
        self._answered = 0
        self.counts = TradeCounts()
        self._hours = TradeHours()

    def begin(self, time: int) -> None:
        """Take in that a subscription delivers every trade from `time` on."""
        if self._known_since is None:
            self._known_since = time

    def end(self) -> None:
        """Take in that nothing delivers trades any more."""
        if self._known_since is not None:
            self._known_before = self._known_since
        self._known_since, self._is_cut = None, True

    def add(self, trade: StreamTrade) -> None:
        if self._last is None or trade.number == self._last + 1:
            if self._is_cut and self._last is not None and self._known_since is not None:
                self._known_since = self._known_before or self._known_since
            self._accept(trade)
        elif trade.number > self._last:
            if self._is_cut and not self._waiting:
                # What is missing is from before the subscription.
                self._accept(trade)
            else:
                self._waiting[trade.number] = trade
                if len(self._waiting) > MOST_WAITING:
                    self._skip_gap()

    def add_list(self, trades: Sequence[StreamTrade]) -> None:
        """Take in the newest trades of before a subscription."""
        listed = sorted(trades, key=lambda trade: trade.number)
        if not listed:
            return
        is_followed = all(later.number == number for number, later in enumerate(listed, listed[0].number))
        is_first = self._last is None or (self._is_cut and listed[0].number > self._last + 1)
        for trade in listed:
            self.add(trade)
        if is_first and is_followed and self._known_since is not None:
            # There may be one before the oldest at the same instant.
            self._known_since = min(self._known_since, listed[0].time + 1)

    def sum_interval(self, at: int) -> str | None:
        """Return what was traded in the interval of tick `at`, and count later trades of it as late; `None` where unknown."""
        if self._waiting and self._waited_at is not None and at > self._waited_at:
            self._skip_gap()
        self._waited_at = (self._waited_at or at) if self._waiting else None
        self._sums = {
            tick: number for tick, number in self._sums.items() if tick > at - KEPT_INTERVALS * self._interval
        }
        start = (at - self._interval) * 1000
        if self._waiting or self._known_since is None or self._known_since > start:
            return None
        self._answered = max(self._answered, at)
        return decimals.format_decimal(self._sums.get(at, (0, 0)))

    def make_hour(self, hour: int) -> Candle | None:
        """Return the candle of an hour that is over; `None` where a trade of it may be missing, or none came."""
        if self._waiting or self._known_since is None or self._known_since > hour * 1000:
            return None
        return self._hours.find(hour)

    def _accept(self, trade: StreamTrade) -> None:
        self._count(trade)
        self._last = trade.number
        self._is_cut, self._known_before = False, None
        while self._waiting and (follower := self._waiting.pop(self._last + 1, None)):
            self._count(follower)
            self._last = follower.number

    def _count(self, trade: StreamTrade) -> None:
        self._hours.add(trade)
        tick = (trade.time // 1000 // self._interval + 1) * self._interval
        if tick <= self._answered:
            self.counts = self.counts._replace(late=self.counts.late + 1)
            return
        self._sums[tick] = decimals.add(self._sums.get(tick, (0, 0)), decimals.parse_decimal(trade.amount))

    def _skip_gap(self) -> None:
        """Take what is missing for lost: everything is known after the first trade that came after it."""
        first = self._waiting.pop(min(self._waiting))
        self.counts = self.counts._replace(lost=self.counts.lost + 1)
        if self._known_since is not None:
            self._known_since = max(self._known_since, first.time + 1)
        self._accept(first)
