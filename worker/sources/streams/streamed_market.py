"""The newest state of one metric, out of what a stream brought. Pure: times are arguments, unix milliseconds."""

from collections import deque
from fractions import Fraction

from worker.latest import Candle, Metric, Reading, decimals

from .events import StreamTicker, StreamTrade, TradeList
from .pauses import Pauses
from .trade_sums import TradeSums

HISTORY = 10_000
"""For so long the prices of the past are kept, for comparison with an answer that is older."""


class StreamedMarket:
    """What is known of `metric`, sampled every `interval` seconds."""

    def __init__(self, metric: Metric, interval: int) -> None:
        self.metric = metric
        self.trades = TradeSums(interval)
        self.is_subscribed = False
        """Whether a connection delivers it."""
        self.refusal: str | None = None
        """Why the provider does not send it."""
        self._ticker: StreamTicker | None = None
        self._prices: deque[tuple[int, str]] = deque()
        """Since when each was the newest."""
        self._pauses = Pauses(interval * 1000)
        self._doubted_since: int | None = None
        self._differed_at = 0
        """When it last differed from REST."""

    @property
    def price(self) -> str | None:
        return self._prices[-1][1] if self._prices else None

    def take_trade(self, trade: StreamTrade) -> None:
        self.trades.add(trade)
        self._note_price(trade.time, trade.price)

    def take_list(self, trades: TradeList) -> None:
        self.trades.add_list(trades.trades)
        for trade in sorted(trades.trades, key=lambda each: each.number):
            self._note_price(trade.time, trade.price)

    def take_ticker(self, ticker: StreamTicker, time: int) -> None:
        """Take the numbers of 24 hours; `time` is what the provider's clock showed, of one that bears no time."""
        at = ticker.time or time
        before = self._ticker
        if before is None or at >= (before.time or 0):
            self._ticker = ticker._replace(time=at)
        self._note_price(at, ticker.price)

    def begin(self, time: int) -> None:
        """Take in that a connection delivers it from `time` on."""
        self.is_subscribed, self.refusal = True, None
        self.trades.begin(time)

    def end(self) -> None:
        """Take in that no connection delivers it any more."""
        self.is_subscribed = False
        self.trades.end()

    def is_trusted(self, now: int) -> bool:
        """Return whether what is known is the newest there is at `now`, as far as can be told without asking."""
        return (
            self.is_subscribed
            and self.refusal is None
            and self._ticker is not None
            and self._doubted_since is None
            and not self._pauses.is_overdue(now)
        )

    def make_reading(self, at: int, now: int) -> Reading | None:
        """Return the reading of tick `at`, with what was traded where that is known; `now` is the provider's time."""
        ticker, price = self._ticker, self.price
        if ticker is None or price is None:
            return None
        traded = self.trades.sum_interval(at)
        return Reading(
            price, ticker.volume, ticker.change_percentage, ticker.change_absolute, traded, provider_time=now // 1000
        )

    def make_hour(self, hour: int) -> Candle | None:
        """Return the exchange's candle of an hour that is over; `None` where it is not known to be whole and true."""
        return None if self._differed_at >= hour * 1000 else self.trades.make_hour(hour)

    def has_prices_of(self, since: int) -> bool:
        """Return whether the prices that are known reach back to `since`: an answer of before them says nothing."""
        return bool(self._prices) and self._prices[0][0] <= since

    def has_had_price(self, reading: Reading, since: int) -> bool:
        """Return whether the price of an answer was the price at any moment from `since` on."""
        prices = list(self._prices)
        in_force = [
            price
            for place, (_, price) in enumerate(prices)
            if place + 1 == len(prices) or prices[place + 1][0] >= since
        ]
        return any(is_same_number(price, reading.price) for price in in_force)

    def note_agreement(self, reading: Reading, now: int) -> None:
        """Take in that an answer agreed: a market that is silent for so long is quiet. Its 24 h volume is the answer's."""
        if self._ticker is not None and reading.volume is not None:
            self._ticker = self._ticker._replace(volume=reading.volume)
        self._pauses.forget_silence(now)
        self._doubted_since = None

    def note_difference(self, now: int) -> None:
        """Take in that an answer differed: nothing here counts until something newer comes."""
        self._doubted_since = self._differed_at = now

    def _note_price(self, time: int, price: str) -> None:
        self._pauses.note(time)
        if self._doubted_since is not None and time > self._doubted_since:
            self._doubted_since = None
        if self._prices and time < self._prices[-1][0]:
            return
        self._prices.append((time, price))
        while len(self._prices) > 1 and self._prices[1][0] < time - HISTORY:
            self._prices.popleft()


def is_same_number(left: str, right: str) -> bool:
    """Return whether two texts are the same number, whatever zeros they end in."""
    return left == right or Fraction(decimals.parse_exact(left)) == Fraction(decimals.parse_exact(right))
