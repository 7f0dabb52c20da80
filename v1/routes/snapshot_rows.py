"""The rows of a snapshot: a measure of a metric now. What is not asked for is neither read nor worked out."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from operator import itemgetter
from typing import Annotated, NamedTuple

from pydantic import BaseModel, Field

from ..market.current import ALL_PARTS, CurrentParts, PastValue, summarize_measures
from ..market.freshness import Freshness, judge_freshness
from ..market.market_note import MarketNote
from ..model import DAY, HOUR, MEASURES, By, Measure, Metric
from ..numbers.chunks import split_into_chunks
from ..store import CurrentMetric, PastReads, RankKey, RankPlaces
from .context import RouteState
from .row_encoder import CellKind, Column, Row

METRICS_AT_ONCE = 100
"""Metrics that are read in one go; what they come to takes some 7 ms, in which nobody else is answered."""
LINES_AT_ONCE = 50
_KINDS = {
    **dict.fromkeys(("metric", "measure", "state", "source"), CellKind.TEXT),
    **dict.fromkeys(("age", "hour_samples", "rank", "of", "cv_rank", "cv_of", "samples"), CellKind.COUNT),
    **dict.fromkeys(("at", "provider_time", "hour_ago_at", "day_ago_at"), CellKind.TIME),
}


_UNRANKED = (None, None)
_NO_PAST = (None, None, None)


def _find_kind(name: str) -> CellKind:
    return _KINDS.get(name, CellKind.NUMBER)


class SnapshotRow(BaseModel):
    """A measure of a metric now. What is not known is null, as nearly all is of a dead market."""

    metric: str
    measure: Measure
    at: Annotated[int | None, Field(description="Tick of the newest sample.")]
    age: Annotated[int | None, Field(description="Seconds since then.")]
    state: Freshness
    source: Annotated[str | None, Field(description="Who gave the newest sample.")]
    provider_time: Annotated[int | None, Field(description="When the provider says it was so; null: it does not say.")]
    value: Annotated[float | None, Field(description="In the newest sample, digits as received.")]
    change_1h: Annotated[
        float | None,
        Field(
            description="From `hour_ago` to `value`, in percent of it, rounded half to even at 3 places; null from zero or below."
        ),
    ]
    hour_ago: Annotated[
        float | None, Field(description="In the newest sample of the hour that ended an hour before `at`.")
    ]
    hour_ago_at: Annotated[int | None, Field(description="Tick of that sample.")]
    change_24h: Annotated[float | None, Field(description="The same from `day_ago`.")]
    day_ago: Annotated[
        float | None,
        Field(
            description="In the oldest sample of the kept day, if it lies in the day's first hour: 24 h ago but one interval."
        ),
    ]
    day_ago_at: Annotated[int | None, Field(description="Tick of that sample.")]
    hour_mean: Annotated[float | None, Field(description="Mean over the hour before the newest tick.")]
    hour_samples: Annotated[int, Field(description="How many numbers are behind it.")]
    hour_coverage: Annotated[float, Field(description="hour_samples / those of an hour without a gap")]
    ratio: Annotated[float | None, Field(description="value / hour_mean; null where that is zero or below.")]
    stddev: Annotated[float | None, Field(description="Population standard deviation over the day.")]
    rank: Annotated[int | None, Field(description="Place by `stddev`; 1 moves most, equals share a place.")]
    of: Annotated[int | None, Field(description="How many metrics are ranked by it.")]
    cv: Annotated[float | None, Field(description="Coefficient of variation: that deviation / |mean|.")]
    cv_rank: Annotated[int | None, Field(description="Place by `cv`.")]
    cv_of: Annotated[int | None, Field(description="How many metrics are ranked by it.")]
    samples: Annotated[int, Field(description="How many numbers of the day are behind deviation and rank.")]
    coverage: Annotated[float, Field(description="samples / those of a day without a gap")]


class SnapshotLine(SnapshotRow):
    """A measure of a metric now, with its prices of the day."""

    sparkline: Annotated[
        list[float | None] | None,
        Field(description="Prices of the day as `sparkline` asks for them, oldest first; null where it does not."),
    ]


SPARKLINE = "sparkline"
METRIC_FIELDS = ("metric", "at", "age", "state", "source", "provider_time")
"""What is known of a metric."""
MEASURE_FIELDS = tuple([name for name in SnapshotRow.model_fields if name not in (*METRIC_FIELDS, "measure")])
"""What is known of each of its measures."""
FIELDS = (*METRIC_FIELDS, *[f"{measure}.{name}" for measure in MEASURES for name in MEASURE_FIELDS])
"""What can be asked for, in a row for each metric."""
_RANKS = {"rank": By.STDDEV, "of": By.STDDEV, "cv_rank": By.CV, "cv_of": By.CV}
_HOUR_AGO = {"change_1h", "hour_ago", "hour_ago_at"}
_DAY_AGO = {"change_24h", "day_ago", "day_ago_at"}
_MEAN = {"hour_mean", "hour_samples", "hour_coverage", "ratio"}
_DISPERSION = {"stddev", "cv"}


class SnapshotQuestion(NamedTuple):
    """What of each metric is answered."""

    columns: Sequence[Column]
    parts: Mapping[Measure, CurrentParts]
    """What is worked out of each measure; there are no others."""
    ranks: Sequence[RankKey]
    """The ranks in which places are read."""
    choosers: Sequence[Callable[[Row], Row]]
    """What takes the cells of a row out of all cells of a metric, for each row of it."""

    @property
    def newest_measures(self) -> list[Measure]:
        """The measures of which the newest number is read."""
        return [measure for measure, parts in self.parts.items() if parts.has_newest]

    @property
    def past(self) -> PastReads:
        """Which past samples are read."""
        parts = self.parts.values()
        return PastReads(any(each.hour_ago for each in parts), any(each.day_ago for each in parts))


def ask_of_measures(measures: Sequence[Measure], *, has_line: bool) -> SnapshotQuestion:
    """Return the question for a row of every column for each measure of a metric; `has_line`: with a sparkline."""
    names = [*SnapshotRow.model_fields, *([SPARKLINE] if has_line else [])]
    places = _place_cells(measures)
    return SnapshotQuestion(
        [Column(name, _find_kind(name)) for name in names],
        dict.fromkeys(measures, ALL_PARTS),
        [(measure, by) for measure in measures for by in By],
        [itemgetter(*[places.get(name, places.get(f"{measure}.{name}")) for name in names]) for measure in measures],
    )


def ask_of_fields(names: Sequence[str], *, has_line: bool) -> SnapshotQuestion:
    """Return the question for a row of these fields for each metric: of `FIELDS`, each once."""
    wanted: dict[Measure, set[str]] = {}
    for name in names:
        measure, dot, number = name.partition(".")
        if dot:
            wanted.setdefault(Measure(measure), set()).add(number)
    places, written = _place_cells([*wanted]), [*names, *([SPARKLINE] if has_line else [])]
    getter = itemgetter(*[places[name] for name in written])
    return SnapshotQuestion(
        [Column(name, _find_kind(name.rpartition(".")[2])) for name in written],
        {measure: _find_parts(numbers) for measure, numbers in wanted.items()},
        [*dict.fromkeys((measure, _RANKS[name]) for measure in wanted for name in _RANKS if name in wanted[measure])],
        # Of one place an item getter returns no row.
        [getter if len(written) > 1 else lambda cells: (getter(cells),)],
    )


def _find_parts(numbers: Collection[str]) -> CurrentParts:
    wanted = {*numbers}
    return CurrentParts(
        value="value" in wanted,
        hour_ago=bool(wanted & _HOUR_AGO),
        day_ago=bool(wanted & _DAY_AGO),
        mean=bool(wanted & _MEAN),
        dispersion=bool(wanted & _DISPERSION),
    )


def _place_cells(measures: Sequence[Measure]) -> dict[str, int]:
    """Return where each cell stands among all of a metric, as `_list_cells` lists them."""
    ofs = [
        name
        for measure in measures
        for name in (f"{measure}.measure", *[f"{measure}.{each}" for each in MEASURE_FIELDS])
    ]
    return {name: place for place, name in enumerate((*METRIC_FIELDS, SPARKLINE, *ofs))}


class SnapshotMoment(NamedTuple):
    """When it is, and what is judged by that."""

    tick: int | None
    now: int
    interval: int
    dead: Mapping[Metric, str]
    """Markets that a provider lists without a price."""
    notes: Mapping[Metric, MarketNote]
    """Markets that are not simply live."""
    places: Mapping[RankKey, RankPlaces]


async def read_rows(
    context: RouteState, page: Sequence[Metric], asked: SnapshotQuestion, moment: SnapshotMoment, ends: range
) -> AsyncIterator[list[Row]]:
    """Yield the rows of some metrics at a time, in order."""
    lists, choosers = context["lists"], asked.choosers
    for chunk in split_into_chunks(page, LINES_AT_ONCE if ends else METRICS_AT_ONCE):
        prices = await lists.read_lines(chunk, ends) if ends else []
        lines = {metric: write_line(line) for metric, line in zip(chunk, prices, strict=False)}
        found = await lists.read_current(chunk, asked.newest_measures, asked.past)
        known = {each.metric: each for each in found}
        cells = [
            _list_cells(known[metric], lines.get(metric), asked, moment)
            if metric in known
            else _list_dead_cells(metric, lines.get(metric), asked)
            for metric in chunk
            if metric in known or metric in moment.dead
        ]
        yield [choose(each) for each in cells for choose in choosers]


def write_line(prices: Sequence[str | None]) -> str:
    """Return prices as a JSON list, with their digits."""
    return f"[{','.join(['null' if price is None else price for price in prices])}]"


def _list_cells(current: CurrentMetric, line: str | None, asked: SnapshotQuestion, moment: SnapshotMoment) -> Row:
    """Return all cells of a metric; what is not worked out is `None`."""
    metric, record = current.metric, current.record
    note = moment.notes.get(metric)
    state = judge_freshness(record, moment.tick, moment.now, moment.interval, note.state if note else None)
    if state is Freshness.STALE and metric in moment.dead:
        state = Freshness.DEAD
    cells: list[object] = [
        *(metric, record.newest, moment.now - record.newest, state, record.source, record.provider_time, line)
    ]
    known, ranks = summarize_measures(asked.parts, record, current.newest, current.past), moment.places
    expected, hours = DAY // moment.interval, DAY // HOUR
    for measure, each in zip(asked.parts, known, strict=True):
        by_stddev, by_cv = (
            _list_place(metric, ranks.get((measure, By.STDDEV))),
            _list_place(metric, ranks.get((measure, By.CV))),
        )
        cells += (measure, each.value, *_list_past(each.hour_ago), *_list_past(each.day_ago))
        covered = None if each.hour_samples is None else each.hour_samples * hours / expected
        cells += (each.hour_mean, each.hour_samples, covered, each.ratio, each.stddev, *by_stddev, each.cv, *by_cv)
        cells += (each.samples, each.samples / expected)
    return cells


def _list_place(metric: Metric, ranks: RankPlaces | None) -> Row:
    """Return the place of a metric, and how many are ranked; neither where it has none."""
    place = ranks.places.get(metric) if ranks else None
    return _UNRANKED if ranks is None or place is None else (place, ranks.of)


def _list_past(past: PastValue | None) -> Row:
    return _NO_PAST if past is None else (past.change, past.value, past.tick)


def _list_dead_cells(metric: Metric, line: str | None, asked: SnapshotQuestion) -> Row:
    """Return the cells of a market without a sample."""
    known: dict[str, object] = {"hour_samples": 0, "hour_coverage": 0.0, "samples": 0, "coverage": 0.0}
    numbers = [known.get(name) for name in MEASURE_FIELDS]
    cells: list[object] = [metric, None, None, Freshness.DEAD, None, None, line]
    for measure in asked.parts:
        cells += (measure, *numbers)
    return cells
