"""Rules tried on history at the command line: on a recording, or on the day that is kept in Redis; and told in words."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from worker.latest import DAY, HOUR, MINUTE
from worker.latest.backtest import CLOCK_UNKNOWN, BacktestInput, Tick, make_report, make_ticks, make_variants, play
from worker.latest.rules import Rule
from worker.latest.store import KeptDay
from worker.sampling.recording import Recording
from worker.sampling.replay import make_recording_ticks

MOST_METRICS = 5
"""Metrics that are named for each rule, those that it speaks of most."""


class ReportOptions(NamedTuple):
    """How much is to be told."""

    sweep: bool
    """Whether to count also with other factors and cooldowns."""
    limit: int
    """How many messages are listed."""


def backtest_recording(
    recording: Recording, trial: BacktestInput, wish: ReportOptions, seen: Callable[[int], None]
) -> dict[str, Any]:
    """Try rules on a recording, as if it were played now."""
    notes = [recording.without] if recording.without else []
    return _run_backtest(make_recording_ticks(recording, trial.interval), trial, notes, wish, seen)


def backtest_kept_day(
    kept: KeptDay, trial: BacktestInput, wish: ReportOptions, seen: Callable[[int], None]
) -> dict[str, Any]:
    """Try rules on the samples that are kept."""
    ticks = make_ticks(kept.samples, kept.sources, trial.interval, kept.until)
    notes = [CLOCK_UNKNOWN] if any(rule.kind == "frozen" for rule in trial.rules) else []
    return _run_backtest(ticks, trial, notes, wish, seen)


def _run_backtest(
    ticks: Iterable[Tick], trial: BacktestInput, notes: Sequence[str], wish: ReportOptions, seen: Callable[[int], None]
) -> dict[str, Any]:
    others = make_variants(trial.rules, trial.interval) if wish.sweep else []
    played = play(ticks, trial, [other.rule for other in others], seen)
    return make_report(played, trial, others, notes, wish.limit)


def describe_report(found: Mapping[str, Any], rules: Sequence[Rule]) -> Iterator[str]:
    """Tell what came of it, line by line."""
    if found["from"] is None:
        yield "there is no sample to try rules on"
        return
    yield (
        f"{_format_count(found['metrics'], 'metric')}, {_format_count(found['samples'], 'sample')}, "
        f"rules on from {_format_instant(found['from'])} to {_format_instant(found['to'])}"
    )
    if found["warm_up"]:
        yield f"warming up until {_format_instant(found['warm_up']['until'])}: {found['warm_up']['why']}"
    yield from found["notes"]
    days = (found["to"] - found["from"] + found["interval"]) / DAY
    for rule, came in zip(rules, found["rules"], strict=True):
        yield ""
        yield from _describe_rule(rule, came, days)
    yield ""
    yield f"messages that would have been sent{_format_value(found)}:"
    for message in found["messages"]:
        many = f" ({message['alerts']} alerts)" if message["alerts"] > 1 else ""
        yield f"  {_format_instant(message['at'])}  {message['rule']}  {message['title']}{many}"


def _describe_rule(rule: Rule, came: Mapping[str, Any], days: float) -> Iterator[str]:
    off = "" if rule.enabled else " (not enabled)"
    yield (
        f"{rule.id}{off}: {_format_count(came['messages'], 'message')}, {came['messages'] / days:.1f} a day; "
        f"{_format_count(came['alerts'], 'alert')}, {came['suppressed']} of them not sent; fired {_format_count(came['fires'], 'time')}, "
        f"flapped {_format_count(came['flaps'], 'time')}; watches {_format_count(came['matches'], 'metric')}"
    )
    if came["by_metric"]:
        most = [f"{metric} {many}" for metric, many in [*came["by_metric"].items()][:MOST_METRICS]]
        yield f"  most of: {', '.join(most)}"
    if came["sweep"]:
        yield from _describe_sweep(came["sweep"])


def _describe_sweep(sweep: Mapping[str, Any]) -> Iterator[str]:
    """Write how many messages there would have been, by main number and cooldown."""
    field, cells = sweep["field"], sweep["cells"]
    cooldowns = sorted({cell["cooldown"] for cell in cells})
    messages = {(cell[field], cell["cooldown"]): cell["messages"] for cell in cells}
    heads = [_format_length(cooldown) for cooldown in cooldowns]
    yield f"  messages by {field:>12} and cooldown {''.join(f'{head:>9}' for head in heads)}"
    for number in dict.fromkeys(cell[field] for cell in cells):
        row = "".join(f"{messages.get((number, cooldown), '-'):>9}" for cooldown in cooldowns)
        yield f"              {number:>12}              {row}"
    if sweep["why"]:
        yield f"  {sweep['why']}"


def _format_value(found: Mapping[str, Any]) -> str:
    sent = sum(came["messages"] for came in found["rules"])
    listed = len(found["messages"])
    return "" if listed == sent else f", the first {listed} of {sent}"


def _format_count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _format_length(seconds: int) -> str:
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m")):
        if seconds and seconds % unit == 0:
            return f"{seconds // unit}{name}"
    return f"{seconds}s" if seconds else "0"


def _format_instant(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
