"""Puts the commands of each transaction into a pipeline, which the caller sends."""

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from redis.asyncio.client import Pipeline

from ..market import metric_state
from ..market.market_note import FeedAnswer, MarketNote, write_answer, write_note
from ..market.metric_state import MetricState, PriorState, StateUpdate
from ..market.price_ranges import PriceRange, write_ranges
from ..market.ranks import Rankings, Scores
from ..model import DAY, Metric, Sample, find_hour, list_hours
from ..rules import SubjectResult, write_states
from . import keys
from .acknowledged import write_field
from .connection import translate_errors
from .event_log import EventKind, put_event

_NEVER_PACKED = "-" * 300
"""A member that is longer than `zset-max-listpack-value`."""
_AT_ONCE = 100
"""
Members of a list that one command brings. A set of no more of them may be packed: walking it costs less than keeping
it from being so. And of a longer one, what came with a command is freed and used again while it is at hand.
"""
_TOGETHER = 1000
"""Members of all lists that one transaction rewrites. More would keep Redis from answering others for long."""


class AlertLimits(NamedTuple):
    """How long alerts are kept, and who is told of them."""

    keep: int = 30 * DAY
    """Seconds that alerts and their deliveries are kept."""
    send: bool = True
    """Whether messages are put into the outbox; a replay keeps its alerts and sends none."""
    push: bool = True
    """Whether they are pushed to clients that listen; those of a replay that is not watched are not."""


def put_update(pipe: Pipeline, at: int, step: StateUpdate, result: SubjectResult, limits: AlertLimits) -> None:
    """Put the transaction of one metric: the sample, the trim, the moments, and what the rules say of it."""
    metric, sample, _, record, found = step
    put = pipe.execute_command
    put("MULTI")
    if sample:
        key = keys.samples(metric, find_hour(at))
        if found.written:
            put("ZREMRANGEBYSCORE", key, at, at)
        put("ZADD", key, at, keys.write_member(sample))
        put("EXPIRE", key, keys.KEEP_SAMPLES)
    for hour in _list_leaving_hours(at, found):
        put("ZREMRANGEBYSCORE", keys.samples(metric, hour), "-inf", at - DAY)
    if step.is_over:
        put("DEL", keys.moments(metric))
    else:
        put("SET", keys.moments(metric), metric_state.write_state(record), "EX", keys.KEEP)
    put_alerts(pipe, at, result, limits)
    put("EXEC")


def _list_leaving_hours(at: int, found: PriorState) -> list[int]:
    """Return the hours that hold what leaves the day; of a record that is older than a day, all hours of its own."""
    hours = {find_hour(sample.tick) for sample in found.leaving_day}
    if found.record and found.record.at <= at - DAY:
        hours.update(list_hours(found.record.at - DAY, found.record.at))
    return sorted(hours)


def put_alerts(pipe: Pipeline, at: int, result: SubjectResult, limits: AlertLimits) -> None:
    """Put what the rules say into the open transaction: new alerts, their messages, and which alerts have ended."""
    put = pipe.execute_command
    for alert in result.alerts:
        written = json.dumps(alert._asdict(), separators=(",", ":"))
        put("ZADD", keys.ALERTS, at, written)
        if limits.push:
            put_event(pipe, EventKind.ALERT, written)
        if limits.send and alert.suppressed_by is None:
            put("XADD", keys.OUTBOX, "MAXLEN", "~", keys.MOST_IN_OUTBOX, "*", "alert", written)
    for alert_id in result.over:
        put("HSET", keys.alert(alert_id), "ended_at", at)
        put("EXPIRE", keys.alert(alert_id), limits.keep)
        if limits.push:
            put_event(pipe, EventKind.ENDED, alert_id)
    for rule, subject in result.released:
        put("HDEL", keys.ACKNOWLEDGED, write_field(rule, subject))


def put_source_states(pipe: Pipeline, at: int, sources: Mapping[str, SubjectResult], limits: AlertLimits) -> None:
    """Put the transaction of what the rules say of sources as a whole."""
    pipe.execute_command("MULTI")
    states = {source: write_states(result.states) for source, result in sources.items() if result.states}
    pipe.execute_command("SET", keys.OUTAGES, json.dumps({"at": at, "sources": states}, separators=(",", ":")))
    for result in sources.values():
        put_alerts(pipe, at, result, limits)
    pipe.execute_command("EXEC")


def put_alert_trim(pipe: Pipeline, at: int, limits: AlertLimits) -> None:
    """Put the removal of alerts that are too old or too many, and a new expiry for the rest."""
    pipe.execute_command("ZREMRANGEBYSCORE", keys.ALERTS, "-inf", at - limits.keep)
    pipe.execute_command("ZREMRANGEBYRANK", keys.ALERTS, 0, -keys.MOST_ALERTS - 1)
    pipe.execute_command("EXPIRE", keys.ALERTS, limits.keep)
    pipe.execute_command("EXPIRE", keys.OUTBOX, limits.keep)


def put_late_samples(  # noqa: PLR0913, PLR0917  # what one transaction writes
    pipe: Pipeline,
    metric: Metric,
    samples: Sequence[Sample],
    replaced: Container[int],
    record: MetricState | None,
    ranges: Mapping[int, Mapping[int, PriceRange]],
) -> None:
    """
    Put the transaction that inserts late samples; those at the ticks `replaced` take another's place.

    `ranges` are, by hour and tick, all that are known of the hours of which any came.
    """
    pipe.execute_command("MULTI")
    by_hour: dict[int, list[Sample]] = {}
    for sample in samples:
        by_hour.setdefault(find_hour(sample.tick), []).append(sample)
    for hour, late in by_hour.items():
        key = keys.samples(metric, hour)
        for sample in late:
            if sample.tick in replaced:
                pipe.execute_command("ZREMRANGEBYSCORE", key, sample.tick, sample.tick)
        pipe.execute_command("ZADD", key, *chain.from_iterable((each.tick, keys.write_member(each)) for each in late))
        pipe.execute_command("EXPIRE", key, keys.KEEP_SAMPLES)
    for hour, known in ranges.items():
        pipe.execute_command("SET", keys.ranges(metric, hour), write_ranges(hour, known), "EX", keys.KEEP_SAMPLES)
    if record is not None:
        pipe.execute_command("SET", keys.moments(metric), metric_state.write_state(record), "EX", keys.KEEP)
    pipe.execute_command("EXEC")


