from tests.support.invented import BTC, ETH, NOON
from worker.latest import HOUR, Metric, Reading
from worker.latest.market import Freshness
from worker.sampling.feed_watch import MANY, QUIET_SECONDS, STAMPED_SECONDS, FeedWatch

MOVING = [
    Reading(f"{100 + minute}", "9", interval_volume="1", provider_time=NOON + 60 * minute) for minute in range(99)
]


def watch_states(*answers: dict[Metric, Reading], metric: Metric = BTC) -> list[Freshness | None]:
    """Return how a metric stands after each answer, one a minute."""
    watch, states = FeedWatch(60), []
    for minute, answer in enumerate(answers):
        at = NOON + 60 * minute
        watch.update(at, answer)
        note = watch.judge(at, metric)
        states.append(note.state if note else None)
    return states


def test_a_feed_whose_time_stands_still_is_frozen_within_two_intervals():
    frozen = MOVING[1]._replace(interval_volume="0")

    states = watch_states({BTC: MOVING[0]}, {BTC: MOVING[1]}, {BTC: frozen}, {BTC: MOVING[3]})

    assert states == [None, None, Freshness.FROZEN, None]


def test_it_is_frozen_although_its_numbers_move():
    states = watch_states(*[{BTC: each._replace(provider_time=NOON)} for each in MOVING[:3]])

    assert states == [None, Freshness.FROZEN, Freshness.FROZEN]


def test_one_that_says_no_time_any_more_is_frozen_where_its_numbers_stand_still_too():
    same, moved = MOVING[0]._replace(provider_time=None), MOVING[5]._replace(provider_time=None)

    states = watch_states({BTC: MOVING[0]}, {BTC: same}, {BTC: same}, {BTC: moved})

    assert states == [None, Freshness.FROZEN, Freshness.FROZEN, None]


def test_at_a_tick_a_second_a_cache_of_a_few_seconds_freezes_nothing():
    watch, states = FeedWatch(1), []
    for second in range(8):
        watch.update(NOON + second, {BTC: Reading("1", provider_time=NOON)})
        note = watch.judge(NOON + second, BTC)
        states.append(note.state if note else None)

    assert states == [None] * 5 + [Freshness.FROZEN] * 3


def test_a_market_is_quiet_where_nothing_is_traded_for_five_minutes_and_its_time_moves():
    flat = [Reading("1", "9", interval_volume="0.0", provider_time=NOON + 60 * minute) for minute in range(8)]
    traded = flat[7]._replace(interval_volume="0.1")

    states = watch_states(*[{BTC: each} for each in flat[:7]], {BTC: traded})

    quiet = QUIET_SECONDS // 60
    assert states == [None] * quiet + [Freshness.QUIET] * (7 - quiet) + [None]


def test_without_an_interval_volume_the_volume_of_the_day_tells_whether_it_is_quiet():
    flat = [Reading("1", "9", provider_time=NOON + 60 * minute) for minute in range(6)]
    falling = [each._replace(volume=f"{9 - minute}") for minute, each in enumerate(flat)]

    assert watch_states(*[{BTC: each} for each in flat])[-1] is Freshness.QUIET
    assert watch_states(*[{BTC: each} for each in falling])[-1] is None


def test_a_market_that_may_be_stamped_with_its_last_trade_is_not_frozen_for_ten_minutes():
    states = watch_states(*[{BTC: MOVING[0], ETH: MOVING[minute]} for minute in range(13)])

    patient = STAMPED_SECONDS // 60
    assert states[patient] is Freshness.FROZEN
    assert Freshness.FROZEN not in states[:patient]


def test_where_times_move_without_trade_one_market_that_stands_still_is_frozen_at_once():
    untraded = [Reading("1", "9", interval_volume="0", provider_time=NOON + 60 * minute) for minute in range(4)]

    states = watch_states(
        {BTC: MOVING[0], ETH: untraded[0]}, {BTC: MOVING[1], ETH: untraded[1]}, {BTC: MOVING[1], ETH: untraded[2]}
    )

    assert states == [None, None, Freshness.FROZEN]


def test_without_a_time_one_market_is_frozen_after_an_hour_without_a_change():
    states = watch_states(*[{BTC: Reading("1", "9"), ETH: Reading(f"{minute}", "9")} for minute in range(62)])

    assert states[HOUR // 60 :] == [Freshness.FROZEN] * 2
    assert set(states[: HOUR // 60]) == {None}


def test_without_a_time_an_answer_of_many_markets_is_frozen_after_five_minutes_without_a_change():
    def answer(minute: int) -> dict[Metric, Reading]:
        return {Metric(f"INVENTED:{place}"): Reading(f"{minute}", "9") for place in range(MANY)}

    first = Metric("INVENTED:0")

    states = watch_states(*[answer(min(minute, 2)) for minute in range(9)], metric=first)

    assert states == [None] * 7 + [Freshness.FROZEN] * 2
