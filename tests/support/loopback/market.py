"""
One invented market: its price and what was traded, as functions of time alone. So every answer agrees
with every other, the ticker with the candles, and is the same whenever the same instant is asked for.
"""

from decimal import Decimal
from itertools import accumulate
from math import sin, tau
from random import Random
from typing import NamedTuple
from zlib import crc32

DAY, HOUR, MINUTE = 86_400, 3_600, 60
LOT = Decimal("0.00000001")

# Minute by minute how busy it is: quiet ones, ordinary ones, a burst now and then. The length is no
# divisor of a day, or the volume of 24 hours would never change.
_random = Random(1009)
BUSY = [_random.choice((0, 0, 1, 2, 3, 3, 4, 5, 8)) * (20 if _random.random() < 0.01 else 1) for _ in range(1009)]
BEFORE = [0, *accumulate(BUSY)]
USUAL = BEFORE[-1] / len(BUSY)


class Bar(NamedTuple):
    """A second, a minute or an hour."""

    start: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class Market:
    def __init__(self, name: str, price: str, volume: str) -> None:
        """Wave around `price`, and trade about `volume` a day; both as recorded."""
        self._middle = Decimal(price)
        self._seed = crc32(name.encode())
        # The recorded places, and at least five digits, so that something moves.
        _, _, exponent = self._middle.as_tuple()
        self._tick = Decimal(1).scaleb(min(int(exponent), self._middle.adjusted() - 4))
        lots = int(max(Decimal(volume), Decimal(0)) / LOT)
        self._lots_when_busy = round(lots / (DAY // MINUTE * USUAL))

    @property
    def is_dead(self) -> bool:
        return not self._middle

    def price(self, second: int) -> Decimal:
        if self.is_dead:
            return self._middle
        phase = self._seed / 2**32
        slow, fast = sin(tau * (second / 50_000 + phase)), sin(tau * (second / 1_300 + phase))
        jitter = crc32(b"%d" % second, self._seed) / 2**32 - 0.5
        moved = self._middle * Decimal(1 + 0.02 * slow + 0.003 * fast + 0.0004 * jitter)
        return max(moved.quantize(self._tick), self._tick)

    def traded(self, since: float, until: float) -> Decimal:
        """Return what was traded between two instants: exactly what the instants between add up to."""
        return (self._lots(until) - self._lots(since)) * LOT

    def bar(self, start: int) -> Bar:
        volume = self.traded(start, start + MINUTE)
        seconds = (0, 13, 29, 47, 59) if volume else (-1,)
        prices = [self.price(start + second) for second in seconds]
        return Bar(start, prices[0], max(prices), min(prices), prices[-1], volume)

    def candle(self, start: int, length: int) -> Bar:
        """Return the bar of a second or a minute, or what the bars of an hour's minutes come to."""
        if length < MINUTE:
            price = self.price(start)
            return Bar(start, price, price, price, price, self.traded(start, start + length))
        bars = [self.bar(minute) for minute in range(start, start + length, MINUTE)]
        highs, lows = [bar.high for bar in bars], [bar.low for bar in bars]
        volume = sum([bar.volume for bar in bars], Decimal(0))
        return Bar(start, bars[0].open, max(highs), min(lows), bars[-1].close, volume)

    def _lots(self, instant: float) -> int:
        """Return what was ever traded, in integers, so that it never falls."""
        minute, rest = divmod(round(instant * 1000) + self._seed % len(BUSY) * MINUTE * 1000, MINUTE * 1000)
        cycles, place = divmod(minute, len(BUSY))
        whole = cycles * BEFORE[-1] + BEFORE[place]
        return whole * self._lots_when_busy + BUSY[place] * self._lots_when_busy * rest // (MINUTE * 1000)


def text(number: Decimal) -> str:
    """Write it without an exponent."""
    return f"{number:f}"
