"""
What a person reads: the title and the body of a message about one alert, or about many at once. Pure text: a
channel sends it, and cuts it to what the channel takes.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import NamedTuple
from urllib.parse import quote

from ..model import DAY, HOUR, MINUTE
from ..numbers import decimals
from .alert import TEST, Alert, ReferenceKind
from .rule import Kind

MOST_APART = 5
"""Alerts of one rule at one tick that are sent one by one; more are sent as one message, a digest."""
STRONGEST = 8
"""Alerts that a digest names."""
ELLIPSIS = "…"
TEST_NOTE = "Only a test of the rule: nothing has happened, and these numbers are invented."


class MessageText(NamedTuple):
    """A message as text."""

    title: str
    body: str
    footer: str
    """Whose message it is, and its id: it is there however short the body must be cut."""


class _AlertText(NamedTuple):
    """An alert in words."""

    title: str
    """What happened, behind the metric's name."""
    sentence: str
    """Why, with the numbers."""


def is_in_digest(alert: Alert) -> bool:
    """Return whether the alert is sent together with the others of its rule and tick."""
    return alert.group_size > MOST_APART


def make_digest_id(rule: str, at: int) -> str:
    return f"{rule}.digest.{at}"


def write_single(alert: Alert, interval: int) -> MessageText:
    """Write about one alert; `interval` is that of the samples, in seconds."""
    said = _WRITERS.get((alert.kind, alert.event), _WRITERS.get((alert.kind, "firing"), _other))(alert, interval)
    title = f"{alert.metric} {said.title}".replace(":*", "")
    if alert.event == TEST:
        return MessageText(f"TEST: {title}", f"{TEST_NOTE}\n{said.sentence}", _footer(alert, alert.id))
    return MessageText(title, said.sentence, _footer(alert, alert.id))


def sort_by_strength(alerts: Sequence[Alert]) -> list[Alert]:
    """Order alerts: what exceeds most in front; where nothing is compared, by name."""
    return sorted(alerts, key=lambda alert: (-abs(alert.ratio or 0.0), alert.metric))


def write_digest(alerts: Sequence[Alert], interval: int) -> MessageText:
    """Write about the alerts of one rule at one tick: the strongest, and how many more there are."""
    ordered = sort_by_strength(alerts)
    lines = [f"{_format_name(alert)}: {write_single(alert, interval).body}" for alert in ordered[:STRONGEST]]
    if len(ordered) > STRONGEST:
        lines.append(f"and {len(ordered) - STRONGEST} more")
    first = ordered[0]
    over = "over: " if all(alert.event == "resolved" for alert in ordered) else ""
    title = f"{len(ordered)} metrics {over}{first.name}"
    return MessageText(title, "\n".join(lines), _footer(first, make_digest_id(first.rule, first.at)))


def make_link(page: str, alert: Alert) -> str:
    """Return the address at which the live page shows what the alert is about."""
    home = page.rstrip("/")
    if alert.metric.endswith(":*"):
        return f"{home}/status"
    measure = f"?measure={alert.measure}" if alert.measure else ""
    return f"{home}/m/{quote(alert.metric, safe=':')}{measure}"


def shorten(text: str, limit: int) -> str:
    """Shorten a text to `limit` characters, between two words where that loses little, with an ellipsis."""
    if len(text) <= limit:
        return text
    kept = text[: max(0, limit - len(ELLIPSIS))]
    words = kept if text[len(kept)].isspace() else kept[: max(kept.rfind(" "), kept.rfind("\n"), 0)]
    return ((words if 2 * len(words) > len(kept) else kept).rstrip() + ELLIPSIS)[:limit]


def fit_body(text: MessageText, limit: int, link_to: str = "") -> str:
    """Return body and footer in `limit` characters, with the link between them; it is the body that is cut."""
    tail = "\n".join([part for part in (link_to, text.footer) if part])
    if len(tail) >= limit:
        return shorten(f"{text.body}\n{tail}", limit)
    return f"{shorten(text.body, limit - len(tail) - 1)}\n{tail}".lstrip("\n")


