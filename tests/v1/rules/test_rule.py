"""What can be said in a rule, and what a rule that cannot be meant is told."""

import json
from datetime import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v1.model import Measure, Metric
from v1.rules import DEFAULTS, InvalidRule, Kind, Rule, Severity, parse_rule
from v1.rules.rule import explain_never_fires
from v1.rules.rule_set import write_document

KINDS = {
    "ratio": {},
    "threshold": {"above": 1},
    "change": {"percent": 5},
    "deviation": {},
    "rank": {},
    "stale": {},
    "frozen": {},
}


def faults(document: object, interval: int = 60) -> list[tuple[str, object, str]]:
    with pytest.raises(InvalidRule) as caught:
        parse_rule(document, interval)
    return [*caught.value.errors]


@pytest.mark.parametrize("kind, own", KINDS.items(), ids=KINDS)
def test_a_rule_needs_no_more_than_an_id_and_what_its_kind_cannot_do_without(kind, own):
    made = parse_rule({"id": "a", "kind": kind} | own, 60)

    assert (made.kind, made.metrics, made.cooldown, made.severity) == (kind, "*", 3600, Severity.WARNING)


def test_numbers_keep_the_digits_that_they_are_written_with():
    made = parse_rule({"id": "a", "kind": "ratio", "factor": "3.10", "step": 0.1 + 0.9})

    assert (made.factor, made.step) == ("3.10", "1.0")


@pytest.mark.parametrize(
    "written, seconds",
    [(90, 90), (90.0, 90), (Decimal("9e1"), 90), ("90", 90), ("90s", 90), ("15m", 900), ("1h", 3600), ("1d", 86400)],
)
def test_a_length_of_time_is_seconds_or_a_number_with_its_unit(written, seconds):
    assert parse_rule({"id": "a", "kind": "ratio", "window": written}).window == seconds


def test_patterns_are_upper_case_like_the_names_of_metrics():
    made = parse_rule({"id": "a", "kind": "ratio", "metrics": "kraken:*usd"})

    assert made.metrics == "KRAKEN:*USD"
    assert made.matches(Metric("KRAKEN:BTCUSD"))
    assert not made.matches(Metric("BINANCE:BTCUSD"))


