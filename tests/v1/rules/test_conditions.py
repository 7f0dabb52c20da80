"""When each kind of rule holds: hand-made series, the edges, and a recount with fractions."""

from fractions import Fraction
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rule_play import BTC, ETH, HOUR, MINUTE, NOON, Sampler, rule, said, ticks
from v1.rules import parse_rule

VOLUME = {"measure": "interval_volume"}
DECIMALS = st.builds(
    lambda units, places: f"{units / 10**places:.{places}f}", st.integers(0, 10_000), st.integers(0, 3)
)


# ---- ratio -------------------------------------------------------------------------------------------------------


def test_exactly_three_times_the_mean_does_not_fire_and_the_least_more_does():
    series = ["0.1"] * 60

    assert said(rule(), [*series, "0.3"]) == []
    (alert,) = said(rule(), [*series, "0.3000000000000000000000001"])
    assert (alert.value, alert.mean, alert.samples, alert.since) == ("0.3000000000000000000000001", 0.1, 60, NOON)


def test_the_value_that_is_judged_is_not_in_its_own_mean():
    """With itself in it, a value could never exceed three times the mean of three numbers."""
    assert ticks(said(rule(min_samples=1), ["1", "4"])) == [1]


def test_the_hour_is_the_sixty_samples_before_and_no_older_one():
    high_before = ["1000", *["1"] * 60, "4"]
    high_within = ["1", "1000", *["1"] * 59, "4"]

    assert ticks(said(rule(min_samples=1), high_before)) == [61]
    assert 61 not in ticks(said(rule(min_samples=1), high_within))


@pytest.mark.parametrize(
    "before, value",
    [
        pytest.param("0", "1000000", id="of zero"),
        pytest.param("-1", "1000000", id="below zero"),
    ],
)
def test_a_mean_of_zero_or_below_is_exceeded_by_nothing(before, value):
    assert said(rule(measure="change_absolute"), [*[before] * 60, value], measure="change_absolute") == []


@pytest.mark.parametrize("many, fires", [(29, False), (30, True)])
def test_with_too_few_samples_before_it_a_rule_says_nothing(many, fires):
    assert bool(said(rule(), [*["1"] * many, "100"])) is fires


def test_samples_that_are_not_there_count_neither_as_zero_nor_at_all():
    (alert,) = said(rule(), [*["2"] * 30, *[None] * 29, "2", "7"])

    assert (alert.mean, alert.samples, alert.ratio) == (2.0, 31, 3.5)


def test_a_window_of_its_own_is_looked_at_to_the_second():
    quarter = rule(window="15m", min_samples=15)

    assert ticks(said(quarter, ["100", *["1"] * 15, "4"])) == [16]
    assert said(quarter, ["1", "100", *["1"] * 14, "4"]) == []


@given(st.lists(st.none() | DECIMALS, min_size=2, max_size=80), DECIMALS.filter(lambda text: float(text) > 0))
def test_ratio_says_what_a_recount_with_fractions_says(series, factor):
    expected = []
    for at, value in enumerate(series):
        before = [Fraction(each) for each in series[max(0, at - 60) : at] if each is not None]
        if value is not None and len(before) >= 3 and sum(before) > 0:
            mean = sum(before) / len(before)
            if Fraction(value) > Fraction(factor) * mean:
                expected.append(at)

    assert ticks(said(rule(factor=factor, min_samples=3, **VOLUME), series, measure="interval_volume")) == expected


# ---- threshold ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bound, fires",
    [({"above": "1.10"}, [2]), ({"below": "1.10"}, [0]), ({"above": "1.1", "for": 60}, [])],
    ids=["above", "below", "above for a minute"],
)
def test_a_threshold_is_passed_and_not_reached(bound, fires):
    assert ticks(said(rule("threshold", **bound), ["1.09", "1.1", "1.1000001", "1.1"])) == fires


def test_a_threshold_speaks_of_numbers_below_zero_too():
    falling = rule("threshold", measure="change_percentage", below="-10")

    assert ticks(said(falling, ["-9.99", "-10", "-10.01", None], measure="change_percentage")) == [2]


def test_a_threshold_tells_its_bound_and_by_how_much_it_is_passed():
    (above,) = said(rule("threshold", above="1.10"), ["1.375"])
    (below,) = said(rule("threshold", below="-10", measure="change_percentage"), ["-12"], measure="change_percentage")
    (of_zero,) = said(rule("threshold", above=0), ["5"])

    assert (above.reference, above.reference_kind, above.ratio) == ("1.10", "above", 25.0)
    assert (below.reference, below.reference_kind, below.ratio) == ("-10", "below", -20.0)
    assert (of_zero.reference, of_zero.ratio) == ("0", None)


