"""
What is known of one metric at one tick, and how a tick moves it on. Values and arithmetic: no clock,
no network, no Redis.

A record is kept as one JSON array, `v1:moments:{<metric>}`:

    [at, newest, price, before, source, provider_time, [places, n, total, squares, ...], [...]]

first the day's moments of every measure in the order of `model.MEASURES`, then the hour's. Behind
them, only while an alert rule is not at rest, stands where each rule is (see `rules.phases`), and behind that (an empty
object where there is none), only while the day has some, the marks of slots that are not as they should be (see `slots`).

The day is (at - 24 h, at]: at one sample a minute 1440 samples. The hour is kept as [at - 1 h, at],
closed at both ends, one sample more than an hour has. That way the hour *before* any later tick T,
[T - 1 h, T), is what is left once the ticks before T - 1 h are gone, and a tick that is written a
second time finds the same baseline as at the first: its own sample is taken out, nothing else.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from ..model import DAY, HOUR, MEASURES, Measure, Metric, Reading, Sample
from ..numbers.decimals import Number, divide_rounded, format_decimal, parse_decimal, subtract
from ..numbers.moments import NOTHING, Moments, of_four
from ..numbers.moments import are_same_moments as same_moments
from .extremes import NO_RANGES, Span, WindowRange
from .slots import check_marks, mark_unknown

CHANGE_PLACES = 3
"""Places of a change over 24 hours that we compute ourselves: as many as Binance writes. `change_absolute` is exact."""
RETURN_PLACES = 4
"""Places of a return: a hundredth of a basis point. The prices that it follows from are exact."""

Window = tuple[Moments, ...]
"""The moments of every measure over the same stretch of time, in the order of `MEASURES`."""

EMPTY: Window = (NOTHING,) * len(MEASURES)

Numbers = Sequence[Sequence[Number]]
"""The numbers of every measure in some samples, in the order of `MEASURES`."""

_NO_NUMBERS: Numbers = ((),) * len(MEASURES)


_encode = json.JSONEncoder(separators=(",", ":")).encode  # made once: `json.dumps` would make one a call


class MetricState(NamedTuple):
    """Everything that is known of a metric beside its samples, valid at one tick."""

    at: int
    """The tick the moments are valid at."""
    newest: int
    """The tick of the newest sample."""
    price: str | None
    """The newest sample's price."""
    before: str | None
    """The price of the sample before it."""
    source: str
    """Who gave the newest sample."""
    provider_time: int | None
    """When the provider says that it was so, unix seconds."""
    day: Window
    """Moments over (at - 24 h, at]."""
    hour: Window
    """Moments over [at - 1 h, at]."""
    alerting: Mapping[str, Sequence[object]] = {}
    """Where each alert rule stands, as `rules` writes it; a rule that is at rest has no entry."""
    marks: str = ""
    """Which slots of the day are not as they should be, as `slots` writes it; those of a day without a gap are empty."""

    def count_day(self, measure: Measure) -> int:
        """Return how many numbers of a measure the day holds."""
        return self.day[MEASURES.index(measure)].n


def write_state(record: MetricState) -> str:
    """Return the record as it is kept."""
    *plain, day, hour, alerting, marks = record
    windows = [[*chain.from_iterable(day)], [*chain.from_iterable(hour)]]
    if marks:
        return _encode([*plain, *windows, alerting, marks])
    return _encode([*plain, *windows, alerting] if alerting else [*plain, *windows])


def read_state(written: str) -> MetricState:
    """Read what `write` wrote. Raises `ValueError` or `TypeError` where it is something else."""
    at, newest, price, before, source, provider_time, day, hour, *others = json.loads(written)
    if others[1:]:
        check_marks(others[1])
    return MetricState(at, newest, price, before, source, provider_time, _window(day), _window(hour), *others)


def try_read_state(written: str | None) -> MetricState | None:
    """Read what `write` wrote; `None` where there is nothing, or something else."""
    try:
        return None if written is None else read_state(written)
    except (TypeError, ValueError):
        return None


