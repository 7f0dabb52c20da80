"""Candles over minutes that were filled in, held beside what the recordings themselves say of the same time."""

from contextlib import closing
from decimal import Decimal
from itertools import groupby, islice

import pytest

from tests.support.shared import shared
from v1.market.candles import CandleLength
from v1.market.short_candles import make_short_candles
from worker.latest import Candle, Metric
from worker.sampling.recording import read_candles
from worker.sources import from_candles

RECORDED = ["binance-spot-20210517/DOGE_BTC", "bittrex-20180201/DOGE_BTC", "kucoin-spot-20230322/BTC_USDT"]
LENGTHS = {"1m": 60, "5m": 300, "15m": 900, "30m": 1800}


def join(minutes: list[Candle]) -> tuple[Decimal, ...]:
    """Return open, high, low, close and volume of minutes."""
    return (
        Decimal(minutes[0].open),
        max(Decimal(each.high) for each in minutes),
        min(Decimal(each.low) for each in minutes),
        Decimal(minutes[-1].close),
        sum((Decimal(each.volume) for each in minutes), Decimal()),
    )


@pytest.mark.parametrize("name", RECORDED)
def test_candles_of_filled_minutes_are_those_of_the_recording(name: str):
    path = shared("market-data") / f"{name}.csv.gz"
    with closing(read_candles(path)) as candles:
        recorded = [*islice(candles, 1440)]
    samples, ranges = from_candles.derive_samples(recorded), from_candles.derive_ranges(recorded)
    for length, seconds in LENGTHS.items():
        own = [(start, [*some]) for start, some in groupby(recorded, lambda each: each.start // seconds * seconds)]  # noqa: B023  # used at once

        made = make_short_candles(Metric("X:Y"), CandleLength(length), samples, 60, ranges)

        assert [row.start for row in made] == [start for start, _ in own]
        for row, (_, minutes) in zip(made, own, strict=True):
            told = [Decimal(str(cell)) for cell in (row.open, row.high, row.low, row.close, row.volume)]
            assert tuple(told) == join(minutes)
            assert row.kind == ("exchange" if len(minutes) * 60 == seconds else "mixed")
