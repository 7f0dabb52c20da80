"""
What moves the simulated market: assets, each a walk of its price and its activity. Every number is a
function of (seed, name, time). Pure: no clock, no network, no state but a cache.

Any instant can be asked for without walking there. An asset's price at midnight is an anchor: noise on
lattices of 1, 2, 4, ... 256 days, summed, which wanders like a walk but stays near its level for ever.
Between two midnights lies a Brownian bridge of 1440 steps, made when first asked for. Part of it is the
market's, which all assets share, each by its beta. Steps grow with the asset's activity, which is calm
or busy by the hour and now and then bursts. All noise is read off a hash (SHAKE-128), so it falls the
same on every machine.
"""

from array import array
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import shake_128
from itertools import accumulate, pairwise
from math import exp, pi, sin, sqrt
from statistics import NormalDist
from typing import NamedTuple

from worker.latest import DAY, HOUR, MINUTE

MINUTES = DAY // MINUTE
"""In a day."""

MARKET = "market"
"""What all assets have in common, as if it were one of them."""
_LATTICES = 9
_SWINGS = {MARKET: 0.02, "USD": 0.0, "EUR": 0.004, "USDT": 0.0001, "BTC": 0.006}
"""How far the logarithm of a price usually goes in a day by itself."""
_FOLLOWS_NOTHING = ("USD", "EUR", "USDT", MARKET)
_JUMP_MINUTES = 5
"""A burst moves the price, too, in its first minutes."""

BELL = tuple(NormalDist().inv_cdf((step + 0.5) / 256) for step in range(256))
"""A byte as a number of the normal distribution."""
_CALM = tuple(exp(0.5 * bell) for bell in BELL)
_SEASON = tuple(1 + 0.35 * sin(2 * pi * minute / MINUTES) for minute in range(MINUTES))


class AssetWalk(NamedTuple):
    """One day of an asset."""

    logs: "array[float]"
    """Logarithm of its price against its level: at midnight, and at the end of each minute."""
    activity: "array[float]"
    """How busy each minute is; 1 is usual."""


class _Burst(NamedTuple):
    start: int
    """Minute of the day."""
    height: float
    fade: float
    """Minutes after which a third is left of it."""
    jump: float


class SimulatedAssets:
    """The walks of all assets of one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.walk = lru_cache(maxsize=256)(self._walk)

    def draw_bytes(self, what: str, name: str, day: int, count: int) -> bytes:
        """Return `count` random bytes: always the same for the same question."""
        return shake_128(f"{self._seed}/{what}/{name}/{day}".encode()).digest(count)

    def _swing(self, asset: str) -> float:
        known = _SWINGS.get(asset)
        return 0.015 + 0.035 * self.draw_bytes("swing", asset, 0, 1)[0] / 255 if known is None else known

    def _beta(self, asset: str) -> float:
        if asset in _FOLLOWS_NOTHING:
            return 0.0
        return 1.0 if asset == "BTC" else 0.7 + 0.8 * self.draw_bytes("beta", asset, 0, 1)[0] / 255

    def _anchor(self, asset: str, day: int) -> float:
        """Return the logarithm of an asset's own part of its price at the start of `day`."""
        sum_of_waves = 0.0
        for lattice in range(_LATTICES):
            node, past = divmod(day, 1 << lattice)
            left, right = (
                int.from_bytes(self.draw_bytes(f"anchor{lattice}", asset, place, 8)) / 2**63 - 1
                for place in (node, node + 1)
            )
            sum_of_waves += sqrt(1 << lattice) * (left + (right - left) * past / (1 << lattice))
        return self._swing(asset) * sum_of_waves

    def _walk(self, asset: str, day: int) -> AssetWalk:
        own = self._own(asset, day)
        beta = self._beta(asset)
        if not beta:
            return own
        market = self.walk(MARKET, day)
        logs = [mine + beta * common for mine, common in zip(own.logs, market.logs, strict=True)]
        activity = [mine * common for mine, common in zip(own.activity, market.activity, strict=True)]
        return AssetWalk(array("d", logs), array("d", activity))

    def _own(self, asset: str, day: int) -> AssetWalk:
        swing = self._swing(asset)
        bursts = list(self._bursts(asset, day))
        activity = self._activity(asset, day, bursts)
        step = swing / sqrt(MINUTES)
        bells = [BELL[byte] for byte in self.draw_bytes("step", asset, day, MINUTES)]
        steps = [step * bell * sqrt(busy) for bell, busy in zip(bells, activity, strict=True)]
        for burst in bursts:
            for minute in _within_day(burst.start, _JUMP_MINUTES):
                steps[minute] += swing * burst.jump / _JUMP_MINUTES
        logs = _bridge(self._anchor(asset, day), self._anchor(asset, day + 1), steps)
        return AssetWalk(array("d", logs), array("d", activity))

    def _activity(self, asset: str, day: int, bursts: Iterable[_Burst]) -> list[float]:
        hours = self.draw_bytes("calm", asset, day, 24) + self.draw_bytes("calm", asset, day + 1, 1)
        minutes = HOUR // MINUTE
        calm = [
            left + (right - left) * minute / minutes
            for left, right in pairwise([_CALM[hour] for hour in hours])
            for minute in range(minutes)
        ]
        activity = [season * busy for season, busy in zip(_SEASON, calm, strict=True)]
        for burst in bursts:
            for minute in _within_day(burst.start, int(6 * burst.fade)):
                activity[minute] += burst.height * exp((burst.start - minute) / burst.fade)
        return activity

    def _bursts(self, asset: str, day: int) -> Iterator[_Burst]:
        """Return the bursts that are felt in a day: its own, and those of the evening before."""
        once, twice = (245, 255) if asset == MARKET else (150, 230)
        for offset in (-1, 0):
            noise = self.draw_bytes("burst", asset, day + offset, 16)
            for first in range(1, 1 + 5 * ((noise[0] > once) + (noise[0] > twice)), 5):
                start = int.from_bytes(noise[first : first + 2]) * MINUTES >> 16
                height, fade, jump = noise[first + 2 : first + 5]
                yield _Burst(offset * MINUTES + start, 4 + 40 * (height / 255) ** 3, 3 + fade / 10, BELL[jump])


def _within_day(start: int, count: int) -> range:
    return range(max(0, start), max(0, min(MINUTES, start + count)))


def _bridge(left: float, right: float, steps: list[float]) -> list[float]:
    """Return a walk from `left` that arrives at exactly `right`: the next day starts there."""
    walk = list(accumulate(steps, initial=left))
    drift = (right - walk[-1]) / len(steps)
    walk = [log_price + drift * minute for minute, log_price in enumerate(walk)]
    walk[-1] = right
    return walk
