"""Rules tried on history: counts, flaps, digests, tables, and where history begins."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v1.backtest import BacktestInput, RulesNeverActive, make_report, make_ticks, make_variants, play
from v1.backtest.report import DIGESTS_FEWER, STEPS_MORE, _why_more
from v1.market.metric_state import EMPTY, SourceReading
from v1.market.ranks import RankInput, rank_all, rank_one
from v1.model import By, Measure, Metric, Reading, Sample
from v1.numbers.moments import count_moments
from v1.rules import parse_rule, parse_silence

BTC, ETH = Metric("KRAKEN:BTCUSD"), Metric("KRAKEN:ETHUSD")
NOON, MINUTE, HOUR, DAY = 1_621_252_800, 60, 3600, 86400


def rule(kind="ratio", **fields):
    return parse_rule({"id": "r", "kind": kind} | {name.rstrip("_"): value for name, value in fields.items()}, MINUTE)


def ticks(*series, metrics=(BTC, ETH), first=NOON):
    for number, values in enumerate(zip(*series, strict=True)):
        told = zip(metrics, values, strict=False)
        yield (
            first + number * MINUTE,
            {metric: SourceReading(Reading(str(value)), "kraken") for metric, value in told if value},
        )


def tried(one, *series, sweep=False, limit=100, **trial):
    settled = BacktestInput([one], (), MINUTE, **trial)
    others = make_variants([one], MINUTE) if sweep else []
    played = play(ticks(*series), settled, [other.rule for other in others])
    return make_report(played, settled, others, (), limit)


def test_without_a_sample_there_is_nothing_to_tell():
    found = tried(rule())

    assert (found["from"], found["to"], found["samples"], found["alerts"], found["warm_up"]) == (
        None,
        None,
        0,
        [],
        None,
    )


def test_what_would_have_been_sent_is_told_as_the_message_that_it_would_have_been():
    found = tried(rule(min_samples=2), ["1", "1", "4", "5"])

    (message,) = found["messages"]
    assert message["title"] == "KRAKEN:BTCUSD price is 4 x its hour mean"
    assert message["at"] == NOON + 2 * MINUTE
    assert [alert["id"] for alert in found["alerts"]] == [message["id"]]


def test_many_alerts_at_a_tick_are_one_message():
    names = [Metric(f"KRAKEN:C{number}USD") for number in range(7)]
    threshold = rule("threshold", above=1)

    played = play(ticks(*[["1", "2"]] * 7, metrics=names), BacktestInput([threshold], (), MINUTE))
    found = make_report(played, BacktestInput([threshold], (), MINUTE))

    (message,) = found["messages"]
    assert (message["alerts"], message["id"]) == (7, f"r.digest.{NOON + MINUTE}")
    (came,) = found["rules"]
    assert (came["alerts"], came["messages"]) == (7, 1)


def test_quiet_alerts_are_counted_and_not_sent():
    silence = parse_silence({"id": "s", "from": 0, "to": NOON + MINUTE})
    threshold = rule("threshold", above=1, cooldown=0)
    trial = BacktestInput([threshold], [silence], MINUTE)

    (came,) = make_report(play(ticks(["2", "2"]), trial), trial)["rules"]

    assert (came["alerts"], came["suppressed"], came["messages"]) == (2, 1, 1)


def test_who_fires_again_within_an_hour_after_it_was_over_has_flapped():
    series = ["2", "1", "2", *["1"] * 61, "2", *["1"] * 62, "2"]

    (came,) = tried(rule("threshold", above=1, cooldown="1d"), series)["rules"]

    assert (came["fires"], came["flaps"], came["alerts"]) == (4, 1, 1)


def test_alerts_are_counted_by_metric_those_of_most_first():
    (came,) = tried(rule("threshold", above=1, cooldown=0), ["2", "1"], ["2", "2"])["rules"]

    assert [*came["by_metric"].items()] == [(ETH, 2), (BTC, 1)]


def test_more_than_the_limit_is_counted_and_not_listed():
    found = tried(rule("threshold", above=1, cooldown=0), ["2"] * 9, limit=4)

    assert (len(found["alerts"]), len(found["messages"]), found["left_out"]) == (4, 4, 5)
    assert found["rules"][0]["messages"] == 9


def test_rules_are_on_from_the_start_to_the_end_and_windows_fill_before():
    found = tried(
        rule(min_samples=2, cooldown=0),
        ["1", "1", "9", "9", "99", "999"],
        start=NOON + 3 * MINUTE,
        end=NOON + 4 * MINUTE,
    )

    assert [alert["at"] for alert in found["alerts"]] == [NOON + 4 * MINUTE]
    assert (found["from"], found["to"]) == (NOON + 3 * MINUTE, NOON + 4 * MINUTE)


@pytest.mark.parametrize(
    "one, until",
    [
        (rule(), NOON + HOUR),
        (rule(window="15m"), NOON + 900),
        (rule("change", percent=5, window="4h"), NOON + 4 * HOUR),
        (rule("deviation"), NOON + DAY),
        (rule("frozen"), NOON + HOUR),
        (rule("ratio", for_="10m"), NOON + HOUR + 600),
        (rule("threshold", above=1), None),
        (rule("threshold", above=1, for_="5m"), NOON + 300),
        (rule("stale"), None),
    ],
    ids=lambda each: each.kind if hasattr(each, "kind") else "",
)
def test_it_is_said_until_when_windows_were_not_full(one, until):
    warm_up = tried(one, ["1", "1"])["warm_up"]

    assert (warm_up and warm_up["until"]) == until


def test_who_starts_late_enough_needs_no_warming_up():
    assert tried(rule(), ["1"] * 62, start=NOON + HOUR)["warm_up"] is None


HOLDS = st.lists(st.sampled_from([None, "1", "2", "2", "2"]), min_size=8, max_size=40)


@given(HOLDS, st.integers(0, 5), st.integers(1, 7))
def test_a_rule_that_must_hold_speaks_from_the_start_on_as_if_it_had_always_been_on(series, hold, skipped):
    one, start = rule("threshold", above=1, for_=hold * MINUTE, cooldown=0), NOON + skipped * MINUTE

    whole, part = tried(one, series), tried(one, series, start=start)

    assert part["alerts"] == [alert for alert in whole["alerts"] if alert["at"] >= start]


@given(st.lists(st.sampled_from(["1", "2", "2", "2"]), min_size=12, max_size=40), st.integers(0, 5), st.integers(1, 6))
def test_after_its_warm_up_a_part_of_history_says_what_the_whole_does(series, hold, skipped):
    one, first = rule("threshold", above=1, for_=hold * MINUTE, cooldown=0), NOON + skipped * MINUTE
    trial = BacktestInput([one], (), MINUTE)

    whole = tried(one, series)
    part = make_report(play(ticks(series[skipped:], first=first), trial), trial)

    known = part["warm_up"]["until"] if part["warm_up"] else first
    assert known == first + hold * MINUTE
    assert [alert for alert in part["alerts"] if alert["at"] >= known] == [
        alert for alert in whole["alerts"] if alert["at"] >= known
    ]


def test_a_rule_that_matches_no_metric_says_so():
    assert tried(rule(metrics="KRAKEN:DOGE*"), ["1", "1"])["notes"] == [
        "r: no metric matches KRAKEN:DOGE*, none of the 1 that were played"
    ]
    assert tried(rule(), ["1", "1"])["notes"] == []
    assert tried(rule())["notes"] == ["r: no metric matches *, for there is no sample"]


def test_why_a_longer_cooldown_comes_to_more_messages_is_said():
    # With 10 minutes it says 9 things, with 15 minutes 10.
    written = "_ 70 1 1 _ 9 _ 3 2 3 1 30 1 5 3 1 1 1 3 22 1 70 3 70 3 9 5 9 9 1 _ 3 7 5 7 2 3 1 3 22 2 30 7 _ 2"
    series = [None if value == "_" else value for value in written.split()]

    found = tried(rule("threshold", above=1, cooldown="10m", resolved=True), series, sweep=True)["rules"][0]["sweep"]

    messages = {cell["cooldown"]: cell["messages"] for cell in found["cells"] if cell["above"] == "1"}
    assert (messages[600], messages[900]) == (9, 10)
    assert found["why"] == STEPS_MORE


def test_why_fewer_alerts_come_to_more_messages_is_said():
    def cell(number, cooldown, alerts, messages):
        return {"factor": number, "cooldown": cooldown, "alerts": alerts, "messages": messages}

    assert _why_more("factor", [cell("3", 0, 12, 2), cell("3", 900, 8, 8)]) == DIGESTS_FEWER
    assert _why_more("factor", [cell("3", 900, 1, 1), cell("5", 0, 2, 2)]) is None


def test_why_there_is_nothing_to_explain_is_not_said():
    assert tried(rule(), ["1"] * 5, sweep=True)["rules"][0]["sweep"]["why"] is None


# ---- the table ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "one, field, numbers",
    [
        (rule(), "factor", ["2", "3", "5", "10"]),
        (rule(factor="2.50"), "factor", ["2", "2.50", "3", "5", "10"]),
        (rule("threshold", above="50"), "above", ["40", "45", "50", "55", "62.5"]),
        (rule("threshold", below="0.1"), "below", ["0.08", "0.09", "0.1", "0.11", "0.125"]),
        (rule("threshold", measure="change_percentage", below="0.00"), "below", ["0"]),
        (rule("change", percent=7), "percent", ["2", "5", "7", "10", "20"]),
        (rule("deviation"), "score", ["2", "3", "4", "6"]),
        (rule("rank", top=3), "top", [3, 5, 10, 20]),
        (rule("stale", intervals=5), "intervals", [3, 5, 10, 30]),
        (rule("frozen"), "window", [1800, 3600, 7200, 14400]),
    ],
    ids=lambda each: str(getattr(each, "kind", "")),
)
def test_the_table_varies_the_main_number_of_the_kind_and_the_cooldown(one, field, numbers):
    made = make_variants([one], MINUTE)

    assert {each.field for each in made} == {field}
    assert [*dict.fromkeys(each.number for each in made)] == numbers
    assert {each.cooldown for each in made} == {0, 900, 3600, 14400}


def test_a_bound_of_zero_is_tried_once_with_each_cooldown_and_counted_once():
    one = rule("threshold", above="0", cooldown=0, step=0)

    found = tried(one, ["1"] * 5, sweep=True)

    cells = found["rules"][0]["sweep"]["cells"]
    assert [(cell["cooldown"], cell["alerts"]) for cell in cells] == [(0, 5), (900, 1), (3600, 1), (14400, 1)]


def test_rules_that_would_begin_after_the_last_tick_were_never_on():
    with pytest.raises(
        RulesNeverActive, match=f"{NOON + HOUR} is after the last tick that was played, {NOON + MINUTE}"
    ):
        tried(rule(), ["1", "9"], start=NOON + HOUR)
    with pytest.raises(RulesNeverActive):
        tried(rule(), ["1", "9", "9"], start=NOON + 2 * MINUTE, end=NOON + MINUTE)


def test_a_cell_counts_what_such_a_rule_would_have_said():
    series = [*["1"] * 40, "2.5", "1", "4", "1", "7", *["1"] * 20, "4"]

    found = tried(rule(), series, sweep=True)

    for cell in found["rules"][0]["sweep"]["cells"]:
        alone = tried(rule(factor=cell["factor"], cooldown=cell["cooldown"]), series)["rules"][0]
        assert (cell["alerts"], cell["messages"]) == (alone["alerts"], alone["messages"])


def test_the_others_of_the_table_change_nothing_of_the_rule_itself():
    series = [*["1"] * 40, "2.5", "1", "4", "1", "7", *["1"] * 20, "4"]

    swept, alone = tried(rule(), series, sweep=True), tried(rule(), series)

    assert swept["alerts"] == alone["alerts"]
    assert swept["rules"][0] | {"sweep": None} == alone["rules"][0]


def test_a_part_of_the_metrics_knows_no_rank():
    trial = BacktestInput([rule("threshold", above=1)], (), MINUTE, is_whole=False)

    (alert,) = play(ticks(["2"]), trial).alerts

    assert (alert.rank, alert.of) == (None, None)


def test_who_is_told_of_every_tick_can_end_the_play():
    class Enough(Exception):
        pass

    def seen(at):
        if at == NOON + MINUTE:
            raise Enough

    with pytest.raises(Enough):
        play(ticks(["1"] * 5), BacktestInput([rule()], (), MINUTE), seen=seen)


# ---- the kept day ------------------------------------------------------------------------------------------------------


def sample(tick, price, **others):
    numbers = {"price": price} | others
    return Sample(tick, tuple(numbers.get(measure) for measure in Measure))


def test_kept_samples_become_the_ticks_that_they_came_at_also_those_without_one():
    kept = {BTC: [sample(NOON, "1"), sample(NOON + 2 * MINUTE, "2", volume="7")], ETH: [sample(NOON + MINUTE, "3")]}

    made = [*make_ticks(kept, {BTC: "kraken", ETH: "binance"}, MINUTE, NOON + 4 * MINUTE)]

    assert [at for at, _ in made] == [NOON + minute * MINUTE for minute in range(5)]
    assert made[0][1] == {BTC: SourceReading(Reading("1"), "kraken")}
    assert made[1][1] == {ETH: SourceReading(Reading("3"), "binance")}
    assert made[2][1] == {BTC: SourceReading(Reading("2", "7"), "kraken")}
    assert made[3][1] == made[4][1] == {}


def test_samples_beside_the_grid_are_ticks_too():
    """The interval was another one before."""
    made = [
        at - NOON
        for at, _ in make_ticks({BTC: [sample(NOON + 60, "1"), sample(NOON + 420, "2")]}, {BTC: "k"}, 300, NOON + 900)
    ]

    assert made == [60, 300, 420, 600, 900]


def test_no_samples_are_no_ticks():
    assert [*make_ticks({}, {}, MINUTE, NOON)] == []


# ---- ranks, counted only where they are asked for -----------------------------------------------------------------------


@given(st.lists(st.lists(st.integers(-5, 5), max_size=4), max_size=5), st.sampled_from(Measure), st.sampled_from(By))
def test_one_rank_alone_is_the_same_as_all_of_them(series, measure, by):
    def window(numbers):
        return (count_moments([(number, 0) for number in numbers]), *EMPTY[1:])

    judged = [RankInput(Metric(f"A:{index}"), window(numbers), EMPTY) for index, numbers in enumerate(series)]

    assert Counter(rank_one(judged, measure, by)) == Counter(rank_all(judged).list_scores(measure, by))


def test_who_has_too_few_numbers_has_no_rank_in_a_backtest_as_in_a_market():
    late = Metric("KRAKEN:LATEUSD")
    top = rule("rank", top=1, by="stddev", min_samples=2)
    known = [str(100 + number % 3) for number in range(12)]
    market = [*ticks(known, [None] * 6 + ["1"] * 4 + ["1000"] * 2, metrics=(BTC, late))]

    found = {
        share: {alert.metric for alert in play(market, BacktestInput([top], (), MINUTE, min_coverage=share)).alerts}
        for share in (0, 0.75)
    }

    assert found == {0: {BTC, late}, 0.75: set()}, "one leaves for the other, or nothing happens"
