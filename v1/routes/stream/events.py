"""The events of a stream: what each holds, as the document describes it, and how it is written."""

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field

from ...model import MEASURES, By, Measure, Metric
from ...numbers import exact_json
from ...store import MarketRow
from ..alert_view import AlertView

_DIGITS = "digits as received; null: not known"


class TickRow(BaseModel):
    """The newest sample of a metric."""

    metric: str
    at: Annotated[int, Field(description="Tick of the sample; before that of the event, where none came with it.")]
    price: Annotated[float | None, Field(description=f"The latest price, {_DIGITS}.")]
    volume: Annotated[float | None, Field(description=f"Traded in 24 hours, {_DIGITS}.")]
    change_percentage: Annotated[float | None, Field(description=f"Change of the price in 24 hours, {_DIGITS}.")]
    change_absolute: Annotated[float | None, Field(description=f"Change of the price in 24 hours, {_DIGITS}.")]
    interval_volume: Annotated[float | None, Field(description=f"Traded since the previous sample, {_DIGITS}.")]
    interval_return: Annotated[float | None, Field(description=f"Percent change of the price since then, {_DIGITS}.")]
    hour_mean: Annotated[
        float | None, Field(description="Mean of the measure that was asked for, over the hour before the tick.")
    ]


class TickEvent(BaseModel):
    """`tick`: everything of a tick is committed; the newest sample of each metric that was asked for, by name."""

    at: Annotated[int | None, Field(description="The newest tick; null before the first.")]
    measure: Annotated[Measure, Field(description="What `hour_mean` is of.")]
    metrics: list[TickRow]
    missing: Annotated[
        list[str], Field(description="Of what was asked for, names and patterns that no metric of the last day has.")
    ]


class RankEventRow(BaseModel):
    """The place of a metric."""

    rank: Annotated[int, Field(description="1 moves most; equal values share a place: 1, 1, 3.")]
    metric: str
    value: Annotated[float, Field(description="Deviation, or coefficient of variation.")]


class RankEvent(BaseModel):
    """`rank`: the places of the metrics that were asked for, among all, after a tick; the first place first."""

    measure: Measure
    by: By
    at: Annotated[int | None, Field(description="The newest tick; null before the first.")]
    of: Annotated[int, Field(description="How many metrics are ranked.")]
    ranks: list[RankEventRow]


class BeginEvent(BaseModel):
    """`begin`: a stream of alerts alone has begun; its id is what to resume by before the first of them."""


class GapEvent(BaseModel):
    """`gap`: what happened between two ids is not known any more; ask `/alerts` for what may be missing."""

    after: Annotated[str, Field(description="The id that was resumed by.")]
    oldest: Annotated[str | None, Field(description="The oldest id that is known; null: none is.")]


class LaggingEvent(BaseModel):
    """`lagging`: the client reads too slowly; ticks were left out, and the newest follows, with every alert."""

    after: Annotated[str | None, Field(description="The id after which ticks were left out.")]


class AwayEvent(BaseModel):
    """`away`: the store is away, so nothing comes; `back` follows, and what was missed."""

    reason: str


class BackEvent(BaseModel):
    """`back`: the store is back; what was missed follows."""


class AlertEvent(AlertView):
    """`alert`: an alert has begun, has ended, or was acknowledged; told again it has the same `id`."""


EVENTS: Mapping[str, type[BaseModel]] = {
    "tick": TickEvent,
    "rank": RankEvent,
    "alert": AlertEvent,
    "begin": BeginEvent,
    "gap": GapEvent,
    "lagging": LaggingEvent,
    "away": AwayEvent,
    "back": BackEvent,
}
"""Every event by its name, and what its data is."""


def write_row(row: MarketRow) -> str:
    """Return the JSON of a `TickRow`."""
    values = ",".join(
        [
            f'"{measure}":{"null" if value is None else value}'
            for measure, value in zip(MEASURES, row.values, strict=True)
        ]
    )
    return f'{{"metric":{json.dumps(row.metric)},"at":{row.tick},{values},"hour_mean":{json.dumps(row.hour_mean)}}}'


def write_tick(at: int | None, measure: Measure, rows: Iterable[str], missing: Sequence[str]) -> str:
    """Return the JSON of a `TickEvent`; each of the rows is JSON already."""
    return (
        f'{{"at":{json.dumps(at)},"measure":{json.dumps(measure)},'
        f'"metrics":[{",".join(rows)}],"missing":{json.dumps(missing)}}}'
    )


def write_ranks(at: int | None, measure: Measure, by: By, of: int, rows: Iterable[str]) -> str:
    """Return the JSON of a `RankEvent`; each of the rows is JSON already."""
    return (
        f'{{"measure":{json.dumps(measure)},"by":{json.dumps(by)},"at":{json.dumps(at)},'
        f'"of":{of},"ranks":[{",".join(rows)}]}}'
    )


def write_places(scores: Sequence[tuple[Metric, float]], wanted: Container[Metric]) -> dict[Metric, str]:
    """Return the JSON of each `RankEventRow` that is wanted, of all scores with the largest first; in that order."""
    places: dict[Metric, str] = {}
    rank, above = 0, None
    for place, (metric, value) in enumerate(scores, 1):
        rank = rank if value == above else place
        above = value
        if metric in wanted:
            places[metric] = f'{{"rank":{rank},"metric":{json.dumps(metric)},"value":{json.dumps(value)}}}'
    return places


def write_state(event: BaseModel) -> str:
    """Return the JSON of an event that tells how the stream does."""
    return exact_json.dumps(event.model_dump())


def describe_events() -> Mapping[str, Any]:
    """Return what the OpenAPI document says of the body of a stream."""
    lines = [f"`{name}`: {(model.__doc__ or '').strip().partition(': ')[2]}" for name, model in EVENTS.items()]
    return {"type": "string", "description": "\n\n".join(lines)}