def _window(flat: list[int]) -> Window:
    four = iter(flat)
    return tuple(map(of_four, zip(four, four, four, four, strict=True)))


class Lookback(NamedTuple):
    """Which samples before a tick the alert rules ask for."""

    all_of: int = 0
    """Every sample of so many seconds before the tick."""
    first_of: tuple[int, ...] = ()
    """The first sample of so many seconds before the tick."""
    extremes_of: tuple[Span, ...] = ()
    """The lowest and the highest value of so many seconds before the tick."""


NO_LOOKBACK = Lookback()


class PriorState(NamedTuple):
    """What the store holds of a metric before a tick: its record, and the samples that the tick moves out."""

    record: MetricState | None
    leaving_day: Sequence[Sample] = ()
    """Those at or before tick - 24 h."""
    leaving_hour: Sequence[Sample] = ()
    """Those before tick - 1 h that the record's hour still counts."""
    written: Sample | None = None
    """The sample of this very tick, if it was written before."""
    recent: Sequence[Sample] = ()
    """The samples before the tick that the alert rules ask for, oldest first; there may be others among them."""
    extremes: Mapping[Span, WindowRange] = NO_RANGES
    """The extremes before the tick that the alert rules ask for, of each span that has a value."""


class SourceReading(NamedTuple):
    """A reading and the source that gave it."""

    reading: Reading
    source: str


class StateUpdate(NamedTuple):
    """What a tick does to one metric."""

    metric: Metric
    sample: Sample | None
    """The new sample; `None` where nobody gave one."""
    baseline: Window
    """Moments over [tick - 1 h, tick): what the new sample is compared with."""
    record: MetricState
    found: PriorState

    @property
    def is_over(self) -> bool:
        """Whether the day holds no sample of the metric any more."""
        return self.record.newest <= self.record.at - DAY


def advance(metric: Metric, at: int, heard: SourceReading | None, found: PriorState) -> StateUpdate | None:
    """
    Move one metric on to tick `at`, with a new sample or without.

    Returns `None` where there is nothing to move: neither a record nor a reading, or a record that is
    past the tick already (what comes late goes by `Writer.insert`).
    """
    last = found.record
    if last is None:
        if heard is None:
            return None
        last = MetricState(at, at, None, None, heard.source, None, EMPTY, EMPTY)
    if last.at > at:
        return None
    day, leaving_day = (last.day, found.leaving_day) if last.at > at - DAY else (EMPTY, ())
    hour = _remove_samples(last.hour, found.leaving_hour) if last.at >= at - HOUR else EMPTY
    written = [found.written] if found.written else []
    baseline = _remove_samples(hour, written)
    if heard is None:
        day = _remove_samples(day, leaving_day)
        return StateUpdate(metric, None, baseline, last._replace(at=at, day=day, hour=hour, alerting={}), found)
    # A price that has left the day is nobody's previous one, whether or not its record is still there.
    previous = last.price if last.newest > at - DAY else None
    before = last.before if found.written else previous
    sample = _make_sample(at, heard.reading, before, _find_price_of_yesterday(at, found))
    come = _parse_numbers([sample])
    record = MetricState(
        at,
        at,
        heard.reading.price,
        before,
        heard.source,
        heard.reading.provider_time,
        _update_window(day, come, _parse_numbers([*leaving_day, *written])),
        _update_window(baseline, come, _NO_NUMBERS),
        marks=last.marks,
    )
    return StateUpdate(metric, sample, baseline, record, found)


def _update_window(window: Window, come: Numbers, gone: Numbers) -> Window:
    """Move a window on: some numbers come and some go."""
    return tuple(map(Moments.update, window, come, gone))


def _remove_samples(window: Window, gone: Sequence[Sample]) -> Window:
    """Take some samples out of a window."""
    return _update_window(window, _NO_NUMBERS, _parse_numbers(gone)) if gone else window