def put_rankings(pipe: Pipeline, scored: Rankings) -> None:
    """Put the lists that follow from all metrics: ranks, means, and who is not ranked."""
    lists = {keys.rank(measure, by): scores for (measure, by), scores in scored.ranks.items()}
    lists |= {keys.mean(measure): scores for measure, scores in scored.means.items()}
    lists |= {keys.unranked(measure): scores for measure, scores in scored.unranked.items()}
    lengths = [*map(len, lists.values())]
    if max(lengths) <= _AT_ONCE and sum(lengths) <= _TOGETHER:
        _rewrite(pipe, lists)
    else:
        for key, scores in lists.items():
            put_list(pipe, key, scores)


def put_list(pipe: Pipeline, key: str, scores: Scores) -> None:
    """Put a sorted set in place of the one before, whole: nobody reads half of it."""
    if len(scores) <= _AT_ONCE:
        _rewrite(pipe, {key: scores})
        return
    aside, put = keys.staging(key), pipe.execute_command
    put("MULTI")
    put("DEL", aside)  # what a worker that was killed here left
    # A set that begins with a member of this length is a skip list from the start. Else Redis packs it while it has
    # no more members than an hour's samples may have, and walks it all for each that comes: half a tick of 1,000 metrics.
    put("ZADD", aside, 0, _NEVER_PACKED)
    put("EXPIRE", aside, keys.KEEP_DERIVED)
    put("EXEC")
    *most, last = (scores[start : start + _AT_ONCE] for start in range(0, len(scores), _AT_ONCE))
    for some in most:
        put("ZADD", aside, *chain.from_iterable(some))
    # Of a server whose memory is full, this transaction is refused as those before it were: what is there stays.
    put("MULTI")
    put("ZADD", aside, *chain.from_iterable(last))
    put("ZREM", aside, _NEVER_PACKED)
    put("EXPIRE", aside, keys.KEEP_DERIVED)  # again: where the first transaction was refused, this is another key
    put("RENAME", aside, key)
    put("EXEC")


def _rewrite(pipe: Pipeline, lists: Mapping[str, Scores]) -> None:
    """Put short sorted sets in place of those before, in one transaction."""
    pipe.execute_command("MULTI")
    for key, scores in lists.items():
        pipe.execute_command("DEL", key)
        if scores:
            pipe.execute_command("ZADD", key, *chain.from_iterable(scores))
            pipe.execute_command("EXPIRE", key, keys.KEEP_DERIVED)
    pipe.execute_command("EXEC")


def put_index(pipe: Pipeline, at: int | None, newest: Mapping[Metric, int]) -> None:
    """Put the newest ticks of metrics into the index; with `at`, remove those that have left the day by then."""
    if newest:
        # Late samples must not make a metric look older than it is.
        scores = chain.from_iterable((tick, metric) for metric, tick in newest.items())
        pipe.execute_command("ZADD", keys.METRICS, "GT", *scores)
    if at is not None:
        pipe.execute_command("ZREMRANGEBYSCORE", keys.METRICS, "-inf", at - DAY)
    pipe.execute_command("EXPIRE", keys.METRICS, keys.KEEP_DERIVED)


def put_market_notes(
    pipe: Pipeline, notes: Mapping[Metric, MarketNote], written: Mapping[Metric, MarketNote] | None
) -> None:
    """Put the notes in place of those that are `written`; all anew where that is not known."""
    changed = {metric: note for metric, note in notes.items() if written is None or written.get(metric) != note}
    gone = [] if written is None else [metric for metric in written if metric not in notes]
    if not changed and not gone and written is not None:
        return
    pipe.execute_command("MULTI")
    if written is None:
        pipe.execute_command("DEL", keys.MARKETS)
    if gone:
        pipe.execute_command("HDEL", keys.MARKETS, *gone)
    if changed:
        pairs = chain.from_iterable((metric, write_note(note)) for metric, note in changed.items())
        pipe.execute_command("HSET", keys.MARKETS, *pairs)
    pipe.execute_command("EXEC")


def put_feeds(pipe: Pipeline, feeds: Mapping[str, FeedAnswer]) -> None:
    """Put the newest answer of each source."""
    if feeds:
        pairs = chain.from_iterable((source, write_answer(answer)) for source, answer in feeds.items())
        pipe.execute_command("HSET", keys.FEEDS, *pairs)


def put_tick(pipe: Pipeline, at: int) -> None:
    pipe.execute_command("SET", keys.FORMAT, keys.FORMAT_NUMBER)
    pipe.execute_command("SET", keys.TICK, at)
    pipe.execute_command("PUBLISH", keys.TICKS, at)
    pipe.execute_command("MULTI")
    put_event(pipe, EventKind.TICK, at)
    pipe.execute_command("EXEC")


def raise_inner_error(answers: Iterable[Any]) -> None:
    """Raise the first error from inside a transaction, which Redis returns as one of its answers."""
    with translate_errors():
        for answer in answers:
            if isinstance(answer, list):
                for inner in answer:
                    if isinstance(inner, Exception):
                        raise inner