def format_readable(number: float, digits: int) -> str:
    """Write a number to `digits` significant digits, but with all of its whole ones, and without an exponent."""
    if not isfinite(number):
        return str(number)
    exact = Decimal(repr(number))
    places = max(0, digits - 1 - exact.adjusted()) if exact else 0
    text = f"{exact:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _ratio(alert: Alert, interval: int) -> _AlertText:
    times = f"{_by(alert)} x"
    title = f"{_measure(alert)} is {times} its {_length(alert)} mean"
    return _AlertText(title, f"{_value(alert)} = {times} the mean {_behind(alert, interval)}{_rank(alert)}")


def _threshold(alert: Alert, _: int) -> _AlertText:
    return _AlertText(f"{_measure(alert)} is {_value(alert)}", f"{_value(alert)} is {_beyond(alert)}{_rank(alert)}")


def _beyond(alert: Alert) -> str:
    """Name the bound that a value is beyond, and by how much."""
    if alert.value is None or alert.reference is None:
        return f"beyond the bound of {alert.name!r}"
    units, places = decimals.subtract(decimals.parse_decimal(alert.value), decimals.parse_decimal(alert.reference))
    percent = "" if alert.ratio is None else f" ({format_readable(abs(alert.ratio), 3)} %)"
    by = f"{decimals.format_decimal((abs(units), places))}{percent}"
    return f"{alert.reference_kind} {decimals.remove_exponent(alert.reference)} by {by}"


def _change(alert: Alert, interval: int) -> _AlertText:
    moved = f"{'+' if (alert.ratio or 0) > 0 else ''}{_by(alert)} %"
    return _AlertText(
        f"{_measure(alert)} {moved}", f"{_value(alert)} = {moved}{_describe_reference(alert, interval)}{_rank(alert)}"
    )


def _describe_reference(alert: Alert, interval: int) -> str:
    """Name what a value moved from, and when that was."""
    if alert.since is None:
        return ""
    when = _instant(alert.since, alert, interval)
    if alert.reference is None:
        return f" since {when}"
    then = decimals.remove_exponent(alert.reference)
    if alert.reference_kind == ReferenceKind.FIRST:
        return f" since {when}, when it was {then}"
    return f" from its {alert.reference_kind} before, {then} at {when}"


def _deviation(alert: Alert, interval: int) -> _AlertText:
    if alert.ratio is None:
        return _AlertText(
            f"{_measure(alert)} moved off its day",
            f"{_value(alert)}, where the day stood still at {_behind(alert, interval)}{_rank(alert)}",
        )
    off = f"{format_readable(abs(alert.ratio), 3)} deviations {'below' if alert.ratio < 0 else 'above'}"
    return _AlertText(
        f"{_measure(alert)} is {off} its day",
        f"{_value(alert)} is {off} the mean {_behind(alert, interval)}{_rank(alert)}",
    )


def _enters(alert: Alert, _: int) -> _AlertText:
    return _AlertText(
        f"enters the top by {_measure(alert)}",
        f"{_measure(alert)} rank {_value(alert)}{'' if alert.of is None else f' of {alert.of}'}",
    )


def _leaves(alert: Alert, _: int) -> _AlertText:
    now = "no rank any more" if alert.value is None else f"rank {alert.value}"
    return _AlertText(
        f"leaves the top by {_measure(alert)}",
        f"{_measure(alert)} {now}{'' if alert.of is None or alert.value is None else f' of {alert.of}'}",
    )


def _place(alert: Alert, interval: int) -> _AlertText:
    """Write about a test of a rank rule, which says by the value whether it is about who enters or who leaves."""
    return _leaves(alert, interval) if alert.value is None else _enters(alert, interval)


def _stale(alert: Alert, interval: int) -> _AlertText:
    since = "" if alert.since is None else f" since {_instant(alert.since, alert, interval)}"
    if not alert.metric.endswith(":*"):
        return _AlertText("has no samples", f"no sample{since}")
    many = "" if alert.samples is None else f": {alert.samples} metric{'s' * (alert.samples != 1)}"
    return _AlertText("gives nothing", f"{alert.metric.removesuffix(':*')} gives nothing{since}{many}")


def _back(alert: Alert, interval: int) -> _AlertText:
    what = f"{alert.metric.removesuffix(':*')} gives" if alert.metric.endswith(":*") else "there are"
    return _AlertText("is back", f"{what} samples again, at {_instant(alert.at, alert, interval)}")