def _parse_numbers(samples: Sequence[Sample]) -> Numbers:
    """Return the numbers of each measure in some samples."""
    if len(samples) == 1:  # nearly always, and this is a fifth of a tick
        return [() if value is None else (parse_decimal(value),) for value in samples[0].values]
    columns = zip(*[sample.values for sample in samples], strict=True)
    return [[parse_decimal(value) for value in column if value is not None] for column in columns] or _NO_NUMBERS


def _make_sample(at: int, reading: Reading, before: str | None, yesterday: Number | None) -> Sample:
    """Make the sample: what the provider says, and what follows from our own samples where it is silent."""
    price = parse_decimal(reading.price)
    percentage, absolute = reading.change_percentage, reading.change_absolute
    if percentage is None and absolute is None and yesterday is not None:
        absolute, percentage = format_decimal(subtract(price, yesterday)), compute_change_percentage(price, yesterday)
    since_before = None if before is None else compute_interval_return(price, parse_decimal(before))
    return Sample(at, (reading.price, reading.volume, percentage, absolute, reading.interval_volume, since_before))


def _find_price_of_yesterday(at: int, found: PriorState) -> Number | None:
    """Return the price of 24 hours ago: of the sample that leaves, or as the tick's first writing used it."""
    if found.written:
        price, absolute = found.written.value(Measure.PRICE), found.written.value(Measure.CHANGE_ABSOLUTE)
        return subtract(parse_decimal(price), parse_decimal(absolute)) if price and absolute else None
    oldest = found.leaving_day[-1] if found.leaving_day else None
    price = oldest.value(Measure.PRICE) if oldest and oldest.tick == at - DAY else None
    return parse_decimal(price) if price else None


def compute_change_percentage(now: Number, then: Number) -> str | None:
    """Return the change over 24 hours in percent, rounded half to even at `CHANGE_PLACES`; `None` from zero."""
    return _compute_percent(now, then, CHANGE_PLACES)


def compute_interval_return(now: Number, then: Number) -> str | None:
    """Return the change since the sample before in percent, rounded half to even at `RETURN_PLACES`; `None` from zero."""
    return _compute_percent(now, then, RETURN_PLACES)


def _compute_percent(now: Number, then: Number, rounded_at: int) -> str | None:
    if not then[0]:
        return None
    units, places = subtract(now, then)
    return divide_rounded((units * 100, places), then, rounded_at)


def recount_state(at: int, samples: Sequence[Sample], known: MetricState | None, source: str) -> MetricState | None:
    """
    Make the record of tick `at` from scratch, out of all samples of its day, oldest first.

    What samples do not tell (source, provider's time, a price older than the day) is taken over from the known record where the
    newest sample is the one it speaks of; else `source` gave it. Without a known record, nobody can say how any of the
    samples came. Returns `None` of no samples.
    """
    if not samples:
        return None
    newest, before, provider_time = samples[-1], None, None
    if known is not None and known.newest == newest.tick:
        source, provider_time, before = known.source, known.provider_time, known.before
    if len(samples) > 1:
        before = samples[-2].value(Measure.PRICE)
    return MetricState(
        at,
        newest.tick,
        newest.value(Measure.PRICE),
        before,
        source,
        provider_time,
        _count_window(samples),
        _count_window([sample for sample in samples if sample.tick >= at - HOUR]),
        known.alerting if known else {},
        known.marks if known else mark_unknown(at),
    )


def compute_baseline(record: MetricState, newest: Sequence[Sample]) -> Window:
    """Return the moments of [at - 1 h, at), by taking the sample at `at`, if there is one, out of the hour."""
    return _remove_samples(record.hour, [sample for sample in newest if sample.tick == record.at])


def _count_window(samples: Sequence[Sample]) -> Window:
    return _update_window(EMPTY, _parse_numbers(samples), _NO_NUMBERS)


def are_same_states(left: MetricState | None, right: MetricState | None) -> bool:
    """Return whether two records say the same, be it at different powers of ten."""
    if left is None or right is None:
        return left is right
    return (
        left[:6] == right[:6]
        and left.alerting == right.alerting
        and all(
            same_moments(one, other) for one, other in zip(left.day + left.hour, right.day + right.hour, strict=True)
        )
    )