@pytest.mark.parametrize(
    "fields, field, accepted",
    [
        pytest.param({"id": "A"}, "id", "small letters", id="an id with a capital"),
        pytest.param({"id": "x" * 65}, "id", "1 to 64", id="a long id"),
        pytest.param({"id": "backtest"}, "id", "another id", id="a place of the API"),
        pytest.param({"kind": "spike"}, "kind", "ratio, threshold, change", id="an unknown kind"),
        pytest.param({"measure": "prize"}, "measure", "price, volume", id="an unknown measure"),
        pytest.param({"factor": -3}, "factor", "above zero", id="a negative factor"),
        pytest.param({"factor": 0}, "factor", "above zero", id="no factor"),
        pytest.param({"factor": "x"}, "factor", "a decimal number", id="a factor that is no number"),
        pytest.param({"factor": True}, "factor", "a decimal number", id="a factor that is a yes"),
        pytest.param({"factor": float("nan")}, "factor", "a decimal number", id="a factor that is nothing"),
        pytest.param({"factor": "1e61"}, "factor", "a decimal number", id="a factor beyond all bounds"),
        pytest.param({"window": Decimal("1e999999999")}, "window", "90s, 15m, 1h", id="a window of years to read"),
        pytest.param(
            {"cooldown": Decimal("-1e9999999")}, "cooldown", "90s, 15m, 1h", id="less than nothing, at length"
        ),
        pytest.param({"for": 1e300}, "for", "90s, 15m, 1h", id="for ever"),
        pytest.param({"window": 90.5}, "window", "90s, 15m, 1h", id="half a second"),
        pytest.param({"window": [60]}, "window", "90s, 15m, 1h", id="a list of windows"),
        pytest.param({"step": 0.5}, "step", "0, or a number from 1", id="a step that goes backwards"),
        pytest.param({"step": -1}, "step", "0, or a number from 1", id="a negative step"),
        pytest.param({"window": "1x"}, "window", "15m", id="an unknown unit"),
        pytest.param({"window": "2d"}, "window", "from 1 to 86400", id="a window longer than what is kept"),
        pytest.param({"window": 30}, "window", "60 seconds or more", id="a window shorter than the interval"),
        pytest.param({"window": True}, "window", "15m", id="a window that is a yes"),
        pytest.param({"min_samples": 61}, "min_samples", "60 or less", id="more samples than fit"),
        pytest.param({"min_samples": 0}, "min_samples", "greater than or equal to 1", id="no samples"),
        pytest.param({"cooldown": "31d"}, "cooldown", "from 0 to 2592000", id="a cooldown of more than a month"),
        pytest.param({"metrics": "BTCUSD"}, "metrics", "EXCHANGE:PAIR", id="a pattern that no metric can have"),
        pytest.param({"metrics": "KRAKEN:[AB]*"}, "metrics", "EXCHANGE:PAIR", id="a set of letters"),
        pytest.param({"metrics": ""}, "metrics", "at least 1", id="no pattern"),
        pytest.param({"above": 1}, "above", "a ratio rule does not have it", id="a field of another kind"),
        pytest.param({"colour": "red"}, "colour", "the fields id, name", id="an unknown field"),
        pytest.param({"resolved": "yes"}, "resolved", "true or false", id="a yes that is a text"),
        pytest.param({"channels": "pushover"}, "channels", "a list", id="a channel that is no list"),
        pytest.param({"severity": "panic"}, "severity", "info, warning or critical", id="an unknown severity"),
        pytest.param({"for": "2d"}, "for", "from 0 to 86400", id="a hold longer than a day"),
        pytest.param(
            {"mute": {"start": time(22, 0, 0, 500_000), "end": time(6)}}, "mute.start", "22:00:00", id="half a second"
        ),
        pytest.param({"mute": {"start": "22:00"}}, "mute.end", "must be given", id="mute hours without an end"),
        pytest.param(
            {"mute": {"start": "22:00", "end": "22:00"}}, "mute.end", "another time", id="mute hours of no length"
        ),
        pytest.param(
            {"mute": {"start": "22:00", "end": "06:00+02:00"}}, "mute.end", "without a zone", id="mute hours with zones"
        ),
        pytest.param(
            {"mute": {"start": "22:00", "end": "06:00", "zone": "Mars/Base"}},
            "mute.zone",
            "Europe/Berlin",
            id="an unknown zone",
        ),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_accepted(fields, field, accepted):
    (fault,) = faults({"id": "a", "kind": "ratio"} | fields)

    assert fault[0] == field
    assert accepted in fault[2]


@pytest.mark.parametrize(
    "fields, field, accepted",
    [
        pytest.param({"kind": "threshold"}, "above", "one of the two", id="a threshold without a bound"),
        pytest.param({"kind": "threshold", "above": 1, "below": 2}, "above", "one of the two", id="with two"),
        pytest.param({"kind": "threshold", "below": 0}, "below", "never less", id="a price below zero"),
        pytest.param({"kind": "change"}, "percent", "by how much", id="a change of nothing"),
        pytest.param(
            {"kind": "change", "percent": 100, "direction": "down"}, "percent", "less than 100", id="all of it"
        ),
        pytest.param({"kind": "deviation", "min_samples": 1440}, "min_samples", "1439", id="more than the day before"),
        pytest.param({"kind": "frozen", "window": "15m", "min_samples": 16}, "min_samples", "15", id="too many"),
    ],
)
def test_a_rule_that_can_never_fire_is_not_accepted(fields, field, accepted):
    (fault,) = faults({"id": "a"} | fields)

    assert fault[0] == field
    assert accepted in fault[2]


def test_a_change_of_what_can_be_negative_may_be_below_zero():
    assert parse_rule({"id": "a", "kind": "threshold", "measure": "change_percentage", "below": -10}).below == "-10"


def test_all_faults_are_told_at_once():
    assert {fault[0] for fault in faults({"kind": "spike", "colour": "red"})} == {"id", "kind", "colour"}


@pytest.mark.parametrize("document", [None, 1, "rule", ["a"], True])
def test_what_is_no_document_is_not_accepted(document):
    assert faults(document) == [("", document, "a document of fields and values")]


@pytest.mark.parametrize(
    "window, interval, least",
    [
        pytest.param("1h", 60, 30, id="an hour of minutes"),
        pytest.param("15m", 60, 7, id="half of a quarter"),
        pytest.param("1h", 300, 6, id="half of an hour of five minutes"),
        pytest.param("1h", 1, 30, id="never more than thirty"),
        pytest.param("1m", 60, 1, id="never less than one"),
    ],
)
def test_enough_samples_are_half_of_what_fits_and_thirty_at_most(window, interval, least):
    assert parse_rule({"id": "a", "kind": "ratio", "window": window}, interval).find_min_samples(interval) == least


@pytest.mark.parametrize("interval", [1, 5, 60, 300, 1800, 3600])
def test_the_default_rules_can_fire_at_every_interval(interval):
    assert [explain_never_fires(rule, interval) for rule in DEFAULTS] == [None] * len(DEFAULTS)


def test_the_default_rules_are_those_that_were_asked_for():
    by_id = {rule.id: rule for rule in DEFAULTS}

    literal = [rule for rule in DEFAULTS if rule.kind is Kind.RATIO and not rule.for_]
    assert [(rule.measure, rule.enabled) for rule in literal] == [
        (Measure.PRICE, True),
        (Measure.VOLUME, True),
        (Measure.INTERVAL_VOLUME, False),
    ]
    assert {(rule.factor, rule.window, rule.cooldown, rule.step, rule.metrics) for rule in literal} == {
        ("3", 3600, 3600, "3", "*")
    }
    assert {rule.find_min_samples(60) for rule in literal} == {30}
    surge = by_id["interval-volume-surge"]
    assert (surge.measure, surge.factor, surge.for_, surge.cooldown) == (Measure.INTERVAL_VOLUME, "3", 420, 86400)
    assert by_id["stale"].kind is Kind.STALE


def _made(kind: str, factor: str, seconds: int, mute: object) -> Rule:
    return parse_rule({"id": "a", "kind": kind, "cooldown": seconds, "step": factor, "mute": mute} | KINDS[kind])


RULES = st.sampled_from(DEFAULTS) | st.builds(
    _made,
    st.sampled_from([*KINDS]),
    st.decimals(1, 1000, allow_nan=False, places=3).map(str),
    st.integers(0, 86400),
    st.none() | st.just({"start": "22:00", "end": "06:30:15", "zone": "Europe/Berlin"}),
)


@given(RULES)
def test_a_rule_that_is_kept_is_read_back_as_it_was(rule: Rule):
    assert parse_rule(json.loads(write_document(rule))) == rule
