from collections.abc import Callable, Iterable

import pytest
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st

from tests.support.invented import BTC, ETH, NOON, Invented
from worker.latest import HOUR, Metric, Reading
from worker.latest.market import SourceReading
from worker.sampling.collect import collect
from worker.sampling.market_watch import MarketWatch
from worker.sampling.reading_checks import ReadingChecks, is_near
from worker.sources.supervised import SupervisedSource


class Door:
    """Readings of one metric, one a minute, and what became of each."""

    def __init__(self, jump_limit: int = 3) -> None:
        self.checks = ReadingChecks(jump_limit)
        self.at = NOON

    def read(
        self, price: str, told: int | None = None, others: Iterable[str] = (), after: int = 60, metric: Metric = BTC
    ) -> str | None:
        """Return why a reading is left out; `None` where it is accepted."""
        self.at += after
        heard = {metric: SourceReading(Reading(price, provider_time=told), "invented")}
        accepted, rejected = self.checks.select(self.at, heard, lambda _: [Reading(other) for other in others])
        assert bool(accepted) != bool(rejected)
        return rejected[0].reason if rejected else None


@pytest.fixture
def door() -> Door:
    return Door()


def test_an_answer_that_is_older_than_the_last_is_left_out_and_the_next_newer_one_is_not(door: Door):
    assert door.read("1", told=NOON) is None
    assert door.read("1", told=NOON - 1) == "provider time older than the last"
    assert door.read("1", told=NOON) is None, "the same time again: nothing was traded"
    assert door.read("1", told=NOON + 180) is None


def test_a_time_that_the_provider_cannot_know_yet_is_left_out(door: Door):
    assert door.read("1", told=NOON + 121) == "provider time in the future"
    assert door.read("1", told=NOON + 180) is None


def test_a_jump_waits_for_its_second_look(door: Door):
    assert door.read("100") is None
    assert door.read("300.1") == "unconfirmed jump"
    assert door.read("301") is None
    assert door.read("100.3") == "unconfirmed jump", "the way back is one, too"
    assert door.read("100") is None


def test_a_jump_that_was_a_mistake_leaves_no_sample(door: Door):
    assert [door.read(price) for price in ("100", "1", "100", "1000000", "100")] == [
        None,
        "unconfirmed jump",
        None,
        "unconfirmed jump",
        None,
    ]


def test_two_jumps_that_disagree_are_both_left_out(door: Door):
    assert [door.read(price) for price in ("100", "1000", "5000", "4600")] == [
        None,
        "unconfirmed jump",
        "unconfirmed jump",
        None,
    ]


def test_another_source_confirms_a_jump_at_once(door: Door):
    assert door.read("100") is None
    assert door.read("301", others=["100"]) == "unconfirmed jump"
    assert door.read("500", others=["100", "460"]) is None


@pytest.mark.parametrize(
    "limit, price, reason",
    [
        pytest.param(3, "300", None, id="exactly the limit is no jump"),
        pytest.param(3, "33.34", None, id="a third is none either"),
        pytest.param(3, "33.33", "unconfirmed jump", id="less than a third"),
        pytest.param(10, "999", None, id="the limit is a setting"),
        pytest.param(3, "3.0001e2", "unconfirmed jump", id="with an exponent"),
    ],
)
def test_what_is_a_jump_is_told_exactly(limit: int, price: str, reason: str | None):
    door = Door(limit)

    assert [door.read("100"), door.read(price)] == [None, reason]


def test_after_an_hour_without_a_reading_any_price_is_believed(door: Door):
    assert door.read("100") is None
    assert door.read("1", after=HOUR + 60) is None


def test_metrics_know_nothing_of_each_other(door: Door):
    assert door.read("100") is None
    assert door.read("1", metric=ETH) is None


prices = st.decimals(min_value="0.00000001", max_value="1e9", places=8).filter(bool).map(str)


@given(st.lists(prices, min_size=1, max_size=20))
def test_a_price_that_is_read_twice_in_a_row_is_always_accepted_the_second_time(read: list[str]):
    door = Door()

    for price in read:
        door.read(price)
        assert door.read(price) is None


@given(prices, prices)
def test_being_near_is_mutual(one: str, other: str):
    assert is_near(one, other) == is_near(other, one)
    assert is_near(one, one)


async def test_what_is_left_out_is_counted_with_its_text_at_its_source(session: ClientSession, watch: MarketWatch):
    source = SupervisedSource(Jumping(lambda at: "100" if at == NOON else "0.5"), session, 5)
    checks = ReadingChecks()

    first = await collect([source], NOON, watch, checks)
    second = await collect([source], NOON + 60, watch, checks)

    assert (len(first), len(second)) == (1, 0)
    state = source.describe_state()
    assert state["rejects"] == {"unconfirmed jump": 1}
    assert state["rejected"] == [
        {"at": NOON + 60, "metric": BTC, "reason": "unconfirmed jump", "text": "0.5, after 100"}
    ]


class Jumping(Invented):
    def __init__(self, price: Callable[[int], str]) -> None:
        super().__init__(BTC)
        self._price = price

    async def fetch(self, _session: ClientSession, at: int) -> dict[Metric, Reading]:
        return {BTC: Reading(self._price(at))}


@pytest.mark.parametrize(
    "before, now, is_left_out",
    [
        ("1", "1.5", False),
        ("1", "1.99999999999999999999", False),
        ("1", "2.00000000000000000001", True),
        ("1e-400", "2.5e-400", True),  # both are 0 as floats
        ("1e400", "2.5e400", True),  # and both infinite
        ("0", "0.1", True),
    ],
)
def test_a_jump_is_told_by_exact_numbers_wherever_floats_could_not(before: str, now: str, *, is_left_out: bool):
    door = Door(jump_limit=2)
    door.read(before)
    assert (door.read(now) is not None) is is_left_out
