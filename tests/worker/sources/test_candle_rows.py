from collections import Counter

import pytest

from worker.latest import Candle
from worker.sources.candle_rows import CandleColumns, parse_finished

PLAIN = CandleColumns(time=0, open=1, high=2, low=3, close=4, volume=5, start=int)
COINBASE = CandleColumns(time=0, open=3, high=2, low=1, close=4, volume=5, start=int)


def row(start: int, *numbers: str) -> list[str]:
    return [str(start), *(numbers or ("2", "4", "1", "3", "7.50"))]


def test_columns_say_where_a_number_is():
    assert parse_finished([row(60, "1", "4", "2", "3", "7.50")], COINBASE, 0, 120, Counter()) == [
        Candle(60, "2", "4", "1", "3", "7.50")
    ]


def test_candles_come_oldest_first_and_once_however_they_were_sent():
    rows = [row(180), row(60), row(120), row(60, "2", "4", "1", "3", "8")]

    candles = parse_finished(rows, PLAIN, 0, 600, Counter())

    assert [(candle.start, candle.volume) for candle in candles] == [(60, "8"), (120, "7.50"), (180, "7.50")]


@pytest.mark.parametrize(
    "start, end, kept",
    [
        pytest.param(60, 180, [60, 120], id="start is included, end is not"),
        pytest.param(61, 181, [120], id="neither is a whole minute"),
        pytest.param(0, 179, [60], id="one is still running at the end"),
        pytest.param(300, 60, [], id="nothing lies between"),
    ],
)
def test_only_candles_that_lie_whole_in_the_time_are_kept(start: int, end: int, kept: list[int]):
    candles = parse_finished([row(60), row(120), row(180)], PLAIN, start, end, Counter())

    assert [candle.start for candle in candles] == kept


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(None, id="null"),
        pytest.param("60", id="a text"),
        pytest.param([], id="empty"),
        pytest.param(row(60)[:5], id="too short"),
        pytest.param(row(61), id="not on a minute"),
        pytest.param(row(-60), id="before all time"),
        pytest.param(["soon", *row(60)[1:]], id="no time"),
        pytest.param(row(60, "2", "4", "1", "x", "7"), id="no number"),
        pytest.param(row(60, "2", "1", "4", "3", "7"), id="high below low: swapped columns"),
        pytest.param(row(60, "5", "4", "1", "3", "7"), id="open above high"),
        pytest.param(row(60, "2", "4", "1", "0.5", "7"), id="close below low"),
        pytest.param(row(60, "0", "0", "0", "0", "0"), id="a dead market"),
        pytest.param(row(60, "2", "4", "1", "3", "-7"), id="a negative volume"),
    ],
)
def test_a_candle_that_cannot_be_is_left_out_and_counted(broken: object):
    rejects: Counter[str] = Counter()

    candles = parse_finished([broken, row(120)], PLAIN, 0, 600, rejects)

    assert [candle.start for candle in candles] == [120]
    assert rejects == {"unreadable candle": 1}


def test_prices_compare_as_numbers_whatever_their_form():
    candle = row(60, "1e-8", "0.00000002", "1.0e-8", "0.000000010", "0")

    assert len(parse_finished([candle], PLAIN, 0, 600, Counter())) == 1
