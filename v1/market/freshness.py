"""Judges how fresh the samples of a metric are, and the health of the whole system. Pure: the time is an argument."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from ..model import HOUR, MEASURES, Measure
from .metric_state import MetricState

LATE_INTERVALS = 3
"""So many intervals without a sample are late: one may be lost, two are a coincidence."""
LATE_SECONDS = 10
"""At a sample a second, clocks that differ a little must not make everything late."""
SILENT_SECONDS = 240
"""A role of the top list reports every minute, except while it waits for late lists."""
FORGOTTEN_SECONDS = 25 * HOUR
"""A role that reported nothing for so long is not failing but no longer in use: nothing that it made is left."""
ENOUGH = 30
"""So many equal prices of an hour are no coincidence in a market that trades; or half of all, where there are fewer."""

AHEAD_HELP = (
    "a clock is, or was, wrong; where this machine's is right, a restart of the worker or, while it is stopped, "
    "scripts/start-worker.sh drop-future removes what lies ahead"
)

_PRICE = MEASURES.index(Measure.PRICE)
_INTERVAL_VOLUME = MEASURES.index(Measure.INTERVAL_VOLUME)


class Freshness(StrEnum):
    """How far a metric's newest sample can be trusted."""

    LIVE = "live"
    QUIET = "quiet"
    """The provider's time moves, and for some minutes the price stood still and nothing was traded."""
    STALE = "stale"
    """No sample for more than three intervals."""
    FROZEN = "frozen"
    """Samples come, and the provider's time or the whole value stands still, or the price does although there was trade."""
    HALTED = "halted"
    """The provider says that the market does not trade now."""
    DELISTED = "delisted"
    """The provider no longer lists the market. Its samples stay, and it has no rank."""
    DEAD = "dead"
    """No sample comes: the provider lists the market, and has no price of it."""


class Health(StrEnum):
    """Whether the whole can be relied on."""

    READY = "ready"
    DEGRADED = "degraded"
    """Ticks are committed, but a source or the archive is failing."""
    UNREADY = "unready"


NOTED_FIRST = (Freshness.HALTED, Freshness.DELISTED)
"""What a provider says of a market itself counts whether or not samples come."""


def judge_freshness(
    record: MetricState, tick: int | None, now: int, interval: int, noted: Freshness | None = None
) -> Freshness:
    """
    Return the state of a metric: its newest sample against the newest tick, and that tick against the clock.

    `noted` is the state that the worker noted at the newest tick; `None` where it noted nothing.
    """
    if noted in NOTED_FIRST:
        return noted
    if _is_stale(record, tick, now, interval):
        return Freshness.STALE
    if noted is not None:
        return noted
    return Freshness.FROZEN if _is_frozen(record, interval) else Freshness.LIVE


def _is_stale(record: MetricState, tick: int | None, now: int, interval: int) -> bool:
    newest_tick = max(tick or 0, record.newest)
    is_behind = record.newest < newest_tick - LATE_INTERVALS * interval
    return is_behind or is_ahead(newest_tick, now, interval) or is_late_tick(newest_tick, now, interval)


