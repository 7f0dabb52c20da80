"""
What was traded in an interval that is no whole minute, out of Binance's candles of one second, and of how many
metrics we can afford to ask. Pure: the asking is done in `binance`.

Binance makes a candle of every second, traded in or not
(https://github.com/binance/binance-public-data/issues/153), so where one is missing the rest is not the interval.
"""

from collections import Counter
from collections.abc import Sequence

from worker.latest import MINUTE, Metric, candles
from worker.sources.candle_rows import CandleColumns, parse_finished
from worker.sources.row_fields import parse_rows

WEIGHT = 2
"""Of one metric: a call has one symbol."""
MOST_WEIGHT = 1200
"""A minute, for all of them: a fifth of the limit, beside what prices and the fill take."""
MOST_CALLS = 100
"""A tick: what a few connections answer while a tick can wait."""


def choose_affordable(metrics: Sequence[Metric], interval: int, room: int) -> Sequence[Metric]:
    """Keep as many metrics as the bound and the `room` (in weight) allow: 50 at a sample every five seconds."""
    a_tick = MOST_WEIGHT * interval // MINUTE
    return metrics[: max(0, min(MOST_CALLS, a_tick // WEIGHT, room // WEIGHT))]


def parse_seconds_volume(
    body: object, columns: CandleColumns, at: int, interval: int, rejects: Counter[str]
) -> str | None:
    """Add up what was traded in the interval that ends at `at`."""
    found = parse_finished(parse_rows(body), columns._replace(length=1), at - interval, at, rejects)
    if len(found) != interval:
        rejects["seconds of the interval are missing"] += 1
        return None
    return candles.sum_exactly([candle.volume for candle in found])
