"""Which pairs the simulated market has, and what does not change about each. No prices over time: see `pairs`."""

from collections.abc import Callable, Iterator
from math import floor, log10
from typing import NamedTuple

from worker.latest import DAY, MINUTE, Metric

EXCHANGE = "SIMULATED"

# Level in USD, in order of seniority: a pair quotes the junior asset in the senior one, never the reverse.
_LEVELS = """
USD 1 EUR 1.08 USDT 1 BTC 74300 ETH 3310 XRP 2.31 SOL 188 BNB 655 DOGE 0.334 ADA 0.91 TRX 0.243 AVAX 36.6
SHIB 0.0000214 TON 5.42 LINK 20.3 DOT 6.61 XLM 0.412 HBAR 0.283 SUI 4.58 BCH 441 UNI 13.1 PEPE 0.0000175 LTC 104
NEAR 5.12 APT 9.03 ICP 10.2 ETC 26.1 AAVE 302 POL 0.462 RENDER 7.21 FET 1.32 ARB 0.724 FIL 5.04 ATOM 6.43 ALGO 0.341
VET 0.0454 OP 1.81 BONK 0.0000291 FLOKI 0.000172 XMR 191 STX 1.62 INJ 20.4 GRT 0.203 SEI 0.407 LUNC 0.000113 MKR 1510
YFI 8310 PAXG 2650 QNT 104 EOS 0.782 XTZ 1.29 THETA 2.12 SAND 0.554 MANA 0.471 CHZ 0.0812 ZEC 55.2 DASH 36.4 IOTA 0.302
NEO 14.1 XEC 0.0000331 BTT 0.00000112 HOT 0.00213 RVN 0.0191 DGB 0.0108 SC 0.00512 WIN 0.0000948 BABYDOGE 0.0000000021
"""
ASSETS = {name: float(level) for name, level in zip(*[iter(_LEVELS.split())] * 2, strict=True)}
QUOTES = {"USD": 0.35, "EUR": 0.1, "USDT": 0.4, "BTC": 0.12, "ETH": 0.03}
"""What pairs are quoted in, and the part of an asset's turnover that goes through each."""
_LOWEST_PRICE = 1e-9

_LARGEST_TURNOVER = 3e10
"""Of an asset in a day, in USD; that of the n-th largest is n ** 2 times less."""
_LARGE = 20
"""So many of the largest assets are always listed."""
_IDLE = {5000: 0, 500: 40, 0: 128}
"""How many of 256 minutes are without a trade, from how many USD a minute on."""
_BOUNCE = {0: 0.0001, 40: 0.0003, 128: 0.0005}

# Odds, in 256.
_COARSE = (24, 8)
_MAYFLY = 16

LIFE = 9 * DAY
CYCLE = 12 * DAY
"""A mayfly is listed, trades for `LIFE`, is delisted, and comes back `CYCLE` after it was listed."""


class SimulatedPair(NamedTuple):
    """What does not change about a pair."""

    metric: Metric
    base: str
    quote: str
    level: float
    """The price it stays near."""
    price_places: int
    volume_places: int
    rate: float
    """Volume of a usual minute, in units of its last place."""
    idle: int
    """How many of 256 minutes are without a trade."""
    bounce: float
    """How far the price jumps between bid and ask, as a logarithm."""
    listed: int | None
    """When it was listed once, if it is a mayfly; others were always there."""

    def find_listing_time(self, at: int) -> int:
        """Return when the pair was listed last, as of `at`."""
        return 0 if self.listed is None else at - (at - self.listed) % CYCLE

    def is_listed(self, at: int) -> bool:
        return self.listed is None or (at - self.listed) % CYCLE < LIFE


def list_pairs(draw_bytes: Callable[[str, str, int, int], bytes]) -> Iterator[SimulatedPair]:
    """Return all pairs, those of the largest assets first."""
    names = list(ASSETS)
    for place, base in enumerate(names):
        size = max(1, place - names.index("USDT"))
        for quote in QUOTES:
            if place > names.index(quote) and ASSETS[base] / ASSETS[quote] >= _LOWEST_PRICE:
                yield _pair(base, quote, size, draw_bytes("pair", base + quote, 0, 5))


def _pair(base: str, quote: str, size: int, noise: bytes) -> SimulatedPair:
    level = ASSETS[base] / ASSETS[quote]
    # Five digits or more. A few markets have a tick size that makes steps of the price, as real ones do.
    price_places = max(2, 4 - floor(log10(level))) - sum(noise[0] < odds for odds in _COARSE)
    volume_places = min(8, max(0, 4 + floor(log10(ASSETS[base]))))
    turnover = _LARGEST_TURNOVER * QUOTES[quote] / size**2 * 2 ** ((noise[1] - 128) / 64) * MINUTE / DAY
    idle = next(idle for least, idle in _IDLE.items() if turnover >= least)
    is_mayfly = size > _LARGE and noise[2] < _MAYFLY
    return SimulatedPair(
        Metric(f"{EXCHANGE}:{base}{quote}"),
        base,
        quote,
        level,
        price_places,
        volume_places,
        turnover / ASSETS[base] * 10**volume_places,
        idle,
        _BOUNCE[idle],
        int.from_bytes(noise[3:5]) * CYCLE // 2**16 // MINUTE * MINUTE if is_mayfly else None,
    )
