"""Whether the process runs, and whether its answers can be relied on; both with reasons, and without a key."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from ..market.freshness import Health, describe_toplist_faults, judge_health, list_missing, list_paused_channels
from ..market.replayed import ReplayProgress, ReplayState, describe_replay
from ..numbers import exact_json
from ..store import StoreError
from ..store.sharing.agreement import describe_own_interval, list_disagreements
from ..store.sharing.members import list_free
from .context import Context, RouteState
from .params import NoParams
from .problems import RETRY_SECONDS
from .replay_view import ReplayView, show_replay
from .response_docs import NOT_ACCEPTED

router = APIRouter(tags=["health"])


class Liveness(BaseModel):
    status: Literal["live"]


class Filling(BaseModel):
    """How far the fill of the past day from a source's candles is."""

    done: Annotated[int, Field(description="Metrics that are filled.")]
    of: Annotated[int, Field(description="Metrics to fill.")]


class BudgetView(BaseModel):
    """What a provider allows, and what of it is used: by all processes that ask from one address, or with one key."""

    unit: Annotated[str, Field(description="What is counted: `weight`, `calls` or `credits`.")]
    seconds: Annotated[int | None, Field(description="The window; null: an allowance, or a month's plan.")]
    limit: Annotated[float, Field(description="What it allows; 0: it did not say.")]
    spent: Annotated[float, Field(description="What of that is used, as of the newest tick.")]
    margin: Annotated[float, Field(description="The part of it that is never used.")]
    banned_until: Annotated[
        float | None, Field(description="It refused us and is not asked before, unix seconds; null: it is asked.")
    ]
    is_shared: Annotated[bool, Field(description="Counted in Redis; false: by the worker alone, Redis is away.")]
    tick_requests: Annotated[int, Field(description="Requests for the newest tick, or of one list.")]


class SourceHealth(BaseModel):
    """How a source does, as the worker last reported."""

    state: Annotated[str, Field(description="`ok` or `failing`")]
    since: Annotated[int | None, Field(description="The tick since when.")]
    reason: str | None
    retry_at: Annotated[int | None, Field(description="It is not asked before, unix seconds; null: at the next tick.")]
    advice: Annotated[str | None, Field(description="What somebody can do where it is failing.")]
    metrics: Annotated[int, Field(description="How many it gives, dead markets not counted.")]
    dead: Annotated[int, Field(description="Markets that it lists and has no price of; `/v1/metrics` names them.")]
    missing: Annotated[dict[str, str], Field(description="Metrics that are wished for and not given, with the reason.")]
    filling: Annotated[
        Filling | None, Field(description="How far the fill of the past day is; null: none is going on.")
    ]
    rejects: Annotated[dict[str, int], Field(description="Readings left out since the start of the worker, by reason.")]
    budget: Annotated[BudgetView | None, Field(description="What its provider allows; null: it is not limited.")]


class ArchiveOrdering(BaseModel):
    """A partition of the archive in PostgreSQL that is rewritten in the order of its key."""

    partition: Annotated[str | None, Field(description="null: none is just now, the last try has failed.")]
    step: Annotated[str | None, Field(description="`copy`, or `compare` with what was copied; null: none.")]
    since: Annotated[int, Field(description="Since when, unix seconds.")]
    reason: Annotated[str | None, Field(description="Why the last try failed; null: it did not.")]
    retry_at: Annotated[int | None, Field(description="When it is tried again, unix seconds; null: it has not failed.")]
    advice: Annotated[str | None, Field(description="What somebody can do where it has failed.")]


class ArchiveHealth(BaseModel):
    """How the archive does, as the worker last reported."""

    state: Annotated[str, Field(description="`ok` or `failing`")]
    since: Annotated[int | None, Field(description="Since when, unix seconds.")]
    newest: Annotated[int | None, Field(description="The newest hour that is kept, by its first second.")]
    reason: str | None
    retry_at: Annotated[int | None, Field(description="When it is tried again, unix seconds.")]
    advice: Annotated[str | None, Field(description="What somebody can do where it is failing.")]
    ordering: Annotated[
        ArchiveOrdering | None, Field(description="What is rewritten in the order of its key; null: nothing.")
    ]