# ---- change ------------------------------------------------------------------------------------------------------


def change(**fields):
    return rule("change", **({"percent": 5, "window": "1h"} | fields))


def test_a_change_within_the_window_is_one_from_its_lowest_or_its_highest_value():
    """100, 96, 104.5: less than 5 % from the first, and nearly 9 % from the lowest."""
    (alert,) = said(change(), ["100", "96", "104.5"])

    assert (alert.since, alert.reference, alert.reference_kind) == (NOON + MINUTE, "96", "lowest")
    assert alert.ratio == pytest.approx(8.854166666)
    assert said(change(since="start"), ["100", "96", "104.5"]) == []


@pytest.mark.parametrize(
    "direction, fires",
    [("up", [2, 3, 5]), ("down", [4, 6]), ("both", [2, 3, 4, 5, 6])],
)
def test_upwards_a_change_is_from_the_lowest_and_downwards_from_the_highest(direction, fires):
    moved = change(window="3m", direction=direction)

    alerts = said(moved, ["100", "100", "105.01", "105.01", "99.7", "105.01", "99.7"])

    assert ticks(alerts) == fires
    assert {(alert.reference_kind, (alert.ratio or 0) > 0) for alert in alerts} <= {
        ("lowest", True),
        ("highest", False),
    }


def test_of_two_moves_the_larger_one_is_told():
    (alert,) = said(change(percent=20), ["100", "120", "80", "100"])[1:]

    assert (alert.reference, alert.reference_kind, alert.ratio) == ("80", "lowest", 25.0)


def test_exactly_so_many_percent_is_no_change_and_the_least_more_is():
    assert said(change(), ["0.1", "0.105"]) == []
    assert ticks(said(change(), ["0.1", "0.10500000000000000000001"])) == [1]


def test_an_extreme_that_was_reached_twice_is_told_with_the_newer_time():
    (alert,) = said(change(), ["100", "101", "100.0", "101", "106"])

    assert (alert.reference, alert.since) == ("100.0", NOON + 2 * MINUTE)


@pytest.mark.parametrize(
    "direction, fires",
    [("up", [3, 4]), ("down", [7]), ("both", [3, 4, 7])],
)
def test_a_change_since_the_start_is_one_from_the_first_sample_of_the_window(direction, fires):
    moved = change(window="3m", direction=direction, since="start")

    alerts = said(moved, ["100", "100", "105", "105.01", "105.01", "105.01", "100", "99.7"])

    assert ticks(alerts) == fires
    assert {alert.reference_kind for alert in alerts} == {"first"}


@pytest.mark.parametrize("since", ["extreme", "start"])
def test_the_window_of_a_change_begins_where_it_says_and_not_before(since):
    assert said(change(window="2m", since=since), ["100", "103", "106", "109"])[0].since == NOON
    assert ticks(said(change(window="1m", since=since), ["100", "103", "106", "109"])) == []


@pytest.mark.parametrize("since", ["extreme", "start"])
def test_after_a_gap_a_change_is_counted_from_the_samples_that_there_are(since):
    (alert,) = said(change(window="10m", since=since), ["100", None, None, "103", *[None] * 8, "109"])

    assert (alert.since, round(alert.ratio or 0, 6)) == (NOON + 3 * MINUTE, 5.825243)


def test_from_zero_there_is_no_change_in_percent_but_from_the_other_values_of_the_window():
    assert said(change(since="start", **VOLUME), ["0", "7"], measure="interval_volume") == []
    assert said(change(**VOLUME), ["0", "7"], measure="interval_volume") == []
    assert ticks(said(change(**VOLUME), ["0", "7", "0", "8"], measure="interval_volume")) == [2, 3]


@given(st.lists(st.none() | DECIMALS, min_size=2, max_size=40), st.integers(1, 50), st.integers(1, 20))
def test_change_says_what_a_recount_with_fractions_says(series, percent, minutes):
    within, since_start = [], []
    for at, value in enumerate(series):
        before = [Fraction(each) for each in series[max(0, at - minutes) : at] if each is not None]
        if value is not None:
            far = [base > 0 and abs(Fraction(value) - base) * 100 > percent * base for base in before]
            within += [at] if any(far) else []
            since_start += [at] if far and far[0] else []

    for since, expected in (("extreme", within), ("start", since_start)):
        moved = change(percent=percent, window=minutes * MINUTE, since=since, **VOLUME)
        assert ticks(said(moved, series, measure="interval_volume")) == expected


# ---- deviation ---------------------------------------------------------------------------------------------------


