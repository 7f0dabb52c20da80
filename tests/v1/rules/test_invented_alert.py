"""The alert that a test of a rule sends: it reads as one of the rule would, says that it is none, and fits its limit."""

import json

import pytest

from v1.rules import Alert, invent_metric, make_test_alert, parse_rule
from v1.rules.message_text import write_single
from v1.store import check_alert

AT = 1_621_260_305


def write(**rule: object):
    """Return the message of a test of a rule, of 310 metrics sampled once a minute."""
    made = make_test_alert(parse_rule({"id": "mine"} | rule), "KRAKEN:BTCUSD", 310, AT, 60)
    return write_single(made, 60)


@pytest.mark.parametrize(
    "rule, title, sentence",
    [
        pytest.param(
            {"kind": "ratio", "factor": 3},
            "price is 3.3 x its hour mean",
            "330.0 = 3.3 x the mean 100 of 60 samples 13:05-14:04 UTC",
            id="ratio",
        ),
        pytest.param(
            {"kind": "threshold", "above": "50000.5"},
            "price is 55000.55",
            "55000.55 is above 50000.5 by 5000.05 (10 %)",
            id="above",
        ),
        pytest.param(
            {"kind": "threshold", "below": "0.02"},
            "price is 0.018",
            "0.018 is below 0.02 by 0.002 (10 %)",
            id="below",
        ),
        pytest.param(
            {"kind": "threshold", "measure": "change_percentage", "below": -5},
            "change percentage is -5.5",
            "-5.5 is below -5 by 0.5 (10 %)",
            id="below a loss",
        ),
        pytest.param(
            {"kind": "threshold", "measure": "interval_return", "above": 0},
            "interval return is 1.0",
            "1.0 is above 0 by 1.0",
            id="above zero",
        ),
        pytest.param(
            {"kind": "change", "percent": 5},
            "price +5.5 %",
            "105.5 = +5.5 % from its lowest before, 100 at 13:05 UTC",
            id="change",
        ),
        pytest.param(
            {"kind": "change", "percent": "99.5", "direction": "down", "since": "start"},
            "price -99.8 %",
            "0.25 = -99.8 % since 13:05 UTC, when it was 100",
            id="fall",
        ),
        pytest.param(
            {"kind": "deviation", "score": 3, "direction": "down"},
            "price is 3.3 deviations below its day",
            "90 is 3.3 deviations below the mean 100 of 1440 samples 2021-05-16 14:05 - 2021-05-17 14:04 UTC",
            id="deviation",
        ),
        pytest.param({"kind": "rank", "top": 10}, "enters the top by price", "price rank 10 of 310", id="enters"),
        pytest.param(
            {"kind": "rank", "top": 10, "event": "leaves"},
            "leaves the top by price",
            "price no rank any more",
            id="leaves",
        ),
        pytest.param({"kind": "stale"}, "has no samples", "no sample since 14:02 UTC", id="stale"),
        pytest.param(
            {"kind": "frozen"},
            "is frozen",
            "the price, 100, does not move though volume trades, or the provider's own time stands still; "
            "mean 100 of 60 samples 13:05-14:04 UTC",
            id="frozen",
        ),
    ],
)
def test_a_test_reads_as_an_alert_of_its_rule_and_says_that_nothing_has_happened(rule, title, sentence):
    text = write(**rule)

    assert text.title == f"TEST: KRAKEN:BTCUSD {title}"
    assert text.body == f"Only a test of the rule: nothing has happened, and these numbers are invented.\n{sentence}"
    assert text.footer.endswith(f"UTC\nmine.test.{AT}")


@pytest.mark.parametrize("kind", ["ratio", "threshold", "change", "deviation", "rank", "stale", "frozen"])
def test_a_test_is_read_from_the_outbox_as_any_alert_and_goes_where_its_rule_says(kind):
    bound = {"threshold": {"above": 2}, "change": {"percent": 5}}.get(kind, {})
    rule = parse_rule({"id": "mine", "kind": kind, "severity": "critical", "channels": ["phone"]} | bound)

    made = make_test_alert(rule, "KRAKEN:BTCUSD", 310, AT, 60)

    assert check_alert(json.loads(json.dumps(made._asdict()))) == made
    assert (made.event, made.severity, made.channels, made.group_size) == ("test", "critical", ("phone",), 1)
    assert isinstance(made, Alert)


@pytest.mark.parametrize("pattern", ["*", "KRAKEN:*", "*:?TC*", "KRAKEN:BTCUSD"])
def test_where_no_metric_is_watched_yet_a_test_is_about_a_name_that_would_be(pattern):
    rule = parse_rule({"id": "mine", "kind": "stale", "metrics": pattern})

    assert rule.matches(invent_metric(rule.metrics))
    assert ":" in invent_metric(rule.metrics)
