"""When the ticks of a recording are due, by a clock that nobody waits for."""

import pytest

from worker.sampling.pace import ReplayPace, parse_speed

NOON = 1_621_252_800


class Time:
    """A steady clock that goes on only while somebody sleeps, or is held up."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.mark.parametrize("speed, apart", [("60", 1.0), ("1", 60.0), ("0.5", 120.0), ("6e1", 1.0), ("100000", 0.0006)])
async def test_the_first_tick_is_due_at_once_and_the_others_as_far_apart_as_the_speed_says(speed: str, apart: float):
    time = Time()
    pace = ReplayPace(speed, clock=time, sleep=time.sleep)

    for minute in range(4):
        await pace.wait_for(NOON + 60 * minute)

    assert time.slept == pytest.approx([apart] * 3)


async def test_what_a_tick_takes_is_part_of_the_time_to_the_next():
    time = Time()
    pace = ReplayPace("60", clock=time, sleep=time.sleep)

    for minute in range(4):
        await pace.wait_for(NOON + 60 * minute)
        time.now += 0.25  # its commit

    assert time.slept == pytest.approx([0.75] * 3)


async def test_a_short_delay_is_made_up_for():
    time = Time()
    pace = ReplayPace("60", clock=time, sleep=time.sleep)
    await pace.wait_for(NOON)
    time.now += 1.5

    await pace.wait_for(NOON + 60)
    await pace.wait_for(NOON + 120)

    assert time.slept == pytest.approx([0.5])


async def test_after_a_long_delay_it_goes_on_at_its_speed_and_does_not_rush():
    """As where the process was stopped for a while, and then continued."""
    time = Time()
    pace = ReplayPace("60", clock=time, sleep=time.sleep)
    await pace.wait_for(NOON)
    time.now += 600

    for minute in (1, 2, 3):
        await pace.wait_for(NOON + 60 * minute)

    assert time.slept == pytest.approx([1.0, 1.0])


async def test_what_lies_before_the_beginning_is_not_waited_for():
    time = Time()
    pace = ReplayPace("60", NOON + 120, time, time.sleep)

    for minute in range(4):
        await pace.wait_for(NOON + 60 * minute)

    assert time.slept == pytest.approx([1.0])


async def test_ticks_that_are_there_already_take_no_time():
    """A replay that goes on begins in the middle."""
    time = Time()
    pace = ReplayPace("60", clock=time, sleep=time.sleep)

    await pace.wait_for(NOON + 3600)

    assert time.slept == []


@pytest.mark.parametrize("text", ["60", "1", "0.5", "0.01", "100000", "1e3"])
def test_a_speed_is_a_number_above_zero(text: str):
    assert parse_speed(text) == text


@pytest.mark.parametrize(
    "text", ["0", "-60", "nan", "inf", "fast", "", "60x", "0.001", "100001", "1e999", "1_000", " 60", "٦٠"]
)
def test_anything_else_is_refused_with_what_is_accepted(text: str):
    with pytest.raises(ValueError, match=r"accepted: a number from 0\.01 to 100,000") as raised:
        parse_speed(text)

    assert str(raised.value).startswith(f"--speed: {text!r} is not accepted; ")
