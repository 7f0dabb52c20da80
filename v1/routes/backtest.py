"""Trying rules on the kept day before they are made: what they would have said, how often, and how sensitive they are."""

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..backtest import CLOCK_UNKNOWN, RANK_OF_PART, NeverOn, Trial, play, report, ticks_of, variants
from ..model import Metric
from ..rules import Kind, NotAccepted, Rule, Silence
from ..rules.book import read_book
from ..rules.faults import faults
from ..store import Kept, Reader, TooMuch, kept_day
from . import exact
from .alerts import AlertSaid
from .answers import changed
from .asked import Nothing, Time
from .bodies import NOT_READ, described, refused, schema_of, sent
from .context import Context, State
from .document import AWAY, NOT_ACCEPTED, Responses
from .problems import RETRY_SECONDS, Problem, Refused, not_accepted
from .rules import RULE_SCHEMA, checked

router = APIRouter(tags=["rules"])

MOST_RULES = 20
MOST_SWEPT = 4
"""Rules of one call for which the table is made; more rules, no table."""
MOST_SAMPLES = 150_000
"""Of all metrics together: 104 metrics with a full day of one sample a minute."""
MOST_SECONDS = 30.0


class BacktestAsked(BaseModel):
    """What is tried."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    rules: Annotated[list[Any], Field(min_length=1, max_length=MOST_RULES)]
    """As they would be made; what `enabled` says counts."""
    from_: Annotated[Time | None, Field(alias="from")] = None
    """The first tick at which they are on; before it windows fill. Without it: the first of the kept day."""
    to: Time | None = None
    """The last tick."""
    sweep: Annotated[bool, Field(strict=True)] = True
    """Whether to count also with other factors and cooldowns; of up to 4 rules."""
    limit: Annotated[int, Field(strict=True, ge=0, le=1000)] = 100
    """How many alerts, and messages, are listed at most; all are counted."""


class WarmUp(BaseModel):
    until: int
    why: str


class Cells(BaseModel):
    """How many alerts and messages there would have been, by main number and cooldown."""

    field: Annotated[str, Field(description="The rule's main number: `factor`, `percent`, ...")]
    cells: Annotated[
        list[dict[str, float]],
        Field(description="One for each pair: the main number by its name, `cooldown`, `alerts`, `messages`."),
    ]


class RuleTried(BaseModel):
    """What one rule came to."""

    rule: str
    matches: Annotated[int, Field(description="How many metrics it watches.")]
    fires: Annotated[int, Field(description="How often it began to fire, at any metric, be it told or not.")]
    flaps: Annotated[int, Field(description="How often it did so within an hour after it was over.")]
    alerts: int
    quiet: Annotated[int, Field(description="Alerts that are recorded and not sent: mute hours, and silences.")]
    messages: Annotated[int, Field(description="After cooldown, steps, mute hours, silences and digests.")]
    by_metric: Annotated[dict[str, int], Field(description="Alerts of each metric.")]
    sweep: Cells | None


class MessageTried(BaseModel):
    """A message that would have been sent."""

    id: str
    at: int
    rule: str
    alerts: Annotated[int, Field(description="How many it tells of; a digest of more than one.")]
    title: str
    body: str


class Backtest(BaseModel):
    """What the rules would have said."""

    interval: int
    from_: Annotated[int | None, Field(alias="from", description="The first tick at which they were on.")]
    to: Annotated[int | None, Field(description="The last tick.")]
    metrics: int
    samples: int
    warm_up: Annotated[WarmUp | None, Field(description="Until when windows were shorter than in a live run.")]
    notes: Annotated[list[str], Field(description="What else to know.")]
    rules: list[RuleTried]
    messages: Annotated[list[MessageTried], Field(description="Oldest first.")]
    alerts: Annotated[list[AlertSaid], Field(description="Oldest first.")]
    left_out: Annotated[int, Field(description="How many alerts are counted and not listed.")]


class TooLong(Exception):
    """It takes longer than anybody waits."""


class _Tried(NamedTuple):
    """What is played, settled."""

    trial: Trial
    swept: list[Rule]
    notes: list[str]
    limit: int


def _schema() -> dict[str, Any]:
    schema = schema_of(BacktestAsked)
    schema["properties"]["rules"] |= {"items": RULE_SCHEMA}
    return schema


_BUSY: Responses = {429: {"model": Problem, "description": "Rules are being tried already; ask again."}}


@router.post(
    "/rules/backtest",
    summary="Try rules",
    response_model=Backtest,
    responses=NOT_READ | NOT_ACCEPTED | _BUSY | AWAY,
    openapi_extra=described(_schema()),
)
async def backtest(_: Annotated[Nothing, Query()], request: Request, context: Context) -> Response:
    """
    What rules would have said over the kept day: the same engine, with cooldown, steps, mute hours, silences and digests.

    Nothing is written, and nobody is told. What was before the kept day is not known, so windows fill
    at first (`warm_up`). One call may play 150,000 samples: of all metrics where that is enough, else
    of those that the rules watch, and then without ranks.
    """
    asked = _read(await sent(request))
    if context["trying"].locked():
        detail = f"rules are being tried already, one call at a time; ask again in {RETRY_SECONDS} seconds"
        raise Refused(HTTPStatus.TOO_MANY_REQUESTS, detail)
    async with context["trying"]:
        tried, kept = await _settled(asked, context)
        try:
            found = await asyncio.to_thread(_played, tried, kept, _clock(MOST_SECONDS))
        except NeverOn as error:
            raise not_accepted(("from", error.start, f"a tick that is played: {error.last} or before")) from error
        except TooLong as error:
            raise not_accepted(("rules", f"{len(asked.rules)} rules", _less(f"{MOST_SECONDS:g} seconds"))) from error
    return changed(exact.dumps(found))


def _read(document: object) -> BacktestAsked:
    try:
        return BacktestAsked.model_validate(document)
    except ValidationError as error:
        raise refused(NotAccepted(faults(error, BacktestAsked))) from error


async def _settled(asked: BacktestAsked, context: State) -> tuple[_Tried, Kept]:
    shelved = await context["desk"].shelved()
    interval, now = context["interval"], int(context["clock"]())
    rules = [checked(rule, shelved.channels, interval, f"rules.{number}") for number, rule in enumerate(asked.rules)]
    twice = next((rule.id for rule in rules if [each.id for each in rules].count(rule.id) > 1), None)
    if twice:
        raise not_accepted(("rules", twice, "rules with an id of their own"))
    kept, is_whole = await _kept(context["reader"], rules)
    silences: list[Silence] = [*read_book(shelved.written, interval).silences.values()]
    start, end = (moment.at(now) if moment else None for moment in (asked.from_, asked.to))
    notes = [] if is_whole else [RANK_OF_PART]
    if any(rule.kind is Kind.FROZEN for rule in rules):
        notes.append(CLOCK_UNKNOWN)
    if asked.sweep and len(rules) > MOST_SWEPT:
        notes.append(f"no table of other numbers: that is made of {MOST_SWEPT} rules at most")
    swept = rules if asked.sweep and len(rules) <= MOST_SWEPT else []
    return _Tried(Trial(rules, silences, interval, start, end, is_whole), swept, notes, asked.limit), kept


async def _kept(reader: Reader, rules: list[Rule]) -> tuple[Kept, bool]:
    """Read the day of all metrics, or where those are too many, of those that the rules watch; tell which."""

    def is_watched(metric: Metric) -> bool:
        return any(rule.matches(metric) for rule in rules)

    try:
        return await kept_day(reader, most=MOST_SAMPLES), True
    except TooMuch as error:
        if any(rule.kind is Kind.RANK for rule in rules):
            accepted = f"{_less(f'{MOST_SAMPLES:,} samples')}; a rank rule needs all metrics"
            raise not_accepted(("rules", str(error), accepted)) from error
    try:
        return await kept_day(reader, is_watched, MOST_SAMPLES), False
    except TooMuch as error:
        raise not_accepted(("rules", str(error), _less(f"{MOST_SAMPLES:,} samples"))) from error


def _less(most: str) -> str:
    return f"what takes {most} at most; more can be tried with: start-worker.sh rules backtest FILE"


def _clock(most: float) -> Callable[[int], None]:
    """Give what raises `TooLong` when it is called later than `most` seconds from now."""
    end = time.monotonic() + most

    def check(_: int) -> None:
        if time.monotonic() > end:
            raise TooLong

    return check


def _played(tried: _Tried, kept: Kept, seen: Callable[[int], None]) -> dict[str, object]:
    trial = tried.trial
    others = variants(tried.swept, trial.interval)
    ticks = ticks_of(kept.samples, kept.sources, trial.interval, kept.until)
    played = play(ticks, trial, [other.rule for other in others], seen)
    found = report(played, trial, others, tried.notes, tried.limit)
    for cell in [cell for rule in found["rules"] if rule["sweep"] for cell in rule["sweep"]["cells"]]:
        cell.update({name: exact.digits(str(number)) for name, number in cell.items()})
    return found | {
        "alerts": [
            alert | {name: exact.digits(alert[name]) for name in ("value", "reference")} for alert in found["alerts"]
        ]
    }
