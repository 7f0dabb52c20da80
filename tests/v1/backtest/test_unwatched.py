"""Only what rules watch is played, and the report is the same as if everything were."""

import importlib
import random
from collections.abc import Iterator
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v1.backtest import BacktestInput, make_report, make_variants, play
from v1.backtest.unwatched import UnwatchedMarket
from v1.market.metric_state import SourceReading
from v1.model import DAY, HOUR, Measure, Metric, Reading
from v1.rules import Rule, parse_rule

NOON, STEP = 1_621_252_800, 1800
METRICS = [Metric(f"KRAKEN:C{number}USD") for number in range(5)]
WATCHED = METRICS[0]
played = importlib.import_module("v1.backtest.play")  # not the function of that name
ONE = {"metrics": WATCHED, "cooldown": 0}
RULES = [
    {"id": "r", "kind": "threshold", "above": 50, **ONE},
    {"id": "r", "kind": "change", "percent": 20, "window": 2 * HOUR, "resolved": True, **ONE},
    {"id": "r", "kind": "threshold", "above": 50, "measure": "interval_volume", **ONE},
    {"id": "r", "kind": "threshold", "above": 10, "measure": "interval_return", **ONE},
    {"id": "r", "kind": "stale", "intervals": 3, **ONE},
    {"id": "r", "kind": "rank", "top": 2, "min_samples": 2, **ONE},
]
EVERYTHING = parse_rule({"id": "all", "kind": "rank", "top": 1, "min_samples": 1}, STEP)
"""Beside it, every metric is played: it judges all of them together."""


def make_market(seed: int, ticks: int) -> Iterator[tuple[int, dict[Metric, SourceReading]]]:
    """Return two days and more with gaps of minutes and of days, and numbers of changing fineness."""
    some = random.Random(seed)
    away = {metric: some.randrange(ticks) for metric in METRICS}
    for number in range(ticks):
        heard = {}
        for metric in METRICS:
            if some.random() < 0.8 and not away[metric] <= number < away[metric] + some.choice([1, 60]):
                price, volume = f"{some.uniform(1, 100):.{some.randrange(4)}f}", str(some.randrange(100))
                heard[metric] = SourceReading(
                    Reading(price, None, None, None, some.choice([None, volume])), some.choice(["kraken", "binance"])
                )
        yield NOON + number * STEP, heard


def report(rule: Rule, seed: int, *, everything: bool, start: int | None, min_coverage: float = 0) -> dict[str, object]:
    trial = BacktestInput([rule], (), STEP, start, min_coverage=min_coverage)
    variants = make_variants([rule], STEP)
    more = [each.rule for each in variants] + ([EVERYTHING] if everything else [])
    found = play(make_market(seed, 150), trial, more)
    return make_report(found, trial, variants, (), 10_000)


@pytest.mark.parametrize("fields", RULES, ids=lambda fields: f"{fields['kind']}-{fields.get('measure', 'price')}")
@pytest.mark.parametrize("start", [None, NOON + 100 * STEP])
def test_the_report_is_the_same_as_if_all_metrics_were_played(fields: dict[str, object], start: int | None):
    rule = parse_rule(fields, STEP)

    found = [report(rule, seed, everything=False, start=start) for seed in range(3)]

    assert found == [report(rule, seed, everything=True, start=start) for seed in range(3)]
    assert all(each["metrics"] == len(METRICS) for each in found)
    assert any(each["alerts"] for each in found)


@pytest.mark.parametrize("fields", RULES, ids=lambda fields: f"{fields['kind']}-{fields.get('measure', 'price')}")
def test_so_it_is_where_metrics_with_few_numbers_have_no_rank(fields: dict[str, object]):
    rule = parse_rule(fields, STEP)

    found = [report(rule, 1, everything=each, start=None, min_coverage=0.9) for each in (False, True)]

    assert found[0] == found[1]


@pytest.mark.parametrize("fields, watched", [(RULES[0], 1), (RULES[3], 5), (RULES[4], 5), (RULES[5], 5)])
def test_of_metrics_that_no_rule_watches_no_state_is_moved(fields: dict[str, object], watched: int):
    rule = parse_rule(fields, STEP)
    moved: set[Metric] = set()

    def note(at, metrics, heard, found):
        moved.update(metrics)
        return advance(at, metrics, heard, found)

    advance = played.advance_all
    with mock.patch.object(played, "advance_all", note):
        play(make_market(1, 20), BacktestInput([rule], (), STEP))

    assert len(moved) == watched


numbers = st.lists(st.none() | st.decimals(-(10**6), 10**6, places=4).map(str), min_size=1, max_size=120)


@settings(deadline=None)
@given(numbers, st.sets(st.integers(0, 119)))
def test_what_ranks_follow_from_is_the_same_whenever_it_is_asked_for(values: list[str | None], asked: set[int]):
    often, once = UnwatchedMarket([Measure.PRICE]), UnwatchedMarket([Measure.PRICE])

    for number, value in enumerate(values):
        heard = {WATCHED: SourceReading(Reading(value), "kraken")} if value else {}
        for market in (often, once):
            market.add(NOON + number * STEP, heard)
        if number in asked:
            often.collect_inputs(NOON + number * STEP, Measure.PRICE)
    last = NOON + (len(values) - 1) * STEP

    assert often.collect_inputs(last, Measure.PRICE) == once.collect_inputs(last, Measure.PRICE)


def test_a_long_recording_does_not_fill_the_memory():
    market = UnwatchedMarket([Measure.PRICE])

    for number in range(10_000):
        market.add(NOON + number * 60, {WATCHED: SourceReading(Reading("1"), "kraken")})
    (series,) = market._series[Measure.PRICE].values()

    assert len(series._values) < DAY // 60 + 2001
