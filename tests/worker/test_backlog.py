import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.backlog import Backlog
from worker.latest import HOUR, Heard, Metric, Reading

from .invented import BTC, NOON

EVERY_INTERVAL = [seconds for seconds in range(1, HOUR + 1) if HOUR % seconds == 0]


def heard(price: str) -> dict[Metric, Heard]:
    return {BTC: Heard(Reading(price), "invented")}


def emptied(backlog: Backlog) -> list[tuple[int, dict[Metric, Heard]]]:
    """Give all ticks as they would be committed."""
    ticks = []
    while backlog:
        ticks.append(backlog.oldest())
        backlog.done(ticks[-1][0])
    return ticks


def test_ticks_come_out_in_the_order_in_which_they_went_in():
    backlog = Backlog(60)
    kept = [(NOON + 60 * minute, heard(f"{minute}")) for minute in range(100)]

    for at, said in kept:
        backlog.keep(at, said)

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


@given(st.dictionaries(st.text(min_size=1), st.builds(Heard, readings, st.text(min_size=1))))
def test_what_comes_out_is_what_went_in_digit_for_digit(said):
    backlog = Backlog(60)

    backlog.keep(NOON, said)

    assert backlog.oldest() == (NOON, said)


def test_the_oldest_stays_until_it_is_done():
    backlog = Backlog(60)
    backlog.keep(NOON, heard("1"))
    backlog.keep(NOON + 60, heard("2"))

    assert backlog.oldest() == backlog.oldest() == (NOON, heard("1"))

    backlog.done(NOON)
    assert backlog.oldest() == (NOON + 60, heard("2"))


@pytest.mark.parametrize("interval", EVERY_INTERVAL)
def test_at_least_an_hour_is_kept_and_more_pushes_the_oldest_out(interval: int):
    backlog = Backlog(interval)

    for number in range(3 * HOUR // interval):
        backlog.keep(NOON + number * interval, {})

    assert len(backlog) * interval >= HOUR
    assert len(backlog) + backlog.dropped == 3 * HOUR // interval
    assert backlog.oldest()[0] == NOON + backlog.dropped * interval


def test_a_tick_that_is_pushed_out_while_it_is_committed_takes_no_other_with_it():
    backlog = Backlog(HOUR)
    backlog.keep(NOON, {})
    backlog.keep(NOON + HOUR, {})

    backlog.keep(NOON + 2 * HOUR, {})
    backlog.done(NOON)

    assert [at for at, _ in emptied(backlog)] == [NOON + HOUR, NOON + 2 * HOUR]


def test_what_was_committed_lately_and_forgotten_by_the_store_is_taken_up_again_in_order():
    backlog = Backlog(5)
    ticks = range(NOON, NOON + 30, 5)
    for at in ticks:
        backlog.keep(at, heard(f"{at}"))
    for at in ticks[:4]:
        backlog.done(at)

    backlog.forgotten(after=NOON + 10)

    assert emptied(backlog) == [(at, heard(f"{at}")) for at in ticks[3:]]


@pytest.mark.parametrize("interval", EVERY_INTERVAL)
def test_at_every_interval_that_is_one_tick_at_least(interval: int):
    backlog = Backlog(interval)
    backlog.keep(NOON, heard("1"))
    backlog.done(NOON)

    backlog.forgotten(after=0)

    assert emptied(backlog) == [(NOON, heard("1"))]


def test_a_full_backlog_takes_up_nothing_again_because_newer_ticks_would_go():
    backlog = Backlog(HOUR)
    for number in range(3):
        backlog.keep(NOON + number * HOUR, {})
        if not number:
            backlog.done(NOON)

    backlog.forgotten(after=0)

    assert [at for at, _ in emptied(backlog)] == [NOON + HOUR, NOON + 2 * HOUR]


def test_an_hour_of_ten_thousand_metrics_takes_less_than_40_mb():
    chance = random.Random(7)
    said = {
        Metric(f"INVENTED:PAIR{number}USDT"): Heard(
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
    backlog = Backlog(60)
    backlog.keep(NOON, said)

    tracemalloc.start()
    for minute in range(1, 6):
        backlog.keep(NOON + 60 * minute, said)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert grown / 5 * 60 < 40e6
