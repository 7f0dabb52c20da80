"""What is live, stale and frozen, and when the whole can be relied on."""

import pytest

from tests.support.serving import HOUR, MINUTE, NOON, every_minute
from v1.market.freshness import Freshness, Health, judge_freshness, judge_health
from v1.market.metric_state import MetricState, recount_state
from v1.model import Sample


def record(samples: list[Sample], provider_time: int | None = None, at: int = NOON) -> MetricState:
    made = recount_state(at, samples, None, "tests")
    assert made
    return made._replace(provider_time=provider_time)


MOVING = every_minute([str(100 + minute) for minute in range(60)], interval_volume="1")
FLAT = ["7.0"] * 60


@pytest.mark.parametrize(
    "known, expected",
    [
        pytest.param(record(MOVING), Freshness.LIVE, id="prices move"),
        pytest.param(record(MOVING[:-3]), Freshness.LIVE, id="three ticks without a sample"),
        pytest.param(record(MOVING[:-4]), Freshness.STALE, id="four ticks without a sample"),
        pytest.param(record(every_minute(FLAT, interval_volume="2.5")), Freshness.FROZEN, id="flat although traded"),
        pytest.param(record(every_minute(FLAT, interval_volume="0")), Freshness.LIVE, id="flat, and nobody trades"),
        pytest.param(record(every_minute(FLAT)), Freshness.LIVE, id="flat, and nobody knows of trade"),
        pytest.param(
            record(every_minute(FLAT[:29], interval_volume="1")), Freshness.LIVE, id="flat, but only 29 samples"
        ),
        pytest.param(
            record(every_minute(["7.0", "7.00"] * 30, interval_volume="1")), Freshness.FROZEN, id="7.0 is 7.00"
        ),
        pytest.param(record(MOVING, NOON - HOUR), Freshness.LIVE, id="the provider is an hour behind"),
        pytest.param(record(MOVING, NOON - HOUR - 1), Freshness.FROZEN, id="the provider's clock stands still"),
    ],
)
def test_a_metric_is_in_the_state_that_its_samples_tell(known, expected):
    assert judge_freshness(known, NOON, NOON + 5, MINUTE) is expected


@pytest.mark.parametrize("interval, enough", [(60, 30), (120, 15), (180, 10), (300, 6), (1800, 2), (3600, 2)])
def test_where_fewer_samples_fit_into_an_hour_half_of_them_are_enough_to_tell_that_it_is_frozen(interval, enough):
    def told(count: int) -> Freshness:
        ticks = range(NOON - (count - 1) * interval, NOON + 1, interval)
        flat = [Sample(at, ("7.0", None, None, None, "1", None)) for at in ticks]
        return judge_freshness(record(flat), NOON, NOON + 5, interval)

    assert told(enough) is Freshness.FROZEN
    assert told(enough - 1) is Freshness.LIVE


def test_a_worker_that_stopped_makes_everything_stale_though_it_commits_no_tick():
    assert judge_freshness(record(MOVING), NOON, NOON + 3 * MINUTE, MINUTE) is Freshness.LIVE
    assert judge_freshness(record(MOVING), NOON, NOON + 3 * MINUTE + 1, MINUTE) is Freshness.STALE


def test_at_a_sample_a_second_a_clock_that_is_off_a_little_makes_nothing_stale():
    assert judge_freshness(record(MOVING), NOON, NOON + 10, 1) is Freshness.LIVE
    assert judge_freshness(record(MOVING), NOON, NOON + 11, 1) is Freshness.STALE
    assert judge_freshness(record(MOVING), NOON + 4, NOON + 4, 1) is Freshness.STALE


@pytest.mark.parametrize(
    "tick, sources, expected",
    [
        pytest.param(NOON, {"a": {"state": "ok"}}, Health.READY, id="all is well"),
        pytest.param(NOON - 4 * MINUTE, {}, Health.UNREADY, id="the newest tick is late"),
        pytest.param(None, {}, Health.UNREADY, id="there was no tick yet"),
        pytest.param(NOON, {"a": {"state": "failing", "reason": "said 503"}}, Health.DEGRADED, id="a source fails"),
        pytest.param(NOON, {"a": {}}, Health.DEGRADED, id="a source says nothing of itself"),
    ],
)
def test_the_whole_is_as_ready_as_its_ticks_and_sources(tick, sources, expected):
    status, reasons = judge_health(tick, NOON, MINUTE, sources)

    assert status is expected
    assert bool(reasons) is (expected is not Health.READY)