class ChannelNow(BaseModel):
    """How a channel that alerts are sent through does."""

    kind: str
    failures: Annotated[int, Field(description="How many attempts in a row failed.")]
    until: Annotated[int | None, Field(description="It sends nothing before, unix seconds; null: it sends.")]


class TopRoleHealth(BaseModel):
    """How a role of the top list does, as it last reported. Fields that do not apply to it are null."""

    state: Annotated[str, Field(description="`ok`, `off`, `waiting`, `late`, `failing`, `slowed` or `stopped`")]
    reason: str | None
    at: Annotated[int | None, Field(description="When it reported that.")]
    source: Annotated[str | None, Field(description="The provider that it asks.")]
    interval: Annotated[int | None, Field(description="Seconds between two lists, as what is left of the plan allows.")]
    planned: Annotated[int | None, Field(description="Seconds between two lists, as the whole plan allows.")]
    used: Annotated[int | None, Field(description="What of the plan is used this month.")]
    limit: Annotated[int | None, Field(description="What of the plan may be used in a month.")]
    unit: Annotated[str | None, Field(description="`credits` or `calls`.")]
    resets: Annotated[int | None, Field(description="When the next month begins.")]
    until: Annotated[int | None, Field(description="It sends no request before that.")]
    list_at: Annotated[int | None, Field(description="The minute of its newest list.")]
    age: Annotated[int | None, Field(description="Seconds since then.")]
    faults: Annotated[dict[str, int] | None, Field(description="Lists that did not come this month, by reason.")]
    budget: Annotated[
        BudgetView | None, Field(description="The month's plan, in the form that the budgets of sources have.")
    ]
    of: Annotated[int | None, Field(description="How many coins the newest top list has.")]
    unpriced: Annotated[int | None, Field(description="How many of them have no price.")]


class TickHealth(BaseModel):
    at: Annotated[int | None, Field(description="The newest one; null before the first.")]
    age: Annotated[int | None, Field(description="Seconds since then; below zero where it lies in the future.")]
    interval: Annotated[int, Field(description="Seconds between two.")]


class Readiness(BaseModel):
    status: Health
    reasons: Annotated[list[str], Field(description="Everything that is not as it should be.")]
    now: Annotated[int, Field(description="What time it is by the clock of the API, unix seconds.")]
    store: Annotated[str, Field(description="`ok`, or why it cannot be read.")]
    tick: TickHealth
    replay: Annotated[
        ReplayView | None, Field(description="Where the market is replayed from a recording; null: it is not.")
    ]
    sources: dict[str, SourceHealth]
    archive: Annotated[ArchiveHealth | None, Field(description="null before the worker's first report of it.")]
    wishes: Annotated[dict[str, str], Field(description="What `TRACKER_METRICS` names and no source gives, and why.")]
    channels: Annotated[dict[str, ChannelNow], Field(description="The channels that alerts are sent through.")]
    top: Annotated[dict[str, TopRoleHealth], Field(description="The roles that make the top list, by name.")]


@router.get(
    "/health/live", summary="Does it run", operation_id="check_live", response_model=Liveness, responses=NOT_ACCEPTED
)
async def get_live(_: Annotated[NoParams, Query()]) -> Response:
    """Whether the process runs. Nothing else is checked."""
    return _answer(HTTPStatus.OK, {"status": "live"})


