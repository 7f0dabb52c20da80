"""A clock is believed as far as two witnesses allow: the steady clock, and what time providers say it is."""

from collections.abc import Mapping
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.support.invented import NOON
from worker.clock.ticks import ticks
from worker.clock.wall import SETTLING_SECONDS, ClockSetBack, WatchedClock, read_steady_clock
from worker.latest import DAY, HOUR


class World:
    """A machine with a clock that can be set, and providers that say what time it really is, or are told to differ."""

    def __init__(self, *hosts: str, ahead: float = 0.0) -> None:
        self.real = float(NOON)
        self.even = 1000.0
        self.ahead = ahead
        """How far the machine's clock is."""
        self.off: Mapping[str, float | None] = dict.fromkeys(hosts, 0.0)
        """How far each provider's clock is; `None` where it does not answer."""
        self.asked = 0
        self.clock = WatchedClock(lambda: self.real + self.ahead, lambda: self.even)
        self.clock.set_askers([self._asking(host) for host in hosts])

    def _asking(self, host: str):
        async def ask() -> None:
            self.asked += 1
            self.answers(host)

        return ask

    def answers(self, host: str, age: int | None = None) -> None:
        off = self.off[host]
        if off is None:
            raise ConnectionError(host)
        self.clock.note_date(
            host, formatdate(self.real + off - (age or 0), usegmt=True), None if age is None else str(age)
        )

    def passes(self, seconds: float) -> None:
        self.real += seconds
        self.even += seconds

    async def sleep(self, seconds: float) -> None:
        self.passes(max(0.0, seconds))


async def test_a_clock_that_jumps_ahead_is_not_believed_and_is_again_when_it_is_right():
    world = World("kraken")
    assert await world.clock.is_right()

    with capture_logs() as logs:
        world.ahead = 2 * DAY
        for _ in range(3):
            world.passes(15)
            assert not await world.clock.is_right()
        world.ahead = 0
        assert await world.clock.is_right()

    assert [entry["event"] for entry in logs] == [
        "nothing is sampled: the clock cannot be relied on",
        "the clock can be relied on again",
    ]
    assert logs[0]["reason"] == "the machine's clock is 172800 s ahead of that of kraken"


@pytest.mark.parametrize("ahead", [2 * DAY, HOUR, 300, -HOUR, -2 * DAY])
async def test_a_clock_that_is_wrong_from_the_start_is_found_out_by_the_providers(ahead: int):
    world = World("kraken", "binance", ahead=ahead)

    assert not await world.clock.is_right()

    assert f"{abs(ahead)} s {'ahead of' if ahead > 0 else 'behind'} that of" in str(world.clock.fault)
    assert world.clock.now() == pytest.approx(world.real, abs=1)


@pytest.mark.parametrize("jump", [2 * DAY, -HOUR])
async def test_a_jump_that_a_provider_confirms_is_believed(jump: int):
    """So starts a machine without a battery, and so goes on one that was paused as a whole."""
    world = World("kraken")
    assert await world.clock.is_right()

    world.real += jump

    assert await world.clock.is_right()
    assert world.clock.is_confirmed


async def test_a_jump_is_not_believed_while_no_provider_answers_however_long_that_is():
    world = World("kraken")
    assert await world.clock.is_right()
    world.off = {"kraken": None}

    world.ahead = HOUR
    for _ in range(100):
        assert not await world.clock.is_right()
        assert world.clock.now() == world.real
        world.passes(60)


async def test_where_nobody_can_be_asked_a_jump_is_believed_when_the_clock_has_gone_on_evenly_for_long():
    world = World()
    assert await world.clock.is_right()
    world.ahead = HOUR

    assert not await world.clock.is_right()
    world.passes(SETTLING_SECONDS - 1)
    assert not await world.clock.is_right()
    world.passes(2)

    assert await world.clock.is_right()


@given(
    st.lists(
        st.tuples(
            st.sampled_from([1.0, 60.0, 3600.0, 8 * 3600.0]),  # a beat, or a night asleep
            st.sampled_from([0.0, 0.0005, -0.0005, 0.083]),  # slewed
            st.sampled_from([0.0, 1.0, -1.0, 5.0]),  # a leap second, a small step
        ),
        max_size=20,
    )
)
async def test_sleep_slewing_and_small_steps_are_no_jumps(happened):
    world = World()
    assert await world.clock.is_right()

    for seconds, slewing, step in happened:
        world.passes(seconds)
        world.ahead += seconds * slewing + step
        assert await world.clock.is_right()


async def test_while_all_is_well_nobody_is_asked_beyond_the_first_time():
    world = World("kraken")

    for _ in range(10):
        assert await world.clock.is_right()
        world.answers("kraken")
        world.passes(60)

    assert world.asked == 1


async def test_one_provider_whose_clock_is_wrong_stops_nothing_while_another_agrees():
    world = World("kraken", "binance")
    world.off = {"kraken": -3 * DAY, "binance": 0.0}

    assert await world.clock.is_right()
    world.answers("kraken")
    assert await world.clock.is_right()


async def test_an_answer_that_a_cache_kept_for_an_hour_is_told_by_its_age():
    world = World("binance")
    assert await world.clock.is_right()

    world.answers("binance", age=HOUR)

    assert await world.clock.is_right()
    assert world.asked == 1


async def test_an_answer_to_what_was_asked_at_a_tick_can_be_the_first_that_tells():
    """Started without a network, there is nothing to hold against the clock."""
    world = World("kraken", ahead=HOUR)
    world.off = {"kraken": None}
    assert await world.clock.is_right()
    assert not world.clock.is_settled

    world.off = {"kraken": 0.0}
    world.answers("kraken")

    assert not await world.clock.is_right()


@pytest.mark.parametrize("date", [None, "", "yesterday", "Mon, 99 Foo 2021 00:00:00 GMT", "0"])
async def test_a_date_that_cannot_be_read_says_nothing(date: str | None):
    clock = WatchedClock()

    clock.note_date("kraken", date, "much")

    assert await clock.is_right()


def test_the_steady_clock_goes_on():
    assert read_steady_clock() <= read_steady_clock()


async def test_no_beat_comes_while_the_clock_is_ahead_and_the_grid_goes_on_when_it_is_right():
    world = World("kraken")
    came = ticks(60, NOON, world.clock.wall, world.sleep, world.clock)
    assert await anext(came) == NOON + 60
    wakes = 0

    async def sleep(seconds: float) -> None:
        nonlocal wakes
        wakes += 1
        world.ahead = 2 * DAY if wakes < 9 else 0
        await world.sleep(seconds)

    came = ticks(60, NOON + 60, world.clock.wall, sleep, world.clock)

    assert await anext(came) == NOON + 120
    assert 0 < wakes < 20, "it must neither spin nor stop"


async def test_whoever_went_by_a_clock_that_was_far_ahead_is_told_when_it_is_right_again():
    world = World("kraken")
    came = ticks(60, NOON + HOUR, world.clock.wall, world.sleep, world.clock)

    with pytest.raises(ClockSetBack, match="3540 s ahead"):
        await anext(came)


async def test_a_clock_set_back_by_less_is_waited_for():
    world = World("kraken")
    came = ticks(60, NOON + 120, world.clock.wall, world.sleep, world.clock)

    assert await anext(came) == NOON + 180
