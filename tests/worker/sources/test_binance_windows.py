from collections import Counter

import pytest

from tests.worker.sources.conftest import MORNING
from worker.latest import MINUTE, Metric
from worker.sources.binance_windows import choose_affordable, format_window, parse_windows

BTC, BNB = Metric("BINANCE:BTCUSDT"), Metric("BINANCE:BNBBTC")


@pytest.mark.parametrize(
    "interval, written",
    [(60, "1m"), (300, "5m"), (1800, "30m"), (3600, "1h"), (1, None), (30, None), (90, None), (7200, None)],
)
def test_there_is_a_window_for_whole_minutes_up_to_an_hour(interval: int, written: str | None):
    assert format_window(interval) == written


def test_an_unreadable_window_is_counted():
    rejects: Counter[str] = Counter()
    window = {"openTime": str((MORNING - MINUTE) * 1000), "closeTime": str(MORNING * 1000)}
    rows = [{"symbol": "BTCUSDT", "volume": "x", **window}, {"symbol": "BNBBTC", "volume": "1.50", **window}]

    volumes = parse_windows(rows, {"BTCUSDT": BTC, "BNBBTC": BNB}, MORNING, MINUTE, rejects)

    assert volumes == {BNB: "1.50"}
    assert rejects == {"unreadable interval volume": 1}


@pytest.mark.parametrize(
    "count, room, calls",
    [
        pytest.param(3, 4800, [3], id="few"),
        pytest.param(250, 4800, [100, 100, 50], id="a hundred a call"),
        pytest.param(3000, 4800, [100] * 10, id="ten calls"),
        pytest.param(3000, 800, [100] * 4, id="as many as weigh no more"),
        pytest.param(3, 11, [], id="none"),
        pytest.param(0, 4800, [], id="nothing to ask"),
    ],
)
def test_windows_are_bounded_by_count_and_weight(count: int, room: int, calls: list[int]):
    metrics = [Metric(f"BINANCE:{number}") for number in range(count)]

    parts = choose_affordable(metrics, room)

    assert [len(part) for part in parts] == calls
    assert [metric for part in parts for metric in part] == metrics[: sum(calls)]