def _frozen(alert: Alert, interval: int) -> _AlertText:
    price = "the price" if alert.value is None else f"the price, {_value(alert)},"
    return _AlertText(
        "is frozen",
        f"{price} does not move though volume trades, or the provider's own time stands still; "
        f"mean {_behind(alert, interval)}",
    )


def _over(alert: Alert, _: int) -> _AlertText:
    now = "" if alert.value is None else f"; now {_value(alert)}"
    return _AlertText(f"{_measure(alert)} is over it", f"does not hold any more: {alert.name}{now}{_rank(alert)}")


def _other(alert: Alert, _: int) -> _AlertText:
    """Write about a kind that a newer version put into the outbox."""
    return _AlertText(f"{alert.kind} {alert.event}", f"{alert.name}: {_value(alert)}")


_WRITERS: dict[tuple[str, str], Callable[[Alert, int], _AlertText]] = {
    (Kind.RATIO, "firing"): _ratio,
    (Kind.THRESHOLD, "firing"): _threshold,
    (Kind.CHANGE, "firing"): _change,
    (Kind.DEVIATION, "firing"): _deviation,
    (Kind.RANK, "enters"): _enters,
    (Kind.RANK, "leaves"): _leaves,
    (Kind.RANK, TEST): _place,
    (Kind.STALE, "firing"): _stale,
    (Kind.STALE, "resolved"): _back,
    (Kind.FROZEN, "firing"): _frozen,
    **{(kind, "resolved"): _over for kind in (Kind.RATIO, Kind.THRESHOLD, Kind.CHANGE, Kind.DEVIATION, Kind.FROZEN)},
}


def _format_name(alert: Alert) -> str:
    return alert.metric if alert.event == "firing" else f"{alert.metric} {alert.event}"


def _footer(alert: Alert, message_id: str) -> str:
    when = f"{_date(alert.at)} {_clock(alert.at, alert.at)} UTC"
    return f"{alert.name} ({alert.severity}), {when}\n{message_id}"


def _measure(alert: Alert) -> str:
    return (alert.measure or "it").replace("_", " ")


def _value(alert: Alert) -> str:
    return "?" if alert.value is None else decimals.remove_exponent(alert.value)


def _by(alert: Alert) -> str:
    return "?" if alert.ratio is None else format_readable(alert.ratio, 3)


def _behind(alert: Alert, interval: int) -> str:
    """Return the mean, how many samples are behind it, and from when to when."""
    mean = "?" if alert.mean is None else format_readable(alert.mean, 4)
    many = "" if alert.samples is None else f" of {alert.samples} sample{'s' * (alert.samples != 1)}"
    return f"{mean}{many}{'' if alert.since is None else f' {_span(alert.since, alert.at, interval)}'}"


def _rank(alert: Alert) -> str:
    return "" if alert.rank is None else f"; {_measure(alert)} rank {alert.rank} of {alert.of}"


def _length(alert: Alert) -> str:
    """Name the window before the alert: `hour`, `15 min`."""
    seconds = alert.at - alert.since if alert.since is not None else HOUR
    named = {HOUR: "hour", DAY: "day"}.get(seconds)
    if named:
        return named
    for unit, name in ((HOUR, "h"), (MINUTE, "min")):
        if seconds % unit == 0:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


def _span(since: int, at: int, interval: int) -> str:
    """Write from the first sample to the last one before `at`: `13:05-14:04 UTC`."""
    last = max(since, at - interval)
    if at - since < DAY:
        return f"{_clock(since, interval)}-{_clock(last, interval)} UTC"
    return f"{_date(since)} {_clock(since, interval)} - {_date(last)} {_clock(last, interval)} UTC"


def _instant(when: int, alert: Alert, interval: int) -> str:
    """Write an instant, with its date where that is not the alert's."""
    date = "" if _date(when) == _date(alert.at) else f"{_date(when)} "
    return f"{date}{_clock(when, interval)} UTC"


def _clock(when: int, interval: int) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%H:%M:%S" if interval % MINUTE else "%H:%M")


def _date(when: int) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d")