def _is_frozen(record: MetricState, interval: int) -> bool:
    """Return whether the samples of an hour alone show that a metric stands still."""
    price = record.hour[_PRICE]
    enough = max(2, min(ENOUGH, HOUR // interval // 2))
    is_flat = price.n >= enough and price.n * price.squares == price.total * price.total
    if is_flat and record.hour[_INTERVAL_VOLUME].total > 0:
        return True
    return record.provider_time is not None and record.provider_time < record.newest - HOUR


def is_late_tick(tick: int, now: int, interval: int) -> bool:
    """Return whether `tick` is too long ago for the newest one."""
    return now - tick > max(LATE_INTERVALS * interval, LATE_SECONDS)


def is_ahead(tick: int, now: int, interval: int) -> bool:
    """Return whether `tick` lies so far in the future that the clock of whoever made it, or ours, must be wrong."""
    return tick - now > max(LATE_INTERVALS * interval, LATE_SECONDS)


def describe_toplist_faults(top: Mapping[str, Mapping[str, Any]], now: int) -> list[str]:
    """Return a reason for every fault of the roles that make the top list; a role that is off has none."""
    found = []
    for role, state in top.items():
        if state.get("state") in (None, "off"):
            continue
        silent = now - int(state.get("at") or 0)
        if silent > FORGOTTEN_SECONDS:
            continue
        if -silent > SILENT_SECONDS:
            found.append(f"top list: what {role} said lies {-silent} s in the future: a clock is, or was, wrong")
            continue
        if silent > SILENT_SECONDS + int(state.get("margin") or 0):
            found.append(f"top list: {role} has said nothing for {silent} s: is it running?")
        elif state["state"] != "ok":
            found.append(f"top list: {role} is {state['state']}: {state.get('reason') or 'it does not say why'}")
    return found


def judge_health(
    tick: int | None,
    now: int,
    interval: int,
    sources: Mapping[str, Mapping[str, Any]],
    archive: Mapping[str, Any] | None = None,
) -> tuple[Health, list[str]]:
    """Return the status of the whole system, with a reason for everything that is wrong."""
    failing = [
        _describe_failing_source(name, state, now) for name, state in sources.items() if state.get("state") != "ok"
    ]
    if archive and archive.get("state") != "ok":
        failing.append(_describe_failing_archive(archive, now))
    if tick is None:
        return Health.UNREADY, ["there was no tick yet: is the worker running?", *failing]
    if is_ahead(tick, now, interval):
        return Health.UNREADY, [f"the newest tick lies {tick - now} s in the future: {AHEAD_HELP}", *failing]
    if is_late_tick(tick, now, interval):
        late = f"the newest tick is {now - tick} s old, with one every {interval} s: is the worker running?"
        return Health.UNREADY, [late, *failing]
    return (Health.DEGRADED if failing else Health.READY), failing


def list_missing(unmet: Mapping[str, str], *, is_empty: bool) -> list[str]:
    """Return a reason for every entry of `TRACKER_METRICS` that no source fulfils, and one where no metric has a sample at all."""
    found = [f"nothing is sampled as {wish}: {reason}; change TRACKER_METRICS" for wish, reason in unmet.items()]
    return [*found, "no metric has a sample of the last day"] if is_empty else found


def list_paused_channels(channels: Mapping[str, Mapping[str, Any]], now: int) -> list[str]:
    """Return a reason for every channel that sends nothing until some time to come."""
    return [
        f"alerts wait: channel {name} sends nothing until {format_utc(state['until'])}{_after(state['failures'])}"
        for name, state in channels.items()
        if state["until"] > now
    ]


def format_utc(at: float) -> str:
    """Return a time for people to read: `2021-05-17 12:00:05 UTC`."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _after(failures: int) -> str:
    return f", after {failures} failures in a row" if failures else ""


def _describe_failing_source(name: str, state: Mapping[str, Any], now: int) -> str:
    retry = state.get("retry_at") or 0
    following = f"it is asked again at {format_utc(retry)}" if retry > now else "it is asked again at the next tick"
    return _describe_failure(f"{name} is failing", state, following)


def _describe_failing_archive(state: Mapping[str, Any], now: int) -> str:
    retry = state.get("retry_at") or 0
    following = f"it is tried again at {format_utc(retry)}" if retry > now else "it is tried again within a minute"
    return _describe_failure("hours are not archived", state, following)


def _describe_failure(what: str, state: Mapping[str, Any], following: str) -> str:
    """Return what fails, since when, why, what is tried next, and what somebody can do."""
    since = f" since {format_utc(state['since'])}" if state.get("since") is not None else ""
    why = state.get("reason") or "it is not said why"
    return "; ".join(filter(None, [f"{what}{since}: {why}", following, state.get("advice")]))
