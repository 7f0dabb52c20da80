"""The commands of each transaction, put into a pipeline that somebody else sends. No answer is read here."""

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from redis.asyncio.client import Pipeline

from .. import keys
from ..market import metric_state
from ..market.metric_state import MetricState, PriorState, StateUpdate
from ..market.ranks import Rankings, Scores
from ..model import DAY, Metric, Sample
from ..rules import SubjectResult, write_states
from .connection import translate_errors

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
    """What becomes of alerts."""

    keep: int = 30 * DAY
    """Seconds that alerts and their deliveries are kept."""
    send: bool = True
    """Whether messages are put into the outbox; a replay keeps its alerts and sends none."""


def put_update(pipe: Pipeline, at: int, step: StateUpdate, said: SubjectResult, rules: "AlertLimits") -> None:
    """Put the transaction of one metric: the sample, the trim, the moments, and what the rules say."""
    metric, sample, _, record, found = step
    put = pipe.execute_command
    put("MULTI")
    if sample:
        key = keys.samples(metric, keys.find_hour(at))
        if found.written:
            put("ZREMRANGEBYSCORE", key, at, at)
        put("ZADD", key, at, keys.write_member(sample))
        put("EXPIRE", key, keys.KEEP_SAMPLES)
    for hour in _leaving_hours(at, found):
        put("ZREMRANGEBYSCORE", keys.samples(metric, hour), "-inf", at - DAY)
    if step.is_over:
        put("DEL", keys.moments(metric))
    else:
        put("SET", keys.moments(metric), metric_state.write_state(record), "EX", keys.KEEP)
    put_alerts(pipe, at, said, rules)
    put("EXEC")


def _leaving_hours(at: int, found: PriorState) -> list[int]:
    """Return the hours that hold what leaves the day; of a record that is older than a day, all hours of its own."""
    hours = {keys.find_hour(sample.tick) for sample in found.leaving_day}
    if found.record and found.record.at <= at - DAY:
        hours.update(keys.list_hours(found.record.at - DAY, found.record.at))
    return sorted(hours)


def put_alerts(pipe: Pipeline, at: int, said: SubjectResult, limits: "AlertLimits") -> None:
    """Put what the rules say into the transaction that is open: the alerts, their messages, what is over."""
    put = pipe.execute_command
    for alert in said.alerts:
        written = json.dumps(alert._asdict(), separators=(",", ":"))
        put("ZADD", keys.ALERTS, at, written)
        if limits.send and alert.suppressed_by is None:
            put("XADD", keys.OUTBOX, "MAXLEN", "~", keys.MOST_IN_OUTBOX, "*", "alert", written)
    for alert_id in said.over:
        put("HSET", keys.alert(alert_id), "ended_at", at)
        put("EXPIRE", keys.alert(alert_id), limits.keep)


def put_source_states(pipe: Pipeline, at: int, sources: Mapping[str, SubjectResult], limits: "AlertLimits") -> None:
    """Put the transaction of what the rules say of sources as a whole."""
    pipe.execute_command("MULTI")
    states = {source: write_states(said.states) for source, said in sources.items() if said.states}
    pipe.execute_command("SET", keys.OUTAGES, json.dumps({"at": at, "sources": states}, separators=(",", ":")))
    for said in sources.values():
        put_alerts(pipe, at, said, limits)
    pipe.execute_command("EXEC")


def put_alert_trim(pipe: Pipeline, at: int, limits: "AlertLimits") -> None:
    """Put the end of what is too old, or too much, and a new end for the rest."""
    pipe.execute_command("ZREMRANGEBYSCORE", keys.ALERTS, "-inf", at - limits.keep)
    pipe.execute_command("ZREMRANGEBYRANK", keys.ALERTS, 0, -keys.MOST_ALERTS - 1)
    pipe.execute_command("EXPIRE", keys.ALERTS, limits.keep)
    pipe.execute_command("EXPIRE", keys.OUTBOX, limits.keep)


def put_late_samples(
    pipe: Pipeline, metric: Metric, samples: Sequence[Sample], replaced: Container[int], record: MetricState | None
) -> None:
    """Put the transaction that takes late samples in; those at the ticks `replaced` take another's place."""
    pipe.execute_command("MULTI")
    by_hour: dict[int, list[Sample]] = {}
    for sample in samples:
        by_hour.setdefault(keys.find_hour(sample.tick), []).append(sample)
    for hour, late in by_hour.items():
        key = keys.samples(metric, hour)
        for sample in late:
            if sample.tick in replaced:
                pipe.execute_command("ZREMRANGEBYSCORE", key, sample.tick, sample.tick)
        pipe.execute_command("ZADD", key, *chain.from_iterable((each.tick, keys.write_member(each)) for each in late))
        pipe.execute_command("EXPIRE", key, keys.KEEP_SAMPLES)
    if record is not None:
        pipe.execute_command("SET", keys.moments(metric), metric_state.write_state(record), "EX", keys.KEEP)
    pipe.execute_command("EXEC")


def put_rankings(pipe: Pipeline, scored: Rankings) -> None:
    """Put the lists that follow from all metrics: ranks and means."""
    lists = {keys.rank(measure, by): scores for (measure, by), scores in scored.ranks.items()}
    lists |= {keys.mean(measure): scores for measure, scores in scored.means.items()}
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


def put_tick(pipe: Pipeline, at: int) -> None:
    pipe.execute_command("SET", keys.FORMAT, keys.FORMAT_NUMBER)
    pipe.execute_command("SET", keys.TICK, at)
    pipe.execute_command("PUBLISH", keys.TICKS, at)


def raise_inner_error(answers: Iterable[Any]) -> None:
    """Raise the first error from inside a transaction, which Redis hands over as one of its answers."""
    with translate_errors():
        for answer in answers:
            if isinstance(answer, list):
                for inner in answer:
                    if isinstance(inner, Exception):
                        raise inner