@router.get(
    "/health/ready",
    summary="Can it be relied on",
    operation_id="check_ready",
    response_model=Readiness,
    responses=NOT_ACCEPTED | {503: {"model": Readiness, "description": "Not ready; `reasons` says why."}},
)
async def get_ready(_: Annotated[NoParams, Query()], context: Context) -> Response:
    """
    Whether answers can be relied on.

    `ready`: the store answers and ticks are committed. `degraded`: so it is, but a source, the archive, a channel
    or the file of rules is failing, no source has what `TRACKER_METRICS` names, a part of a cluster is away, or workers
    that share the market differ in their settings.
    `unready`, with 503: the store is away, the newest tick is more than three intervals old or in the
    future, the worker's clock cannot be relied on, or the data has another format. Where the market is replayed, ages
    are counted by the replay's own time, and a replay that stopped before its end is `unready`.
    """
    moment, redact = _Moment(int(context["market"].read_wall()), int(context["clock"]())), context["redact"]
    try:
        facts = await _read_facts(context)
    except StoreError as error:
        # Answered without a key: the address of Redis is kept from whoever has none.
        facts, store = _NO_FACTS, redact(str(error))
        status, reasons = Health.UNREADY, [str(error)]
    else:
        store = "ok"
        moment = moment.advance(facts)
        status, reasons = _judge(facts, moment, context["interval"])
    known = {
        "status": status,
        "reasons": [redact(reason) for reason in reasons],
        "now": moment.wall,
        "store": store,
        **_show_facts(facts, moment, context["interval"], redact),
    }
    return _answer(HTTPStatus.SERVICE_UNAVAILABLE if status is Health.UNREADY else HTTPStatus.OK, known)


_Redact = Callable[[str], str]


class _Facts(NamedTuple):
    """What the store says of the worker and of itself."""

    tick: int | None
    sources: Mapping[str, dict[str, Any]]
    archive: dict[str, Any] | None
    rules_problem: str | None
    top: Mapping[str, dict[str, Any]]
    clock: str | None
    eviction: str | None
    unmet: Mapping[str, str]
    channels: Mapping[str, dict[str, Any]]
    is_empty: bool
    replay: ReplayProgress | None
    free_partitions: int
    """How many partitions no worker has, of those that share the market."""
    away_partitions: int
    """How many partitions are on nodes of a cluster that do not answer."""
    sharing: Sequence[str]
    """What of workers that share the market is not as it should be, and of the cluster they do it on; a sentence each."""


_NO_FACTS = _Facts(
    *(None, {}, None, None, {}, None, None, {}, {}),
    is_empty=True,
    replay=None,
    free_partitions=0,
    away_partitions=0,
    sharing=(),
)


class _Moment(NamedTuple):
    """What time it is, in unix seconds."""

    wall: int
    """By the machine."""
    market: int
    """By the market's ticks, which are others where it is replayed."""

    def advance(self, facts: _Facts) -> "_Moment":
        """Return the moment not before the newest tick of a replay: that may be told only after it was read."""
        return self if facts.replay is None else self._replace(market=max(self.market, facts.tick or 0))


async def _read_facts(context: RouteState) -> _Facts:
    reader = context["reader"]
    await reader.check_format()
    tick, sources, archive, rules, top = await asyncio.gather(
        reader.read_tick(),
        reader.read_source_states(),
        reader.read_archive_state(),
        context["admin"].read_rules(),
        context["top"].read_role_states(),
    )
    clock, eviction, unmet, channels, is_empty, replay = await asyncio.gather(
        reader.read_clock_fault(),
        reader.check_eviction(),
        reader.read_unmet_wishes(),
        reader.read_channels(),
        reader.is_empty(),
        context["replays"].read(),
    )
    workers, away, slow = await asyncio.gather(
        context["members"].read_all(),
        reader.count_away_partitions(),
        reader.find_slow_failover(context["interval"]),
    )
    free = len(list_free(context["members"].list_tags(), workers))
    alive = [each.note for each in workers if each.is_alive]
    said = [*list_disagreements(alive), describe_own_interval(context["interval"], alive), slow]
    return _Facts(
        *(tick, sources, archive, rules.problem, top, clock, eviction, unmet, channels, is_empty, replay, free, away),
        sharing=[sentence for sentence in said if sentence],
    )


