"""The list of metrics, and the current state of one."""

import asyncio
import json
from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from ..market import metric_state
from ..market.freshness import Freshness, judge_freshness
from ..market.market_note import FeedAnswer, MarketNote
from ..market.metric_state import MetricState
from ..model import DAY, HOUR, MEASURES, By, Measure, Metric, RankPlace
from ..numbers import exact_json
from ..numbers.moments import measure_dispersion, round_mean_of
from ..store import MetricSummary, NewestSample
from .context import Context
from .params import Limit, Name, NoParams, QueryParams
from .problems import refuse_unknown_metric
from .response_docs import AWAY, NOT_ACCEPTED, UNCHANGED, UNKNOWN
from .responses import AnswerBody, respond_until_next_tick

router = APIRouter(tags=["metrics"])

HOURS_A_DAY = DAY // HOUR
_NOTHING = {"metric": "", "measures": (), "samples": 0, "first": None, "last": None, "state": Freshness.DEAD}
"""What a list says of a dead market without a sample."""


class MetricsParams(QueryParams):
    q: Annotated[
        str, Field(max_length=100, description="Only names that hold this text, whatever its case.", examples=["USD"])
    ] = ""
    limit: Limit = 100
    cursor: Annotated[str, Field(max_length=100, description="Where to go on: `next` of the answer before.")] = ""


class MetricView(BaseModel):
    metric: str
    measures: Annotated[list[Measure], Field(description="Those with a number in the last day.")]
    samples: Annotated[int, Field(description="How many the last day holds.")]
    first: Annotated[int | None, Field(description="Tick of the oldest one; null of a dead market without any.")]
    last: Annotated[int | None, Field(description="Tick of the newest one; null of a dead market without any.")]
    state: Freshness


class MetricList(BaseModel):
    """Metrics with a sample in the last day, and markets that a source lists as dead, by name."""

    metrics: list[MetricView]
    next: Annotated[str | None, Field(description="The `cursor` of what follows; null at the end.")]


class DayCoverage(BaseModel):
    """How much of the last 24 hours there is."""

    samples: int
    expected: Annotated[int, Field(description="How many a day without a gap has.")]
    coverage: Annotated[float, Field(description="samples / expected")]
    first: int
    last: int


class MeasureView(BaseModel):
    """What is known of one measure."""

    value: Annotated[float | None, Field(description="In the newest sample, digits as received.")]
    hour_mean: Annotated[float | None, Field(description="Mean over the hour before the newest tick.")]
    hour_samples: Annotated[int, Field(description="How many numbers are behind it.")]
    hour_coverage: Annotated[float, Field(description="hour_samples / those of an hour without a gap")]
    stddev: Annotated[float | None, Field(description="Population standard deviation over the day.")]
    cv: Annotated[float | None, Field(description="Coefficient of variation: that deviation / |mean|.")]
    rank: Annotated[int | None, Field(description="Place by that deviation; 1 moves most, equals share a place.")]
    of: Annotated[int | None, Field(description="How many metrics are ranked.")]
    samples: Annotated[int, Field(description="How many numbers of the day are behind deviation and rank.")]
    coverage: Annotated[float, Field(description="samples / those of a day without a gap")]


class MetricDetail(BaseModel):
    """Everything known of a metric now."""

    metric: str
    at: Annotated[int, Field(description="Tick of the newest sample.")]
    age: Annotated[int, Field(description="Seconds since then.")]
    state: Freshness
    source: Annotated[str, Field(description="Who gave the newest sample.")]
    provider_time: Annotated[int | None, Field(description="When the provider says it was so; null: it does not say.")]
    received_time: Annotated[
        float | None,
        Field(
            description="When the source's answer with it was here; null where a newer answer came, or a fill wrote it."
        ),
    ]
    state_since: Annotated[
        int | None, Field(description="The tick since which it is in its state; null of `live`, `stale` and `dead`.")
    ]
    state_reason: Annotated[str | None, Field(description="What shows that it is in its state; null of those, too.")]
    day: DayCoverage
    measures: dict[Measure, MeasureView]


