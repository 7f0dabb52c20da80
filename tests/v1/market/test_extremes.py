"""The extremes of sliding windows against the plain minimum and maximum."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from v1.market.extremes import RangeCache, SlidingRange
from v1.model import MEASURES, Measure, Metric, Sample

BTC = Metric("KRAKEN:BTCUSD")
PRICE = MEASURES.index(Measure.PRICE)
NUMBERS = st.sampled_from(["0", "-1", "1", "1.0", "1.00", "2", "1.5", "1e1", "10", "0.1", "3e-2", "0.03", "99.99"])


def naive(samples, start):
    known = [(Fraction(text), tick, text) for tick, text in samples if tick >= start and Fraction(text) > 0]
    if not known:
        return None
    low, high = min(number for number, _, _ in known), max(number for number, _, _ in known)
    return tuple(max((tick, text) for number, tick, text in known if number == wanted) for wanted in (low, high))


@given(st.lists(st.tuples(st.integers(1, 3), NUMBERS), min_size=1, max_size=60), st.integers(0, 20))
def test_the_extremes_are_those_of_the_samples_from_the_start_on_and_the_newest_of_equals(steps, seconds):
    sliding, tick = SlidingRange(), 0
    samples: list[tuple[int, str]] = []
    for step, text in steps:
        tick += step
        found = sliding.take_since(tick - seconds)
        assert (found and tuple((each.tick, each.text) for each in found)) == naive(samples, tick - seconds)
        sliding.add(tick, text)
        samples.append((tick, text))


def sample(tick, text):
    return Sample(tick, (text, None, None, None, None, None))


def test_what_is_kept_of_another_state_of_a_metric_is_not_known():
    ranges, spans = RangeCache(), ((PRICE, 60),)
    assert not ranges.is_known(BTC, spans, 100)

    ranges.fill(BTC, spans, 100, [sample(90, "2"), sample(100, "1")])

    assert ranges.is_known(BTC, spans, 120, 100)
    assert not ranges.is_known(BTC, spans, 120, 90)
    assert not ranges.is_known(BTC, ((PRICE, 120),), 120, 100)
    assert ranges.find_ranges(BTC, spans, 155)[spans[0]].highest.text == "1"
    assert not ranges.is_known(BTC, spans, 120, 100)


def test_a_tick_that_follows_on_another_state_makes_the_metric_unknown():
    ranges, spans = RangeCache(), ((PRICE, 60),)
    for before, at in ((100, 160), (90, 160), (None, 160), (160, 160)):
        ranges.fill(BTC, spans, 100, [sample(100, "1")])
        ranges.advance(BTC, before, at, sample(at, "3"))
        assert ranges.is_known(BTC, spans, 220, 160) is (before == 100)