def _judge(facts: _Facts, moment: _Moment, interval: int) -> tuple[Health, list[str]]:
    """Return the status, and a reason for everything that is not as it should be."""
    status, reasons = judge_health(facts.tick, moment.market, interval, facts.sources, facts.archive)
    reasons = [
        *reasons,
        *list_missing(facts.unmet, is_empty=facts.is_empty and facts.tick is not None),
        *([f"the file of rules is wrong: {facts.rules_problem}"] if facts.rules_problem else []),
        *list_paused_channels(facts.channels, moment.wall),
        *describe_toplist_faults(facts.top, moment.wall),
        *([facts.eviction] if facts.eviction else []),
        *_list_away_partitions(facts.away_partitions),
        *_list_free_partitions(facts.free_partitions),
        *facts.sharing,
    ]
    if facts.clock is not None:
        return Health.UNREADY, [f"nothing is sampled: {facts.clock}", *reasons]
    if facts.replay is not None and facts.replay.state is ReplayState.STOPPED:
        return Health.UNREADY, [describe_replay(facts.replay), *reasons]
    return (Health.DEGRADED if status is Health.READY and reasons else status), reasons


def _list_away_partitions(count: int) -> list[str]:
    if not count:
        return []
    which = "1 partition of the cluster is" if count == 1 else f"{count} partitions of the cluster are"
    until = "a replica takes the place of the node, or it is back"
    return [f"{which} away: questions about the metrics there are answered with 503, and ticks wait, until {until}"]


def _list_free_partitions(count: int) -> list[str]:
    if not count:
        return []
    which = "1 partition has" if count == 1 else f"{count} partitions have"
    return [f"{which} no worker: ticks wait until one takes over, see /v1/workers"]


def _show_facts(facts: _Facts, moment: _Moment, interval: int, redact: _Redact) -> dict[str, Any]:
    tick, archive, now = facts.tick, facts.archive, moment.wall
    return {
        "tick": {"at": tick, "age": None if tick is None else moment.market - tick, "interval": interval},
        "replay": show_replay(facts.replay),
        "sources": {name: show_source(state, redact) for name, state in facts.sources.items()},
        "archive": archive and _show_archive(archive, redact),
        "wishes": facts.unmet,
        "channels": {
            name: state | {"until": _find_future(state["until"], now)} for name, state in facts.channels.items()
        },
        "top": {role: _show_role(state, now, redact) for role, state in sorted(facts.top.items())},
    }


def _show_archive(state: dict[str, Any], redact: _Redact) -> dict[str, Any]:
    ordering = state.get("ordering")
    shown = {name: _redact_text(state.get(name), redact) for name in ArchiveHealth.model_fields}
    parts = {name: _redact_text((ordering or {}).get(name), redact) for name in ArchiveOrdering.model_fields}
    return shown | {"ordering": ordering and parts}


def show_source(state: dict[str, Any], redact: _Redact) -> dict[str, Any]:
    """Return how a source does; texts that may hold addresses or secrets are redacted."""
    return {
        "state": state.get("state", "unknown"),
        "since": state.get("since"),
        "reason": _redact_text(state.get("reason"), redact),
        "retry_at": state.get("retry_at"),
        "advice": state.get("advice"),
        "metrics": state.get("metrics", 0),
        "dead": len(state.get("dead", ())),
        "missing": state.get("missing", {}),
        "filling": state.get("filling"),
        "rejects": state.get("rejects", {}),
        "budget": _show_budget(state.get("budget")),
    }


def _show_budget(budget: dict[str, Any] | None) -> dict[str, Any] | None:
    return budget and {name: budget.get(name) for name in BudgetView.model_fields}


def _find_future(at: int, now: int) -> int | None:
    return at if at > now else None


def _show_role(state: dict[str, Any], now: int, redact: _Redact) -> dict[str, Any]:
    listed = state.get("list_at")
    known = {"state": "unknown"} | state | {"age": None if listed is None else now - listed}
    return {name: _redact_text(known.get(name), redact) for name in TopRoleHealth.model_fields}


def _redact_text(value: Any, redact: _Redact) -> Any:
    return redact(value) if isinstance(value, str) else value


def _answer(status: HTTPStatus, known: dict[str, Any]) -> Response:
    headers = {"Cache-Control": "no-store"}
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_SECONDS)
    return Response(exact_json.dumps(known), status, headers, media_type="application/json")