@router.get(
    "/metrics",
    summary="List the metrics",
    operation_id="list_metrics",
    response_model=MetricList,
    responses=NOT_ACCEPTED | AWAY | UNCHANGED,
)
async def list_metrics(params: Annotated[MetricsParams, Query()], request: Request, context: Context) -> Response:
    """
    The metrics there are, by name.

    `live`: samples come. `quiet`: they come with a provider's time that moves, but nothing is traded. `stale`: none
    came for more than three intervals. `frozen`: they come, but the provider's time or the whole value stands still.
    `halted`: the provider says that the market does not trade now. `delisted`: the provider no longer lists it; its
    samples stay, it has no rank. `dead`: none comes, because the provider lists the market and has no price of it.
    """
    reader, interval, now = context["reader"], context["interval"], int(context["clock"]())
    tick, names, dead, notes = await asyncio.gather(
        reader.read_tick(), reader.read_metrics(), reader.read_dead_metrics(), reader.read_market_notes()
    )
    found = [name for name in sorted(names | dead) if name > params.cursor and params.q.upper() in name]
    page = found[: params.limit]
    listed = {each.metric: each for each in await reader.read_summaries(page)}
    items = [
        _item(
            listed[name],
            _or_dead(
                judge_freshness(listed[name].record, tick, now, interval, _get_state(notes.get(name))), name in dead
            ),
        )
        if name in listed
        else _NOTHING | {"metric": name}
        for name in page
        if name in listed or name in dead
    ]
    following = page[-1] if len(found) > len(page) else None
    body = json.dumps({"metrics": items, "next": following}, separators=(",", ":"))
    return respond_until_next_tick(request, context, AnswerBody(body, tick))


@router.get(
    "/metrics/{metric}",
    summary="One metric now",
    operation_id="get_metric",
    response_model=MetricDetail,
    responses=UNKNOWN | NOT_ACCEPTED | AWAY | UNCHANGED,
)
async def get_metric(metric: Name, _: Annotated[NoParams, Query()], request: Request, context: Context) -> Response:
    """The newest sample of a metric, and for every measure its hour mean, its deviation, its rank and its coverage."""
    reader, interval, now = context["reader"], context["interval"], int(context["clock"]())
    name = Metric(metric.upper())
    tick, newest, places, (note, answers) = await asyncio.gather(
        reader.read_tick(),
        reader.read_newest(name),
        reader.read_places(name, MEASURES, By.STDDEV),
        reader.read_feed(name),
    )
    if newest is None:
        raise await refuse_unknown_metric(reader, name)
    expected = DAY // interval
    is_in = judge_freshness(newest.record, tick, now, interval, _get_state(note))
    if is_in is Freshness.STALE:
        is_in = _or_dead(is_in, name in await reader.read_dead_metrics())
    said = note if note is not None and note.state is is_in else None
    known = {
        "metric": name,
        "at": newest.record.newest,
        "state": is_in,
        "source": newest.record.source,
        "provider_time": newest.record.provider_time,
        "received_time": _find_received(newest.record, answers),
        "state_since": said and said.since,
        "state_reason": said and said.reason,
        "day": {
            "samples": _count_samples(newest.record),
            "expected": expected,
            "coverage": _count_samples(newest.record) / expected,
            "first": newest.first,
            "last": newest.record.newest,
        },
        "measures": _measures(newest, places, expected),
    }
    body = exact_json.dumps(known | {"age": now - newest.record.newest})
    # The age alone does not make another answer, but it must not grow old in a cache either.
    identity = exact_json.dumps(known | {"interval": now // interval})
    return respond_until_next_tick(request, context, AnswerBody(body, tick, identity=identity))


def _item(listed: MetricSummary, is_in: Freshness) -> dict[str, object]:
    return {
        "metric": listed.metric,
        "measures": [measure for measure, day in zip(MEASURES, listed.record.day, strict=True) if day.n],
        "samples": _count_samples(listed.record),
        "first": listed.first,
        "last": listed.record.newest,
        "state": is_in,
    }


def _get_state(note: MarketNote | None) -> Freshness | None:
    """Return the state that is noted of a market."""
    return None if note is None else note.state


def _find_received(record: MetricState, answers: Mapping[str, FeedAnswer]) -> float | None:
    """Return when the answer of the newest sample was here; `None` where it is not known."""
    answer = answers.get(record.source)
    return answer.received if answer is not None and answer.tick == record.newest else None


def _or_dead(is_in: Freshness, is_dead: bool) -> Freshness:
    return Freshness.DEAD if is_dead and is_in is Freshness.STALE else is_in


def _count_samples(record: MetricState) -> int:
    return max(day.n for day in record.day)


def _measures(
    newest: NewestSample, places: Mapping[Measure, tuple[RankPlace, int]], expected: int
) -> dict[Measure, dict[str, object]]:
    record, sample, _ = newest
    before = metric_state.compute_baseline(record, [sample])
    known: dict[Measure, dict[str, object]] = {}
    for measure, day, hour in zip(MEASURES, record.day, before, strict=True):
        moved, ranked = measure_dispersion(day), places.get(measure)
        known[measure] = {
            "value": exact_json.digits(sample.value(measure)),
            "hour_mean": round_mean_of(hour),
            "hour_samples": hour.n,
            "hour_coverage": hour.n * HOURS_A_DAY / expected,
            "stddev": moved and moved.stddev,
            "cv": moved and moved.cv,
            "rank": ranked and ranked[0].rank,
            "of": ranked and ranked[1],
            "samples": day.n,
            "coverage": day.n / expected,
        }
    return known