def test_exactly_three_deviations_do_not_fire():
    """The day is 9, 11, 9, 11, ...: mean 10, deviation 1."""
    day = ["9", "11"] * 20

    assert said(rule("deviation"), [*day, "13"]) == []
    (up,) = said(rule("deviation"), [*day, "13.000001"])
    (down,) = said(rule("deviation"), [*day, "6.9"])
    assert up.ratio == 3.000001
    assert (down.ratio, down.mean, down.samples) == (-3.1, 10.0, 40)


@pytest.mark.parametrize("direction, fires", [("up", [40]), ("down", [41]), ("both", [40, 41])])
def test_a_deviation_is_watched_in_the_direction_that_is_asked_for(direction, fires):
    day = ["9", "11"] * 20

    assert ticks(said(rule("deviation", direction=direction), [*day, "14", "5"])) == fires


def test_after_a_day_that_stood_still_the_least_move_is_told_without_a_score():
    (alert,) = said(rule("deviation"), [*["10"] * 30, "10.01"])

    assert (alert.ratio, alert.mean) == (None, 10.0)


@given(st.lists(DECIMALS, min_size=5, max_size=60), st.sampled_from(["1", "1.5", "2"]))
def test_deviation_says_what_a_recount_with_fractions_says(series, score):
    expected = []
    for at, value in enumerate(series):
        before = [Fraction(each) for each in series[:at]]
        if len(before) < 5:
            continue
        mean = sum(before) / len(before)
        variance = sum((each - mean) ** 2 for each in before) / len(before)
        off = Fraction(value) - mean
        if off != 0 and off**2 > Fraction(score) ** 2 * variance:
            expected.append(at)

    moved = rule("deviation", score=score, min_samples=5, **VOLUME)
    assert ticks(said(moved, series, measure="interval_volume")) == expected


