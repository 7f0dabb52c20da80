import random
import tracemalloc
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.invented import BTC, NOON
from worker.latest import HOUR, Metric, Reading
from worker.latest.market import SourceReading
from worker.sampling import tick_buffer
from worker.sampling.tick_buffer import TickBuffer

EVERY_INTERVAL = [seconds for seconds in range(1, HOUR + 1) if HOUR % seconds == 0]


def heard(price: str) -> dict[Metric, SourceReading]:
    return {BTC: SourceReading(Reading(price), "invented")}


def emptied(backlog: TickBuffer) -> list[tuple[int, Mapping[Metric, SourceReading]]]:
    """Return all ticks as they would be committed."""
    ticks = []
    while backlog:
        ticks.append(backlog.peek())
        backlog.remove(ticks[-1][0])
    return ticks


def test_ticks_come_out_in_the_order_in_which_they_went_in():
    backlog = TickBuffer(60)
    kept = [(NOON + 60 * minute, heard(f"{minute}")) for minute in range(100)]

    for at, said in kept:
        backlog.add(at, said)

    assert emptied(backlog) == kept


readings = st.builds(
    Reading,
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.none() | st.just("0.00000000"),
    st.none() | st.just("-1.50"),
    st.none() | st.just("-0"),
    st.none() | st.just("123456789012345678901234567890.123456789012345678"),
    st.none() | st.integers(0, 2**40),
)


@given(st.dictionaries(st.text(min_size=1), st.builds(SourceReading, readings, st.text(min_size=1))))
def test_what_comes_out_is_what_went_in_digit_for_digit(said):
    backlog = TickBuffer(60)

    for minute in range(3):
        backlog.add(NOON + 60 * minute, said)

    assert emptied(backlog) == [(NOON + 60 * minute, said) for minute in range(3)]


def test_a_tick_that_is_committed_before_the_second_next_comes_is_never_serialised(monkeypatch: pytest.MonkeyPatch):
    backlog, packed = TickBuffer(60), list[object]()
    monkeypatch.setattr(tick_buffer, "_pack", packed.append)

    for minute in range(10):
        backlog.add(NOON + 60 * minute, said := heard(f"{minute}"))
        if minute:  # the one before is only committed now
            backlog.remove(NOON + 60 * (minute - 1))
        assert backlog.peek()[1] is said
    backlog.restore_after(after=NOON + 60 * 7)

    assert emptied(backlog) == [(NOON + 60 * 8, heard("8")), (NOON + 60 * 9, heard("9"))]
    assert packed == []


def test_the_oldest_stays_until_it_is_done():
    backlog = TickBuffer(60)
    backlog.add(NOON, heard("1"))
    backlog.add(NOON + 60, heard("2"))

    assert backlog.peek() == backlog.peek() == (NOON, heard("1"))

    backlog.remove(NOON)
    assert backlog.peek() == (NOON + 60, heard("2"))


@pytest.mark.parametrize("interval", EVERY_INTERVAL)
def test_at_least_an_hour_is_kept_and_more_pushes_the_oldest_out(interval: int):
    backlog = TickBuffer(interval)

    for number in range(3 * HOUR // interval):
        backlog.add(NOON + number * interval, {})

    assert len(backlog) * interval >= HOUR
    assert len(backlog) + backlog.dropped == 3 * HOUR // interval
    assert backlog.peek()[0] == NOON + backlog.dropped * interval


def test_a_tick_that_is_pushed_out_while_it_is_committed_takes_no_other_with_it():
    backlog = TickBuffer(HOUR)
    backlog.add(NOON, {})
    backlog.add(NOON + HOUR, {})

    backlog.add(NOON + 2 * HOUR, {})
    backlog.remove(NOON)

    assert [at for at, _ in emptied(backlog)] == [NOON + HOUR, NOON + 2 * HOUR]


def test_what_was_committed_lately_and_forgotten_by_the_store_is_taken_up_again_in_order():
    backlog = TickBuffer(5)
    ticks = range(NOON, NOON + 30, 5)
    for at in ticks:
        backlog.add(at, heard(f"{at}"))
    for at in ticks[:4]:
        backlog.remove(at)

    backlog.restore_after(after=NOON + 10)

    assert emptied(backlog) == [(at, heard(f"{at}")) for at in ticks[3:]]


@pytest.mark.parametrize("interval", EVERY_INTERVAL)
def test_at_every_interval_that_is_one_tick_at_least(interval: int):
    backlog = TickBuffer(interval)
    backlog.add(NOON, heard("1"))
    backlog.remove(NOON)

    backlog.restore_after(after=0)

    assert emptied(backlog) == [(NOON, heard("1"))]


def test_a_full_backlog_takes_up_nothing_again_because_newer_ticks_would_go():
    backlog = TickBuffer(HOUR)
    for number in range(3):
        backlog.add(NOON + number * HOUR, {})
        if not number:
            backlog.remove(NOON)

    backlog.restore_after(after=0)

    assert [at for at, _ in emptied(backlog)] == [NOON + HOUR, NOON + 2 * HOUR]


def test_an_hour_of_ten_thousand_metrics_takes_less_than_40_mb():
    chance = random.Random(7)
    said = {
        Metric(f"INVENTED:PAIR{number}USDT"): SourceReading(
            Reading(
                f"{chance.random() * 10 ** chance.randrange(-4, 5):.8f}",
                f"{chance.random() * 1e6:.8f}",
                f"{chance.gauss(0, 5):.6f}",
                f"{chance.gauss(0, 5):.8f}",
                f"{chance.random() * 100:.8f}",
                NOON,
            ),
            "invented",
        )
        for number in range(10_000)
    }
    backlog = TickBuffer(60)
    for earlier in (0, 30):  # the oldest and the newest are not packed
        backlog.add(NOON + earlier, said)

    tracemalloc.start()
    for minute in range(1, 6):
        backlog.add(NOON + 60 * minute, said)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert grown / 5 * 60 < 40e6
