"""What people read: every kind of rule explains itself, numbers are readable, and nothing is longer than it may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.support.alerts import TICK, alert
from v1.model import DAY, HOUR
from v1.rules.message_text import (
    MessageText,
    fit_body,
    format_readable,
    is_in_digest,
    make_digest_id,
    make_link,
    shorten,
    sort_by_strength,
    write_digest,
    write_single,
)


def body(interval=60, **said):
    return write_single(alert(**said), interval).body


def title(**said):
    return write_single(alert(**said), 60).title


def test_a_ratio_explains_itself_with_the_numbers_behind_it():
    assert body() == "421.0 = 3.4 x the mean 123.8 of 58 samples 13:05-14:04 UTC; price rank 3 of 310"
    assert title() == "KRAKEN:BTCUSD price is 3.4 x its hour mean"


@pytest.mark.parametrize(
    "said, text",
    [
        pytest.param(
            {"kind": "threshold", "name": "BTC above 400", "mean": None, "ratio": None, "samples": None},
            "421.0 is beyond the bound of 'BTC above 400'; price rank 3 of 310",
            id="threshold of an older version",
        ),
        pytest.param(
            {"kind": "threshold", "ratio": 5.25, "reference": "400", "reference_kind": "above"},
            "421.0 is above 400 by 21.0 (5.25 %); price rank 3 of 310",
            id="threshold above",
        ),
        pytest.param(
            {"kind": "threshold", "value": "9e-6", "ratio": -10.0, "reference": "1.00e-5", "reference_kind": "below"},
            "0.000009 is below 0.0000100 by 0.0000010 (10 %); price rank 3 of 310",
            id="threshold below",
        ),
        pytest.param(
            {"kind": "threshold", "ratio": None, "reference": "0", "reference_kind": "above", "rank": None},
            "421.0 is above 0 by 421.0",
            id="threshold of zero",
        ),
        pytest.param(
            {"kind": "change", "ratio": 12.345},
            "421.0 = +12.3 % since 13:05 UTC; price rank 3 of 310",
            id="change of an older version",
        ),
        pytest.param(
            {
                "kind": "change",
                "ratio": 12.345,
                "since": TICK - 1200,
                "reference": "3.75e2",
                "reference_kind": "lowest",
            },
            "421.0 = +12.3 % from its lowest before, 375 at 13:45 UTC; price rank 3 of 310",
            id="change up",
        ),
        pytest.param(
            {"kind": "change", "ratio": -5.5, "reference": "445.5", "reference_kind": "highest", "rank": None},
            "421.0 = -5.5 % from its highest before, 445.5 at 13:05 UTC",
            id="change down",
        ),
        pytest.param(
            {"kind": "change", "ratio": -5.5, "reference": "445.5", "reference_kind": "first", "rank": None},
            "421.0 = -5.5 % since 13:05 UTC, when it was 445.5",
            id="change since the start",
        ),
        pytest.param(
            {"kind": "change", "ratio": -5.5, "rank": None, "of": None},
            "421.0 = -5.5 % since 13:05 UTC",
            id="change down, unranked",
        ),
        pytest.param(
            {"kind": "deviation", "ratio": -4.21, "samples": 1402, "since": TICK - DAY},
            "421.0 is 4.21 deviations below the mean 123.8 of 1402 samples "
            "2021-05-16 14:05 - 2021-05-17 14:04 UTC; price rank 3 of 310",
            id="deviation",
        ),
        pytest.param(
            {"kind": "deviation", "ratio": None, "mean": 400.0, "since": TICK - DAY, "rank": None},
            "421.0, where the day stood still at 400 of 58 samples 2021-05-16 14:05 - 2021-05-17 14:04 UTC",
            id="deviation from a day that stood still",
        ),
        pytest.param(
            {"kind": "rank", "event": "enters", "value": "3", "mean": None},
            "price rank 3 of 310",
            id="rank, enters",
        ),
        pytest.param(
            {"kind": "rank", "event": "leaves", "value": "12", "rank": 12},
            "price rank 12 of 310",
            id="rank, leaves",
        ),
        pytest.param(
            {"kind": "rank", "event": "leaves", "value": None, "rank": None, "of": None},
            "price no rank any more",
            id="rank, gone",
        ),
        pytest.param(
            {"kind": "stale", "measure": None, "value": None, "mean": None, "samples": None, "rank": None},
            "no sample since 13:05 UTC",
            id="stale",
        ),
        pytest.param(
            {"kind": "stale", "since": TICK - DAY, "rank": None},
            "no sample since 2021-05-16 14:05 UTC",
            id="stale since yesterday",
        ),
        pytest.param(
            {"kind": "stale", "metric": "kraken:*", "measure": None, "samples": 310, "rank": None},
            "kraken gives nothing since 13:05 UTC: 310 metrics",
            id="a silent source",
        ),
        pytest.param(
            {"kind": "stale", "metric": "kraken:*", "event": "resolved", "since": None, "samples": None},
            "kraken gives samples again, at 14:05 UTC",
            id="a source is back",
        ),
        pytest.param(
            {"kind": "stale", "event": "resolved", "since": TICK},
            "there are samples again, at 14:05 UTC",
            id="a metric is back",
        ),
        pytest.param(
            {"kind": "frozen", "value": "421.0", "mean": 421.0},
            "the price, 421.0, does not move though volume trades, or the provider's own time stands still; "
            "mean 421 of 58 samples 13:05-14:04 UTC",
            id="frozen",
        ),
        pytest.param(
            {"event": "resolved", "value": None, "mean": None, "ratio": None, "samples": None},
            "does not hold any more: price is more than 3 x its hour mean; price rank 3 of 310",
            id="ratio, over",
        ),
        pytest.param(
            {"kind": "threshold", "name": "BTC above 400", "event": "resolved", "value": "399.5"},
            "does not hold any more: BTC above 400; now 399.5; price rank 3 of 310",
            id="threshold, over",
        ),
        pytest.param(
            {"kind": "eclipse", "name": "from a newer version"},
            "from a newer version: 421.0",
            id="a kind that is not known",
        ),
    ],
)
def test_every_kind_of_rule_has_its_sentence(said, text):
    assert body(**said) == text


@pytest.mark.parametrize(
    "said, text",
    [
        ({"measure": "interval_volume", "since": TICK - 900}, "KRAKEN:BTCUSD interval volume is 3.4 x its 15 min mean"),
        ({"since": TICK - DAY}, "KRAKEN:BTCUSD price is 3.4 x its day mean"),
        ({"since": TICK - 2 * HOUR}, "KRAKEN:BTCUSD price is 3.4 x its 2 h mean"),
        ({"since": TICK - 90}, "KRAKEN:BTCUSD price is 3.4 x its 90 s mean"),
        ({"kind": "threshold"}, "KRAKEN:BTCUSD price is 421.0"),
        ({"kind": "change", "ratio": 12.345}, "KRAKEN:BTCUSD price +12.3 %"),
        ({"kind": "deviation", "ratio": 4.21}, "KRAKEN:BTCUSD price is 4.21 deviations above its day"),
        ({"kind": "rank", "event": "enters"}, "KRAKEN:BTCUSD enters the top by price"),
        ({"kind": "rank", "event": "leaves"}, "KRAKEN:BTCUSD leaves the top by price"),
        ({"kind": "stale"}, "KRAKEN:BTCUSD has no samples"),
        ({"kind": "stale", "metric": "kraken:*"}, "kraken gives nothing"),
        ({"kind": "stale", "metric": "kraken:*", "event": "resolved"}, "kraken is back"),
        ({"kind": "frozen"}, "KRAKEN:BTCUSD is frozen"),
    ],
)
def test_the_title_alone_says_what_happened(said, text):
    assert title(**said) == text


def test_tiny_prices_are_readable():
    said = body(value="1.08e-05", mean=3.1764705882352943e-06)

    assert said.startswith("0.0000108 = 3.4 x the mean 0.000003176 of 58 samples")


def test_samples_more_often_than_a_minute_are_told_to_the_second():
    assert " 13:05:00-14:04:55 UTC" in body(interval=5)


def test_the_footer_says_whose_message_it_is_how_urgent_when_and_its_id():
    said = write_single(alert(severity="critical"), 60).footer

    assert said == (
        "price is more than 3 x its hour mean (critical), 2021-05-17 14:05 UTC\nspike.KRAKEN:BTCUSD.1621260300"
    )


@pytest.mark.parametrize(
    "number, digits, text",
    [
        (123.84482758620689, 4, "123.8"),
        (46572.170000000006, 4, "46572"),
        (1234567890123.4, 4, "1234567890123"),
        (0.00001080000001, 4, "0.0000108"),
        (120.0, 4, "120"),
        (3.0, 3, "3"),
        (-0.05349, 3, "-0.0535"),
        (0.0, 3, "0"),
        (1e-10, 4, "0.0000000001"),
        (1e16, 4, "10000000000000000"),
        (float("inf"), 4, "inf"),
    ],
)
def test_numbers_are_rounded_readably_and_have_no_exponent(number, digits, text):
    assert format_readable(number, digits) == text


@given(some.floats(allow_nan=False, allow_infinity=False), some.integers(1, 6))
def test_a_rounded_number_is_near_and_plain(number, digits):
    text = format_readable(number, digits)

    assert "e" not in text.lower()
    assert float(text) == pytest.approx(number, rel=10 ** (1 - digits))


def test_five_alerts_of_a_rule_are_five_messages_and_six_are_one():
    assert not is_in_digest(alert(group_size=5))
    assert is_in_digest(alert(group_size=6))


def test_a_digest_names_the_strongest_and_says_how_many_more_there_are():
    alerts = [alert(f"KRAKEN:C{number:03}USD", ratio=3.0 + number / 100) for number in range(310)]

    said = write_digest(alerts, 60)

    lines = said.body.splitlines()
    assert said.title == "310 metrics price is more than 3 x its hour mean"
    assert lines[0] == (
        "KRAKEN:C309USD: 421.0 = 6.09 x the mean 123.8 of 58 samples 13:05-14:04 UTC; price rank 3 of 310"
    )
    assert lines[-1] == "and 302 more"
    assert len(lines) == 9
    assert said.footer.splitlines()[1] == make_digest_id("spike", TICK) == f"spike.digest.{TICK}"


def test_a_digest_says_of_each_what_happened_where_that_differs():
    said = write_digest(
        [
            alert("A:IN", kind="rank", event="enters", value="3", ratio=None),
            alert("B:OUT", kind="rank", event="leaves", value="12", ratio=None),
        ],
        60,
    )
    over = write_digest([alert(f"A:{number}", event="resolved", value=None) for number in range(6)], 60)

    assert said.body == "A:IN enters: price rank 3 of 310\nB:OUT leaves: price rank 12 of 310"
    assert over.title == "6 metrics over: price is more than 3 x its hour mean"


def test_a_digest_is_the_same_in_whatever_order_its_alerts_come():
    alerts = [
        alert(f"KRAKEN:C{number}USD", ratio=ratio) for number, ratio in enumerate([3.5, 4.0, None, 4.0, -9.0, 3.1])
    ]

    assert write_digest(alerts, 60) == write_digest(alerts[::-1], 60)
    assert [each.metric[-4:-3] for each in sort_by_strength(alerts)] == ["4", "1", "3", "0", "5", "2"]


def test_the_link_leads_to_the_metric_and_its_measure():
    assert make_link("http://127.0.0.1:8000", alert()) == "http://127.0.0.1:8000/m/KRAKEN:BTCUSD?measure=price"
    assert make_link("https://x.org/t/", alert(measure=None)) == "https://x.org/t/m/KRAKEN:BTCUSD"
    assert make_link("https://x.org/", alert("kraken:*")) == "https://x.org/status"
    assert make_link("https://x.org/", alert("CCXT:A B&C")) == "https://x.org/m/CCXT:A%20B%26C?measure=price"


@pytest.mark.parametrize(
    "text, limit, short",
    [
        ("as long as it may be", 20, "as long as it may be"),
        ("one word too many here", 20, "one word too many…"),
        ("first line\nsecond line", 15, "first line…"),
        ("a" * 30, 10, "a" * 9 + "…"),
        ("a " + "b" * 30, 10, "a " + "b" * 7 + "…"),
        ("x", 0, ""),
        ("\N{SNOWMAN}" * 12, 12, "\N{SNOWMAN}" * 12),
    ],
)
def test_a_text_is_cut_between_words_and_counted_in_characters(text, limit, short):
    assert shorten(text, limit) == short


@given(some.text(max_size=80), some.integers(1, 60))
def test_no_cut_text_is_longer_than_its_limit(text, limit):
    assert len(shorten(text, limit)) <= limit


@given(some.text(max_size=2000), some.text(max_size=30), some.sampled_from(["", "https://x.org/"]))
def test_however_long_a_body_is_the_footer_stays(body, footer, address):
    said = fit_body(MessageText("title", body, footer), 1024, address)

    assert len(said) <= 1024
    assert said.endswith(footer)
    assert address in said