@given(st.lists(DECIMALS, min_size=6, max_size=30))
def test_the_score_is_the_distance_in_deviations(series):
    for alert in said(rule("deviation", score="0.1", min_samples=5, **VOLUME), series, measure="interval_volume"):
        before = [float(each) for each in series[: (alert.at - NOON) // MINUTE]]
        mean = sum(before) / len(before)
        deviation = sqrt(sum((each - mean) ** 2 for each in before) / len(before))
        if alert.ratio is not None and deviation > 1e-6:
            assert alert.ratio == pytest.approx((float(alert.value or 0) - mean) / deviation, rel=1e-6, abs=1e-6)


# ---- rank --------------------------------------------------------------------------------------------------------


def test_a_rank_rule_tells_who_enters_and_who_leaves_and_nobody_at_the_first_look():
    calm, wild = ["10"] * 8, ["10", "11", "10", "11", "10", "11", "10", "11"]
    later = ["10", "40", "10", "10", "10", "10", "10", "10"]
    on_top = rule("rank", min_samples=1, top=1)

    alerts = Sampler([on_top]).play(calm, wild, later, metrics=("A:CALM", "A:WILD", "A:LATER"))

    told = {(alert.event, alert.metric, (alert.at - NOON) // MINUTE, alert.value) for alert in alerts}
    assert told == {("leaves", "A:CALM", 1, "3"), ("leaves", "A:WILD", 1, "2")}
    assert all((alert.rank, alert.of) == (int(alert.value or 0), 3) for alert in alerts)


def test_who_enters_is_told_when_it_happens():
    calm = ["10", "20", *["10"] * 6]
    later = ["10", "10", "10", "10", "60", "10", "10", "10"]

    alerts = said(rule("rank", min_samples=1, top=1), calm, later)

    assert [(alert.event, alert.metric, (alert.at - NOON) // MINUTE) for alert in alerts] == [
        ("leaves", ETH, 1),
        ("leaves", BTC, 4),
        ("enters", ETH, 4),
    ]


@pytest.mark.parametrize(
    "event, told", [("enters", {"enters"}), ("leaves", {"leaves"}), ("both", {"enters", "leaves"})]
)
def test_a_rank_rule_tells_only_what_it_is_asked_for(event, told):
    calm = ["10", "20", *["10"] * 6]
    later = ["10", "10", "10", "10", "60", "10", "10", "10"]

    assert {alert.event for alert in said(rule("rank", min_samples=1, top=1, event=event), calm, later)} == told


def test_a_rank_rule_says_nothing_of_days_that_have_hardly_begun():
    """At the first sample all deviations are zero, at the second they are chance."""
    metrics = [f"A:M{number:02}" for number in range(20)]
    series = [[str(100 + (number * minute) % (number + 2)) for minute in range(29)] for number in range(20)]
    market = Sampler([rule("rank", top=3)])

    assert market.play(*series, metrics=metrics) == []
    assert market.play(*[["100", "100"]] * 20, metrics=metrics) == []
    assert {alert.metric for alert in market.tick(dict.fromkeys(metrics, "100") | {"A:M00": "900"})} >= {"A:M00"}


def test_equal_values_share_a_place_so_both_are_on_top():
    assert said(rule("rank", min_samples=1, top=1), ["1", "2", "3"], ["11", "12", "13"]) == []


def test_a_rank_by_the_coefficient_of_variation_is_told_with_that_rank():
    """Both move by 1, one of 10 and the other of 100."""
    small, large = ["10", "11", "10", "11", "10"], ["100", "100", "100", "103", "100"]

    (leaves,) = [
        alert
        for alert in said(rule("rank", min_samples=1, top=1, by="cv", event="leaves"), small, large)
        if alert.metric == ETH
    ]
    assert (leaves.value, leaves.rank, leaves.of) == ("2", 2, 2)


def test_a_metric_without_a_number_of_the_measure_is_on_no_top():
    assert said(rule("rank", measure="volume", min_samples=1, top=1), ["1", "2"], ["1", "3"]) == []


# ---- stale -------------------------------------------------------------------------------------------------------


def test_a_metric_is_stale_after_so_many_intervals_without_a_sample():
    (alert, *_) = said(rule("stale", intervals=3), ["1", None, None, None, None], ["1"] * 5)

    assert (alert.metric, (alert.at - NOON) // MINUTE, alert.since, alert.measure) == (BTC, 3, NOON, None)


def test_a_number_that_comes_back_in_time_is_not_stale():
    assert said(rule("stale", intervals=3), ["1", None, None, "1", None, None, "1"], ["1"] * 7) == []


# ---- frozen ------------------------------------------------------------------------------------------------------


def frozen(**fields):
    return rule("frozen", window="5m", min_samples=5, **fields)


def numbers(price="10", traded="1", volume=None, provider_time=None):
    return {"price": price, "interval_volume": traded, "volume": volume, "provider_time": provider_time}


def test_a_price_that_stands_still_while_there_is_trade_is_frozen():
    assert ticks(said(frozen(), [numbers() for _ in range(7)])) == [5, 6]


def test_a_price_that_moved_within_the_window_is_not_frozen():
    assert said(frozen(), [numbers(), numbers(), numbers("10.01"), *[numbers() for _ in range(4)]]) == []


def test_a_market_without_trade_may_stand_still():
    assert said(frozen(), [numbers(traded="0") for _ in range(10)]) == []


def test_the_volume_of_a_day_that_only_falls_is_no_trade():
    """Old trades leave it by themselves, at a market where nothing happens any more."""
    falling = [numbers(traded=None, volume=str(1000 - minute)) for minute in range(10)]
    rising = [numbers(traded=None, volume=str(1000 + minute)) for minute in range(10)]

    assert said(frozen(), falling) == []
    assert ticks(said(frozen(), rising)) == [5, 6, 7, 8, 9]


def test_a_provider_whose_own_clock_stands_still_is_frozen_whatever_the_price_does():
    moving = [numbers(str(minute + 1), "0", provider_time=NOON) for minute in range(8)]

    assert ticks(said(frozen(), moving)) == [5, 6, 7]


def test_frozen_with_the_hour_of_the_record_is_judged_like_any_other_window():
    hour = rule("frozen", window="1h", min_samples=60)

    assert ticks(said(hour, [numbers() for _ in range(62)])) == [60, 61]


# ---- windows that are looked at together ---------------------------------------------------------------------------


def test_rules_that_look_back_differently_do_not_disturb_each_other():
    """A change wants the first sample of an hour, a ratio all of a quarter, and the first may lie within the quarter."""
    rules = [
        rule("change", id="change", percent=5, window="1h"),
        rule("ratio", id="ratio", window="15m", min_samples=1, factor=2),
    ]

    series = [*[None] * 50, "100", *["100"] * 5, "201"]
    together = Sampler(rules).play(series)
    apart = [alert for each in rules for alert in Sampler([each]).play(series)]

    assert sorted(together) == sorted(apart)
    assert {(alert.rule, alert.samples) for alert in together} == {("change", None), ("ratio", 6)}


def test_at_another_interval_the_same_hour_has_fewer_samples():
    every_five = parse_rule({"id": "r", "kind": "ratio"}, 300)

    (alert,) = Sampler([every_five], interval=300).play([*["1"] * 12, "4"])

    assert (alert.samples, alert.at) == (12, NOON + HOUR)
