"""
Metrics made of what the parts of the worker know of themselves anyway. Pure: states in, metrics out.

What a source, a channel or a role is called becomes a label; texts from outside do not, for there is no end of them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

PREFIX = "data_tracker_"


def list_source_metrics(states: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    """Return the metrics of the sources, by name; their states as they are reported for `/health/ready`."""
    up = _gauge("source_up", "Whether a source answered when it was last asked.", "source")
    given = _gauge("source_metrics", "Metrics that a source gives, dead markets not counted.", "source")
    dead = _gauge("source_dead_markets", "Markets that a source lists and has no price of.", "source")
    missing = _gauge("source_missing_metrics", "Metrics that are wished for and that a source does not have.", "source")
    filling = _gauge(
        "source_fill_ratio", "How much of the past day is filled; only while it is being filled.", "source"
    )
    rejects = _counter("rejected_readings", "Readings that were left out.", "source", "reason")
    for name, state in states.items():
        up.add_metric([name], state["state"] == "ok")
        given.add_metric([name], state["metrics"])
        dead.add_metric([name], len(state["dead"]))
        missing.add_metric([name], len(state["missing"]))
        for reason, number in state["rejects"].items():
            rejects.add_metric([name, reason], number)
        if progress := state.get("filling"):
            filling.add_metric([name], progress["done"] / progress["of"] if progress["of"] else 1)
    yield from (up, given, dead, missing, filling, rejects)
    yield from _list_budget_metrics({name: state["budget"] for name, state in states.items() if state.get("budget")})


def _list_budget_metrics(budgets: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    """Return the metrics of what providers allow, by source."""
    tick = _gauge("tick_requests", "Requests to a source for the newest tick.", "source")
    requests = _counter("budget_requests", "Requests to a source, by what they were for.", "source", "purpose")
    units = _counter("budget_units", "What they took of its limit, in its own unit.", "source", "purpose", "unit")
    limit = _gauge(
        "budget_limit", "What a source allows in a window, in its own unit; 0: it did not say.", "source", "unit"
    )
    spent = _gauge("budget_spent", "What of it is used, by all processes.", "source", "unit")
    banned = _gauge(
        "budget_banned_until_timestamp_seconds",
        "Until when a source is not asked, because it refused us; 0: it is.",
        "source",
    )
    shared = _gauge("budget_shared", "Whether what is used is counted in Redis, for all processes together.", "source")
    for name, budget in budgets.items():
        tick.add_metric([name], budget["tick_requests"])
        limit.add_metric([name, budget["unit"]], budget["limit"])
        spent.add_metric([name, budget["unit"]], budget["spent"])
        banned.add_metric([name], budget["banned_until"] or 0)
        shared.add_metric([name], budget["is_shared"])
        for purpose, number in budget["requests"].items():
            requests.add_metric([name, purpose], number)
            units.add_metric([name, purpose, budget["unit"]], budget["units"][purpose])
    yield from (tick, requests, units, limit, spent, banned, shared)


def list_archive_metrics(state: Mapping[str, Any], newest: int | None, late: int) -> Iterator[Metric]:
    """Return the metrics of the archive: its state, its `newest` hour, and how many hours are to be revised."""
    yield _single("archive_up", "Whether the archive took what was last written.", state["state"] == "ok")
    yield _single(
        "archive_newest_hour_timestamp_seconds",
        "The newest hour that is archived, by its first second; 0 before the first.",
        newest or 0,
    )
    yield _single(
        "archive_waiting_revisions",
        "Hours of metrics that late samples came to, and that are to be archived again.",
        late,
    )


def list_clock_metrics(fault: str | None) -> Iterator[Metric]:
    """Return the metric of the clock, and its `fault` if it has one."""
    yield _single(
        "clock_ok", "Whether the machine's clock can be relied on; nothing is sampled while it cannot.", not fault
    )


def list_channel_metrics(states: Mapping[str, tuple[int, int, float]]) -> Iterator[Metric]:
    """Return the metrics of the channels, by name: messages that wait, failures in a row, and seconds of a pause."""
    waiting = _gauge(
        "delivery_waiting_messages", "Messages that wait in memory; at most 1000, the others wait in Redis.", "channel"
    )
    failures = _gauge("channel_failures", "Failed tries in a row.", "channel")
    pause = _gauge("channel_pause_seconds", "How long nothing will be sent yet, after failures or a limit.", "channel")
    for name, (number, failed, seconds) in states.items():
        waiting.add_metric([name], number)
        failures.add_metric([name], failed)
        pause.add_metric([name], seconds)
    yield from (waiting, failures, pause)


def list_share_metrics(note: Mapping[str, Any]) -> Iterator[Metric]:
    """Return the metrics of a worker's part of a market that several share, by what it says of itself."""
    yield _single("share_partitions", "Partitions of the market that this worker commits.", len(note["partitions"]))
    yield _single(
        "share_partitions_behind",
        "Those of them that are not at the newest tick it has committed.",
        len(note["behind"]),
    )
    yield _single(
        "share_tick_timestamp_seconds", "The newest tick that it has committed; 0 before the first.", note["tick"] or 0
    )
    asked = _gauge("share_source", "Whether this worker asks a source; 0: it leaves it to others.", "source")
    avoided = _gauge("share_source_avoided", "Whether it did not reach a source, and leaves it for that.", "source")
    for source in sorted({*note["sources"], *note["able"], *note["avoided"]}):
        asked.add_metric([source], source in note["sources"])
        avoided.add_metric([source], source in note["avoided"])
    yield from (asked, avoided)


def list_role_metrics(states: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    """Return the metrics of the roles of the top list that ask a provider; their states as `/health/ready` shows them."""
    up = _gauge("toplist_up", "Whether a role gets its lists as often as the whole plan allows.", "role")
    used = _gauge("quota_used", "What is used of a provider's plan this month, in its own unit.", "role", "unit")
    limit = _gauge("quota_limit", "What of a provider's plan may be used in a month.", "role", "unit")
    newest = _gauge("toplist_list_timestamp_seconds", "The minute of the newest list; 0 before the first.", "role")
    interval = _gauge("toplist_interval_seconds", "Seconds between two lists; 0 while none is asked for.", "role")
    faults = _counter("toplist_faults", "Lists that did not come, since the month began.", "role", "reason")
    for role, state in states.items():
        up.add_metric([role], state["state"] == "ok")
        used.add_metric([role, state["unit"]], state["used"])
        limit.add_metric([role, state["unit"]], state["limit"])
        newest.add_metric([role], state["list_at"] or 0)
        interval.add_metric([role], state["interval"] or 0)
        for reason, number in state["faults"].items():
            faults.add_metric([role, reason], number)
    yield from (up, used, limit, newest, interval, faults)


def _gauge(name: str, about: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, about, labels=labels)


def _counter(name: str, about: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(PREFIX + name, about, labels=labels)


def _single(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, about, value=value)
