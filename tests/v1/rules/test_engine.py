"""All rules over all metrics: sources that fall silent, digests, silences, mute hours, and what a tick may not say twice."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from tests.support.rule_play import BTC, ETH, HOUR, MINUTE, NOON, Sampler, reading, rule, said, ticks
from v1.market.advance import advance_all
from v1.market.metric_state import Lookback, SourceReading, recount_state
from v1.market.ranks import collect_rank_inputs, rank_all
from v1.model import MEASURES, Metric, Sample
from v1.rules import (
    NO_EVALUATION,
    NO_RULES,
    AcknowledgedAlert,
    Alert,
    RuleEngine,
    Silence,
    SourceOutages,
    TickContext,
    parse_silence,
)
from v1.rules.message_text import is_in_digest
from v1.rules.mute_hours import MuteHours, is_muted

STALE = {"intervals": 3, "cooldown": "1h", "resolved": True}


def stale(**fields):
    return rule("stale", **(STALE | fields))


def told(alerts):
    return [(alert.event, alert.metric, (alert.at - NOON) // MINUTE) for alert in alerts]


def silence(**fields) -> Silence:
    return parse_silence({"id": "s", "from": NOON, "to": NOON + HOUR} | fields)


# ---- sources that fall silent -------------------------------------------------------------------------------------


def test_a_source_that_falls_silent_is_told_once_and_not_once_a_metric():
    alerts = said(stale(), ["1", *[None] * 6], ["1", *[None] * 6])

    assert told(alerts) == [("firing", "kraken:*", 3)]
    assert (alerts[0].samples, alerts[0].since, alerts[0].id) == (2, NOON, f"r.kraken:*.{NOON + 3 * MINUTE}")


def test_a_source_that_is_back_is_told_once():
    series = ["1", *[None] * 4, "1", "1"]

    assert told(said(stale(), series, series)) == [("firing", "kraken:*", 3), ("resolved", "kraken:*", 5)]


def test_a_metric_that_stays_away_when_its_source_is_back_is_told_then():
    alerts = said(stale(), ["1", *[None] * 4, "1", "1"], ["1", *[None] * 6])

    assert told(alerts) == [("firing", "kraken:*", 3), ("firing", ETH, 5), ("resolved", "kraken:*", 5)]


def test_a_metric_that_was_stale_before_its_source_fell_silent_is_resolved_as_it_was_told():
    btc = ["1", "1", "1", "1", "1", *[None] * 4, "1"]
    eth = ["1", *[None] * 8, "1"]

    assert told(said(stale(), btc, eth)) == [
        ("firing", ETH, 3),
        ("firing", "kraken:*", 7),
        ("resolved", ETH, 9),
        ("resolved", "kraken:*", 9),
    ]


def test_a_rule_for_some_metrics_tells_of_a_silent_source_how_many_of_those_it_has():
    (alert,) = said(stale(metrics=ETH), ["1", *[None] * 4], ["1", *[None] * 4])

    assert (alert.metric, alert.samples) == ("kraken:*", 1)


def test_a_rule_for_metrics_of_another_source_says_nothing():
    assert said(stale(metrics="BINANCE:*"), ["1", *[None] * 4], ["1", *[None] * 4]) == []


def test_silence_while_nobody_listened_is_no_silence():
    """After an hour in which the worker was down its first tick, which asks nobody, must not blame the sources."""
    market = Sampler([stale()])
    market.play(["1"], ["1"])

    assert market.tick({}, at=NOON + HOUR) == []
    assert market.tick({BTC: "1", ETH: "1"}) == []


def test_a_source_of_which_all_metrics_have_left_the_day_is_not_said_to_be_back():
    market = Sampler([stale(cooldown="30d")])
    market.play(["1", *[None] * 4])
    alerts = [alert for minute in range(5, 1445) for alert in market.tick({}, at=NOON + minute * MINUTE)]

    assert alerts == []
    assert market.memory.known_metrics == set()
    assert told(market.tick({BTC: "1"})) == [("resolved", "kraken:*", 1445)]


def test_a_source_that_was_told_at_this_very_tick_is_not_told_again():
    """The tick was cut off behind the states of the sources."""
    market = Sampler([stale(cooldown=0)])
    market.play(["1", None, None])
    known = sorted(market.memory.known_metrics)
    at = NOON + 3 * MINUTE

    steps = advance_all(at, known, {}, market.memory.read_states(at, known, market.engine.make_lookback))
    ranked = rank_all(collect_rank_inputs(steps)).list_scores
    first = market.engine.evaluate(TickContext(at, steps, ranked, market.memory.outages))
    outages = SourceOutages(at, {source: each.states for source, each in first.sources.items()})

    again = market.engine.evaluate(TickContext(at, steps, ranked, outages))

    assert len([*first.list_alerts()]) == 1
    assert [*again.list_alerts()] == []
    assert {source: each.states for source, each in again.sources.items()} == outages.sources


# ---- resolved ------------------------------------------------------------------------------------------------------


def test_a_flap_within_the_cooldown_tells_neither_that_it_fires_nor_that_it_is_over():
    flapping = rule("threshold", above=1, cooldown="1h", resolved=True)

    assert told(said(flapping, ["2", "1", "2", "1", "2", "1"])) == [("firing", BTC, 0), ("resolved", BTC, 1)]


def test_that_it_is_over_is_not_sent_to_whom_nobody_told_that_it_was():
    quiet_at_first = Sampler(
        [rule("threshold", above=1, cooldown="1h", resolved=True)],
        [silence(to=NOON + MINUTE)],
    )

    alerts = quiet_at_first.play(["2", "1"])

    assert [(alert.event, alert.suppressed_by) for alert in alerts] == [
        ("firing", "silence s"),
        ("resolved", "its alert was not sent"),
    ]


def test_that_it_is_over_is_told_where_one_of_its_alerts_was_sent():
    market = Sampler([rule("threshold", above=1, cooldown="2m", resolved=True)], [silence(to=NOON + MINUTE)])

    alerts = market.play(["2", "2", "2", "1"])

    assert [(alert.event, alert.suppressed_by) for alert in alerts] == [
        ("firing", "silence s"),
        ("firing", None),
        ("resolved", None),
    ]


def test_the_alert_that_is_over_is_named_once():
    market = Sampler([rule("threshold", above=1, cooldown="1h")])
    over = []
    for value in ("2", "1", "2", "1"):
        market.tick({BTC: value})
        over.append(market.judged.metrics[Metric(BTC)].over)

    assert over == [(), (f"r.{BTC}.{NOON}",), (), ()]


def test_an_alert_that_is_told_again_is_over_by_then():
    market = Sampler([rule("threshold", above=1, cooldown="2m")])
    over = []
    for value in ("2", "2", "2", "1"):
        market.tick({BTC: value})
        over.append(market.judged.metrics[Metric(BTC)].over)

    assert over == [(), (), (f"r.{BTC}.{NOON}",), (f"r.{BTC}.{NOON + 2 * MINUTE}",)]


# ---- acknowledged until it is over ---------------------------------------------------------------------------------


def acknowledge(market: Sampler, alert: Alert, by: str = "ann") -> None:
    market.acknowledged[alert.rule, alert.metric] = AcknowledgedAlert(alert.at, by)


def tell_sent(alerts):
    return [(alert.event, (alert.at - NOON) // MINUTE, alert.suppressed_by) for alert in alerts]


def test_what_is_acknowledged_until_it_is_over_is_recorded_and_not_sent_and_its_end_is_told():
    market = Sampler([rule("threshold", above=1, resolved=True)])
    acknowledge(market, market.tick({BTC: "2"})[0])

    alerts = market.play(["2", "3", None, "2", "1", "2"])

    why = "acknowledged by ann until it is over"
    assert tell_sent(alerts) == [
        ("firing", 1, why),
        ("firing", 2, why),
        ("firing", 4, why),
        ("resolved", 5, None),
        ("firing", 6, None),
    ]


def test_what_is_acknowledged_is_released_once_at_the_tick_at_which_it_is_over():
    market = Sampler([rule("threshold", above=1)], is_restarted=True)
    acknowledge(market, market.tick({BTC: "2"})[0])
    released = []
    for value in ("2", "1", "2"):
        market.tick({BTC: value})
        found = market.judged.metrics.get(Metric(BTC))
        released.append(found.released if found else ())
        for key in released[-1]:
            del market.acknowledged[key]

    assert released == [(), (("r", BTC),), ()]


def test_an_alert_of_before_says_nothing_of_what_began_after_its_end():
    market = Sampler([rule("threshold", above=1, for_="1m")])
    first = market.play(["2", "2"])[0]
    market.play(["1", "2"])
    acknowledge(market, first)

    assert tell_sent(market.tick({BTC: "2"})) == [("firing", 4, None)]
    assert market.judged.metrics[Metric(BTC)].released == (("r", BTC),)


def test_a_later_alert_of_the_same_may_be_acknowledged_as_well_as_the_first():
    market = Sampler([rule("threshold", above=1)])
    market.tick({BTC: "2"})
    acknowledge(market, market.tick({BTC: "2"})[0])

    assert tell_sent(market.tick({BTC: "2"})) == [("firing", 2, "acknowledged by ann until it is over")]


def test_other_metrics_and_other_rules_are_told_all_the_same():
    market = Sampler([rule("threshold", above=1), rule("threshold", id="other", above=1)])
    acknowledge(market, market.tick({BTC: "2", ETH: "2"})[0])

    alerts = market.tick({BTC: "2", ETH: "2"})

    assert sorted((alert.rule, alert.metric, alert.suppressed_by is None) for alert in alerts) == [
        ("other", BTC, True),
        ("other", ETH, True),
        ("r", BTC, False),
        ("r", ETH, True),
    ]


def test_a_source_that_is_silent_is_acknowledged_until_it_is_back():
    market = Sampler([stale(cooldown=0)])
    alerts = market.play(["1", None, None, None], ["1", None, None, None])
    acknowledge(market, alerts[0])

    later = market.play([None, "1"], [None, "1"])

    assert [(alert.event, alert.metric, alert.suppressed_by is None) for alert in later] == [
        ("firing", "kraken:*", False),
        ("resolved", "kraken:*", True),
    ]


def test_who_is_on_top_is_acknowledged_until_it_leaves_and_that_is_told():
    market = Sampler([rule("rank", top=1, min_samples=1)])
    market.play(["1", "2"], ["1", "1"])
    (entered,) = [alert for alert in market.tick({BTC: "1", ETH: "9"}) if alert.event == "enters"]
    acknowledge(market, entered)

    later = market.tick({BTC: "99", ETH: "9"})

    assert [alert.metric for alert in later if alert.event == "leaves"] == [ETH]
    assert [alert.suppressed_by for alert in later] == [None, None]
    assert market.judged.metrics[Metric(ETH)].released == (("r", ETH),)


def test_what_is_acknowledged_of_a_rule_that_is_gone_is_released():
    market = Sampler([rule("threshold", above=1)])
    acknowledge(market, market.tick({BTC: "2"})[0])
    market.rules = [rule("threshold", id="other", above=5)]
    market._restart()

    market.tick({BTC: "2"})

    assert market.judged.metrics[Metric(BTC)].released == (("r", BTC),)


# ---- digests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("many, is_digest", [(5, False), (6, True)])
def test_more_than_five_alerts_of_a_rule_at_a_tick_are_one_message(many, is_digest):
    names = [f"KRAKEN:C{number}USD" for number in range(many)]

    alerts = Sampler([rule("threshold", above=1)]).tick(dict.fromkeys(names, "2"))

    assert {alert.group_size for alert in alerts} == {many}
    assert {is_in_digest(alert) for alert in alerts} == {is_digest}


def test_alerts_of_other_rules_and_quiet_ones_do_not_make_a_digest():
    names = [f"KRAKEN:C{number}USD" for number in range(6)]
    rules = [rule("threshold", above=1), rule("threshold", id="other", above=1)]

    alerts = Sampler(rules, [silence(metrics=names[0])]).tick(dict.fromkeys(names, "2"))

    assert {(alert.metric == names[0], alert.group_size) for alert in alerts} == {(True, 5), (False, 5)}


def test_what_was_told_of_this_tick_before_it_was_cut_off_counts():
    market = Sampler([rule("threshold", above=1)])
    market.play(["1"])

    metrics = [Metric(BTC)]
    heard = {metrics[0]: SourceReading(reading("2"), "kraken")}
    steps = advance_all(
        NOON + MINUTE, metrics, heard, market.memory.read_states(NOON + MINUTE, metrics, market.engine.make_lookback)
    )

    judged = market.engine.evaluate(
        TickContext(
            NOON + MINUTE, steps, rank_all(collect_rank_inputs(steps)).list_scores, told_before={"r": 5, "other": 9}
        )
    )

    assert [alert.group_size for alert in judged.list_alerts()] == [6]


# ---- silences and mute hours ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields, quiet",
    [
        pytest.param({}, True, id="everything"),
        pytest.param({"metrics": "kraken:*"}, True, id="the exchange, in small letters"),
        pytest.param({"metrics": "BINANCE:*"}, False, id="another exchange"),
        pytest.param({"rule": "r"}, True, id="the rule"),
        pytest.param({"rule": "x*"}, False, id="another rule"),
        pytest.param({"from": NOON + 1}, False, id="not yet"),
        pytest.param({"from": NOON - 2, "to": NOON}, False, id="not any more"),
    ],
)
def test_a_silence_keeps_alerts_of_its_metrics_and_rules_quiet_while_it_lasts(fields, quiet):
    (alert,) = said(rule("threshold", above=1), ["2"], silences=[silence(**fields)])

    assert alert.suppressed_by == ("silence s" if quiet else None)


def test_a_silence_of_an_exchange_covers_its_source_too():
    alerts = said(stale(), ["1", *[None] * 3], silences=[silence(metrics="KRAKEN:*")])

    assert [(alert.metric, alert.suppressed_by) for alert in alerts] == [("kraken:*", "silence s")]


BERLIN = ZoneInfo("Europe/Berlin")


def instant(*when: int, fold: int = 0) -> int:
    return int(datetime(*when, fold=fold, tzinfo=BERLIN).timestamp())


@pytest.mark.parametrize(
    "at, muted",
    [
        pytest.param(instant(2021, 5, 17, 21, 59), False, id="before"),
        pytest.param(instant(2021, 5, 17, 22, 0), True, id="at the start"),
        pytest.param(instant(2021, 5, 18, 0, 0), True, id="at midnight"),
        pytest.param(instant(2021, 5, 18, 5, 59), True, id="just before the end"),
        pytest.param(instant(2021, 5, 18, 6, 0), False, id="at the end"),
        pytest.param(instant(2021, 3, 28, 1, 59), True, id="before the clock goes forward"),
        pytest.param(instant(2021, 3, 28, 3, 0), True, id="after"),
        pytest.param(instant(2021, 10, 31, 2, 30), True, id="the hour that comes twice"),
        pytest.param(instant(2021, 10, 31, 2, 30, fold=1), True, id="and its second coming"),
        pytest.param(instant(2021, 10, 31, 6, 0), False, id="the end of the long night"),
    ],
)
def test_mute_hours_go_over_midnight_by_the_clock_on_the_wall(at, muted):
    night = MuteHours.model_validate({"start": "22:00", "end": "06:00", "zone": "Europe/Berlin"})

    assert is_muted(night, at) is muted


def test_mute_hours_of_the_day_do_not_touch_the_night():
    day = MuteHours.model_validate({"start": "08:00", "end": "18:00"})

    assert is_muted(day, NOON)
    assert not is_muted(day, NOON + 6 * HOUR)


def test_in_its_mute_hours_a_rule_is_recorded_and_not_sent():
    muted = rule("threshold", above=1, mute={"start": "12:00", "end": "12:02"})

    assert [alert.suppressed_by for alert in said(muted, ["2", "2", "2"])] == ["mute hours", "mute hours", None]


# ---- what is said only once, and what is never said --------------------------------------------------------------------


def test_a_tick_that_is_written_again_says_nothing_new_and_keeps_its_states():

    market = Sampler([rule("threshold", above=1)])
    market.tick({BTC: "2"})
    series = market.memory._series[Metric(BTC)]
    found = market.memory.read_states(NOON, [Metric(BTC)], market.engine.make_lookback)
    steps = advance_all(NOON, [Metric(BTC)], {}, found)

    judged = market.engine.evaluate(TickContext(NOON, steps, rank_all(collect_rank_inputs(steps)).list_scores))

    assert [*judged.list_alerts()] == []
    assert judged.metrics[Metric(BTC)].states["r"].alert == f"r.{BTC}.{NOON}"
    assert series.record is not None


def test_samples_that_come_late_never_alert_and_count_for_the_next():
    """They go into the record by a recount, which no rule sees; the next live sample is judged with them."""

    market = Sampler([rule(min_samples=2)])
    market.tick({BTC: "1"})
    series = market.memory._series[Metric(BTC)]
    late = [Sample(NOON - minute * MINUTE, ("1000", *[None] * (len(MEASURES) - 1))) for minute in (2, 1)]
    series.record = recount_state(NOON, [*late, *series._samples], series.record, "kraken")

    assert market.tick({BTC: "1"}) == []
    assert market.tick({BTC: "1000"}) == []
    assert ticks(market.tick({BTC: "5000"})) == [3]


def test_a_rule_that_is_switched_off_or_gone_is_forgotten():
    market = Sampler([rule("threshold", above=1, cooldown="1h"), rule("threshold", id="other", above=1)])
    market.tick({BTC: "2"})
    market.engine = RuleEngine([market.rules[0].model_copy(update={"enabled": False})], (), MINUTE)
    market.tick({BTC: "2"})

    assert market.memory._series[Metric(BTC)].record.alerting == {}


def test_without_rules_nothing_is_judged():
    assert NO_RULES.evaluate(TickContext(NOON, [], lambda _measure, _by: [])) is NO_EVALUATION
    assert NO_RULES.make_lookback(Metric(BTC)) == Lookback()


def test_rules_that_ask_the_same_are_judged_together_and_speak_each_by_itself():
    fast, slow = rule("threshold", id="fast", above=1), rule("threshold", id="slow", above=1, cooldown="3m")

    alerts = Sampler([fast, slow]).play(["2", "2", "2", "2"])

    assert [(alert.rule, (alert.at - NOON) // MINUTE) for alert in alerts] == [
        ("fast", 0),
        ("slow", 0),
        ("fast", 1),
        ("fast", 2),
        ("fast", 3),
        ("slow", 3),
    ]


def test_an_alert_tells_the_rank_of_its_metric():
    (alert,) = said(rule("threshold", above=5), ["1", "2", "9"], ["1", "3", "1"])

    assert (alert.metric, alert.rank, alert.of) == (BTC, 1, 2)


def test_a_metric_that_has_left_the_day_leaves_the_top():
    market = Sampler([rule("rank", min_samples=1, top=1)])
    market.play(["1", "9"], ["1", "1"])
    alerts = [alert for minute in range(2, 1443) for alert in market.tick({ETH: "1"}, at=NOON + minute * MINUTE)]

    # At 1440 one sample of BTC is left, which moves as little as ETH does.
    assert told(alerts) == [("enters", ETH, 1440), ("leaves", BTC, 1441)]


# ---- who is still asked for --------------------------------------------------------------------------------------------------


def only(*metrics):
    return RuleEngine([stale()], (), MINUTE, lambda step: step.metric in metrics)


def test_a_metric_that_nobody_asks_for_any_more_may_be_silent():
    market = Sampler([stale()])
    market.play(["1"], ["1"])
    market.engine = only(BTC)

    assert market.play(["1"] * 5, [None] * 5) == []


def test_a_source_that_nobody_asks_any_more_may_be_silent_and_is_not_said_to_be_back():
    market = Sampler([stale()])
    alerts = market.play(["1", *[None] * 3])
    market.engine = only()

    assert told(alerts) == [("firing", "kraken:*", 3)]
    assert market.play([None] * 70) == []


def test_a_source_is_silent_when_all_are_that_it_is_still_asked_for():
    market = Sampler([stale()])
    market.play(["1"], ["1"])
    market.engine = only(ETH)

    (alert,) = market.play([None] * 4, [None] * 4)

    assert (alert.metric, alert.samples) == ("kraken:*", 1)


# ---- rules that there are no more ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [[], [rule("stale", id="other")]], ids=["none is left", "another is left"])
def test_what_a_rule_told_that_there_is_no_more_is_over(left):
    market = Sampler([rule("threshold", above=1, cooldown="1h")])
    (alert,) = market.play(["5"])

    market.engine = RuleEngine(left, (), MINUTE)
    market.tick({BTC: "5"})
    at_once = [said.over for said in market.judged.metrics.values()]
    market.tick({BTC: "5"})

    assert at_once == [(alert.id,)]
    assert [*market.judged.metrics.values()] == []


def test_what_a_rule_told_of_a_source_is_over_when_the_rule_is_gone():
    market = Sampler([rule("stale", intervals=2, cooldown="1h")])
    alerts = market.play(["5", None, None], ["5", None, None])

    market.engine = RuleEngine([rule("threshold", above=9)], (), MINUTE)
    market.tick({BTC: None})

    assert [said.over for said in market.judged.sources.values()] == [(alerts[0].id,)]
    assert market.memory.outages.sources == {}
