from collections.abc import AsyncIterator, Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from worker.clock.ticks import ticks

NOON = 1_621_252_800
HOUR = 3600


class Time:
    """A clock, and a sleep that moves it on: by what it is asked for, unless `wake` says otherwise."""

    def __init__(self, now: float, wake: Callable[[float], float] = lambda seconds: seconds) -> None:
        self.now = now
        self.wake = wake
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += self.wake(max(0.0, seconds))

    def beats(self, interval: int = 60, after: int | None = None) -> AsyncIterator[int]:
        return ticks(interval, after, self.clock, self.sleep)


async def take(count: int, clock: AsyncIterator[int]) -> list[int]:
    return [await anext(clock) for _ in range(count)]


@pytest.mark.parametrize("interval", [1, 5, 60, 300, 3600])
@pytest.mark.parametrize("second", [0.0, 0.001, 17.25, 59.999])
async def test_beats_are_on_the_grid_and_come_one_after_the_other(interval: int, second: float):
    time = Time(NOON + second)

    came = await take(5, time.beats(interval))

    first = int((NOON + second) // interval + 1) * interval
    assert came == [first + number * interval for number in range(5)]


async def test_a_beat_that_begins_is_not_yielded_at_the_start_because_it_is_over():
    came = await take(1, Time(NOON).beats())

    assert came == [NOON + 60]


async def test_a_sleep_that_wakes_early_makes_no_beat_early_and_none_twice():
    time = Time(NOON + 1.5, wake=lambda seconds: seconds - 0.4 if seconds > 0.5 else seconds)
    clock = time.beats()

    said = [(await anext(clock), time.now) for _ in range(5)]

    assert [beat for beat, _ in said] == [NOON + 60 * number for number in range(1, 6)]
    assert all(now >= beat for beat, now in said)


async def test_a_sleep_that_wakes_late_does_not_shift_the_grid():
    time = Time(NOON, wake=lambda seconds: seconds + 7.3)

    came = await take(5, time.beats())

    assert came == [NOON + 60 * number for number in range(1, 6)]


async def test_a_slow_tick_skips_beats_and_none_is_made_up_for():
    time = Time(NOON)
    clock = time.beats()
    await anext(clock)

    time.now += 3.5 * 60
    came = await take(3, clock)

    assert came == [NOON + 4 * 60, NOON + 5 * 60, NOON + 6 * 60]


async def test_a_tick_that_takes_nearly_all_of_its_interval_skips_nothing():
    time = Time(NOON)
    clock = time.beats()
    came = []

    for _ in range(5):
        came.append(await anext(clock))
        time.now += 59.9

    assert came == [NOON + 60 * number for number in range(1, 6)]


async def test_a_clock_set_forward_an_hour_is_noticed_by_the_next_beat():
    time = Time(NOON)
    clock = time.beats()
    await anext(clock)

    time.now += HOUR
    came = await take(2, clock)

    assert came == [NOON + 60 + HOUR, NOON + 120 + HOUR]


async def test_a_clock_set_back_an_hour_repeats_nothing_and_goes_on_when_it_is_past_the_last_beat():
    time = Time(NOON)
    clock = time.beats()
    await anext(clock)

    time.now -= HOUR
    with capture_logs() as logs:
        came = await take(2, clock)

    assert came == [NOON + 120, NOON + 180]
    assert time.now == NOON + 180
    assert max(time.slept) <= 60
    assert [entry["event"] for entry in logs] == ["the clock was set back, and nothing is sampled until it is past"]


async def test_a_clock_set_back_and_right_again_loses_one_beat_at_most():
    time = Time(NOON)
    clock = time.beats()
    await anext(clock)
    time.now -= HOUR
    time.wake = lambda seconds: seconds + (HOUR if len(time.slept) == 4 else 0)

    came = await take(2, clock)

    assert came == [NOON + 60 + 180, NOON + 60 + 240]


async def test_after_a_suspend_one_beat_comes_and_not_all_that_were_slept_through():
    time = Time(NOON)
    clock = time.beats()
    await anext(clock)
    time.wake = lambda seconds: seconds + (5 * HOUR if len(time.slept) == 2 else 0)

    came = await take(3, clock)

    assert came == [NOON + 5 * HOUR + 120, NOON + 5 * HOUR + 180, NOON + 5 * HOUR + 240]


async def test_beats_after_an_instant_leave_out_nothing_that_came_since():
    time = Time(NOON + 60.2)

    came = await take(2, time.beats(after=NOON))

    assert came == [NOON + 60, NOON + 120]


async def test_beats_after_an_instant_to_come_begin_behind_it():
    came = await take(2, Time(NOON).beats(after=NOON + HOUR))

    assert came == [NOON + HOUR + 60, NOON + HOUR + 120]


happenings = st.lists(
    st.tuples(
        st.floats(-0.05, 200, allow_nan=False),  # how much longer a sleep takes
        st.sampled_from([0, 0, 0, 0.5, 59.9, 61, 600]),  # how long a tick takes
        st.sampled_from([0, 0, 0, 0, HOUR, -HOUR, -1, 86400, -0.2]),  # how much the clock is set
    ),
    min_size=1,
    max_size=30,
)


@given(st.sampled_from([1, 5, 60, 300]), st.floats(0, 400, allow_nan=False), happenings)
async def test_whatever_happens_no_beat_is_early_repeated_off_the_grid_or_made_up_for(interval, second, happened):
    time = Time(NOON + second)
    clock = time.beats(interval)
    said = [(NOON + int(second // interval) * interval, 0.0)]

    for late, tick, set_by in happened:
        time.wake = lambda seconds, late=late: seconds + late if seconds > 0.1 else seconds
        said.append((await anext(clock), time.now))
        time.now += tick + set_by

    came = [beat for beat, _ in said]
    assert all(later > beat for beat, later in pairwise(came))
    assert all(beat % interval == 0 for beat in came)
    assert all(now - interval < beat <= now for beat, now in said[1:])
