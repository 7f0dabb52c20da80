"""What start.sh says while it runs."""

from typing import Any

import pytest

from scripts.address import is_hopeless
from scripts.watching import HealthWatch, compute_percent


def health(
    *reasons: str, done: int | None = None, state: str = "ok", metrics: int = 0, **wishes: str
) -> dict[str, Any]:
    filling = None if done is None else {"done": done, "of": 200}
    source = {"state": state, "filling": filling, "metrics": metrics}
    status = "degraded" if reasons else "ready"
    return {"status": status, "reasons": list(reasons), "sources": {"a": source}, "wishes": wishes}


def test_each_trouble_is_told_once_whatever_its_numbers_and_its_end_too():
    told: list[str] = []
    watch = HealthWatch(told.append)

    for reasons in [[], ["a fails since 10:00"], ["a fails since 10:00", "it is 60 s old"], ["it is 62 s old"], [], []]:
        watch.look(health(*reasons))

    assert told == [
        "degraded: a fails since 10:00",
        "degraded: it is 60 s old",
        "ready: nothing fails any more",
    ]


def test_what_was_told_at_the_start_is_not_told_again():
    told: list[str] = []
    watch = HealthWatch(told.append)

    watch.keep(health("a fails"))
    watch.look(health("a fails"))

    assert told == []


def test_a_fill_is_told_at_every_quarter_and_at_its_end():
    told: list[str] = []
    watch = HealthWatch(told.append)

    for done in [0, 20, 68, 70, 110, 199, None, None]:
        watch.look(health(done=done))

    assert told == [
        "filling the past day: 34 %",
        "filling the past day: 55 %",
        "filling the past day: 99 %",
        "the past day is filled, as far as the sources know it",
    ]


@pytest.mark.parametrize(
    "known, expected",
    [
        pytest.param(None, False, id="no answer"),
        pytest.param(health(), False, id="all is well"),
        pytest.param(health(state="failing"), True, id="a source fails"),
        pytest.param(health(**{"KRAKEN:XBTUSD": "no"}), True, id="nobody has a metric"),
        pytest.param(health(metrics=2, **{"KRAKEN:XBTUSD": "no"}), False, id="there are other metrics"),
    ],
)
def test_first_samples_are_not_waited_for_where_there_is_something_to_mend(known, expected):
    assert is_hopeless(known) is expected


def test_of_several_fills_the_metrics_count():
    sources = {"a": {"filling": {"done": 1, "of": 3}}, "b": {"filling": None}, "c": {"filling": {"done": 1, "of": 97}}}

    assert compute_percent({"sources": sources}) == 2
    assert compute_percent(None) is None
