"""
What was traded in an interval, out of Binance's `ticker` with a window, and how much of it we can afford
to ask for. Pure: the asking is done in `binance`.

A window opens at a whole minute and closes when it is asked for, so right after the tick it is the interval
and the moment since. Of a call that came too late, or by a clock that differs, nothing is taken.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from worker.latest import HOUR, MINUTE, Metric
from worker.sources.row_fields import match_symbols, parse_amount, parse_whole, pick_value

MS = 1000
MOST_SYMBOLS, MOST_CALLS = 100, 10
"""At most so many symbols a call, and calls a tick: 1000 metrics have an `interval_volume`, the others `None`."""
WEIGHT, MOST_WEIGHT = 4, 200
"""Of one symbol, and of one call."""
LATE = 5
"""Seconds after the tick. A window that closes later holds too much of the next interval; so nobody waits longer."""


def format_window(interval: int) -> str | None:
    """Return the interval as Binance writes a window, 1m to 59m or 1h; `None` where there is no such window."""
    if interval % MINUTE or not MINUTE <= interval <= HOUR:
        return None
    return "1h" if interval == HOUR else f"{interval // MINUTE}m"


def compute_weight(symbols: int) -> int:
    """Return what a call for so many symbols weighs."""
    return min(WEIGHT * symbols, MOST_WEIGHT)


def choose_affordable(metrics: Sequence[Metric], room: int) -> list[Sequence[Metric]]:
    """Split the metrics into calls, and keep as many calls as the bounds and the `room` (in weight) allow."""
    calls: list[Sequence[Metric]] = []
    for first in range(0, min(len(metrics), MOST_SYMBOLS * MOST_CALLS), MOST_SYMBOLS):
        part = metrics[first : first + MOST_SYMBOLS]
        room -= compute_weight(len(part))
        if room < 0:
            break
        calls.append(part)
    return calls


def parse_windows(
    body: object, names: Mapping[str, Metric], at: int, interval: int, rejects: Counter[str]
) -> dict[Metric, str]:
    """Read what was traded in the interval that ends at `at`."""
    volumes: dict[Metric, str] = {}
    for metric, row in match_symbols(body, names, rejects):
        opened, closed = parse_whole(pick_value(row, "openTime")), parse_whole(pick_value(row, "closeTime"))
        if opened != (at - interval) * MS or closed is None or closed - at * MS > LATE * MS:
            rejects["window is not the interval"] += 1
            continue
        volume = parse_amount(pick_value(row, "volume"), "interval volume", rejects)
        if volume is not None:
            volumes[metric] = volume
    return volumes
