"""Who is moved by a tick, and who is left out."""

import pytest

from tests.support.serving import MINUTE, NOON
from v1.market.advance import advance_all
from v1.market.metric_state import PriorState, SourceReading
from v1.model import Metric, Reading

BTC, ETH, XRP = (Metric(f"KRAKEN:{coin}USD") for coin in ("BTC", "ETH", "XRP"))


def heard(price: str) -> SourceReading:
    return SourceReading(Reading(price), "tests")


def test_who_was_heard_or_is_known_is_moved_and_the_others_are_left_out():
    (first,) = advance_all(NOON - MINUTE, [BTC], {BTC: heard("1")}, [PriorState(None)])

    steps = advance_all(
        NOON, [BTC, ETH, XRP], {ETH: heard("2")}, [PriorState(first.record), PriorState(None), PriorState(None)]
    )

    assert [(step.metric, step.sample is not None) for step in steps] == [(BTC, False), (ETH, True)]


def test_a_metric_that_is_past_the_tick_is_left_where_it_is():
    (ahead,) = advance_all(NOON, [BTC], {BTC: heard("1")}, [PriorState(None)])

    assert advance_all(NOON - MINUTE, [BTC], {BTC: heard("2")}, [PriorState(ahead.record)]) == []


def test_every_metric_needs_what_was_found_of_it():
    with pytest.raises(ValueError, match="shorter than"):
        advance_all(NOON, [BTC, ETH], {}, [PriorState(None)])
