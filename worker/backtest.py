"""Rules tried on history at the command line: on a recording, or on the day that is kept in Redis; and told in words."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from worker.latest import (
    CLOCK_UNKNOWN,
    DAY,
    HOUR,
    MINUTE,
    Kept,
    Rule,
    Tick,
    Trial,
    play,
    report,
    ticks_of,
    variants,
)
from worker.recording import Recording
from worker.replay import ticks_of_recording

MOST_METRICS = 5
"""Metrics that are named for each rule, those that it speaks of most."""


class Wish(NamedTuple):
    """How much is to be told."""

    sweep: bool
    """Whether to count also with other factors and cooldowns."""
    limit: int
    """How many messages are listed."""


def on_recording(recording: Recording, trial: Trial, wish: Wish, seen: Callable[[int], None]) -> dict[str, Any]:
    """Try rules on a recording, as if it were played now."""
    notes = [recording.without] if recording.without else []
    return _tried(ticks_of_recording(recording, trial.interval), trial, notes, wish, seen)


def on_kept_day(kept: Kept, trial: Trial, wish: Wish, seen: Callable[[int], None]) -> dict[str, Any]:
    """Try rules on the samples that are kept."""
    ticks = ticks_of(kept.samples, kept.sources, trial.interval, kept.until)
    notes = [CLOCK_UNKNOWN] if any(rule.kind == "frozen" for rule in trial.rules) else []
    return _tried(ticks, trial, notes, wish, seen)


def _tried(
    ticks: Iterable[Tick], trial: Trial, notes: Sequence[str], wish: Wish, seen: Callable[[int], None]
) -> dict[str, Any]:
    others = variants(trial.rules, trial.interval) if wish.sweep else []
    played = play(ticks, trial, [other.rule for other in others], seen)
    return report(played, trial, others, notes, wish.limit)


def in_words(found: Mapping[str, Any], rules: Sequence[Rule]) -> Iterator[str]:
    """Tell what came of it, line by line."""
    if found["from"] is None:
        yield "there is no sample to try rules on"
        return
    yield (
        f"{_many(found['metrics'], 'metric')}, {_many(found['samples'], 'sample')}, "
        f"rules on from {_instant(found['from'])} to {_instant(found['to'])}"
    )
    if found["warm_up"]:
        yield f"warming up until {_instant(found['warm_up']['until'])}: {found['warm_up']['why']}"
    yield from found["notes"]
    days = (found["to"] - found["from"] + found["interval"]) / DAY
    for rule, came in zip(rules, found["rules"], strict=True):
        yield ""
        yield from _rule_in_words(rule, came, days)
    yield ""
    yield f"messages that would have been sent{_shown(found)}:"
    for message in found["messages"]:
        many = f" ({message['alerts']} alerts)" if message["alerts"] > 1 else ""
        yield f"  {_instant(message['at'])}  {message['rule']}  {message['title']}{many}"


def _rule_in_words(rule: Rule, came: Mapping[str, Any], days: float) -> Iterator[str]:
    off = "" if rule.enabled else " (not enabled)"
    yield (
        f"{rule.id}{off}: {_many(came['messages'], 'message')}, {came['messages'] / days:.1f} a day; "
        f"{_many(came['alerts'], 'alert')}, {came['quiet']} of them quiet; fired {_many(came['fires'], 'time')}, "
        f"flapped {_many(came['flaps'], 'time')}; watches {_many(came['matches'], 'metric')}"
    )
    if came["by_metric"]:
        most = [f"{metric} {many}" for metric, many in [*came["by_metric"].items()][:MOST_METRICS]]
        yield f"  most of: {', '.join(most)}"
    if came["sweep"]:
        yield from _table(came["sweep"])


def _table(sweep: Mapping[str, Any]) -> Iterator[str]:
    """Write how many messages there would have been, by main number and cooldown."""
    field, cells = sweep["field"], sweep["cells"]
    cooldowns = sorted({cell["cooldown"] for cell in cells})
    messages = {(cell[field], cell["cooldown"]): cell["messages"] for cell in cells}
    heads = [_length(cooldown) for cooldown in cooldowns]
    yield f"  messages by {field:>12} and cooldown {''.join(f'{head:>9}' for head in heads)}"
    for number in dict.fromkeys(cell[field] for cell in cells):
        row = "".join(f"{messages.get((number, cooldown), '-'):>9}" for cooldown in cooldowns)
        yield f"              {number:>12}              {row}"
    if sweep["why"]:
        yield f"  {sweep['why']}"


def _shown(found: Mapping[str, Any]) -> str:
    sent = sum(came["messages"] for came in found["rules"])
    listed = len(found["messages"])
    return "" if listed == sent else f", the first {listed} of {sent}"


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _length(seconds: int) -> str:
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m")):
        if seconds and seconds % unit == 0:
            return f"{seconds // unit}{name}"
    return f"{seconds}s" if seconds else "0"


def _instant(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
