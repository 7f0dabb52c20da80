"""Puts what a feeder changes into a pipeline, as calls of scripts that look at the fence; the caller sends it."""

import json
from collections.abc import Container, Mapping, Sequence
from itertools import chain

from ..market import metric_state
from ..market.market_note import FeedAnswer, MarketNote, write_answer, write_note
from ..market.metric_state import MetricState, PriorState, StateUpdate
from ..market.price_ranges import PriceRange, write_ranges
from ..market.ranks import Rankings, Scores
from ..model import DAY, Metric, Sample, find_hour, list_hours
from ..numbers.chunks import split_into_chunks
from ..rules import NOTHING_SAID, SubjectResult, write_states
from . import keys
from .acknowledged import write_field
from .alert_limits import AlertLimits
from .event_log import CommandSink, EventKind, put_event
from .fence import FencedCalls
from .homeward import make_entry, put_entry, take_over
from .scripts import COMMIT_METRICS

NEVER_PACKED = "-" * 300
"""A member that is longer than `zset-max-listpack-value`."""
_AT_ONCE = 100
"""
Members of a list that one command brings. A set of no more of them may be packed: walking it costs less than keeping
it from being so. And of a longer one, what came with a command is freed and used again while it is at hand.
"""
_TOGETHER = 1000
"""Members of all lists that one call rewrites. More would keep Redis from answering others for long."""
_ONE_COMMAND = 1000
"""Pairs of one command: a script has them on its stack, which holds 8,000 values."""
METRICS_AT_ONCE = 25
"""Metrics that one call commits. More are hardly cheaper, and would keep Redis from answering others for longer."""
_HAS_SAMPLE, _IS_WRITTEN, _IS_OVER = 1, 2, 4
"""Flags of a metric in a call of the script `commit_metrics`."""


def put_updates(  # noqa: PLR0913  # the last one is of a divided store
    calls: FencedCalls,
    at: int,
    steps: Sequence[StateUpdate],
    results: Mapping[Metric, SubjectResult],
    limits: AlertLimits,
    *,
    tag: str | None = None,
) -> None:
    """
    Put the samples, the trims and the states of metrics, and what the rules say of one in one call with it.

    Of a partition, by its `tag`, that is an entry of its homeward list.
    """
    plain: list[StateUpdate] = []
    for step in steps:
        result = results.get(step.metric, NOTHING_SAID)
        if not has_news(result):
            plain.append(step)
            continue
        with calls.put_together() as put:
            put_update(put, at, step)
            if tag is None:
                put_alerts(put, at, result, limits)
            else:
                put_entry(put, tag, make_entry(at, result, limits))
    for some in split_into_chunks(plain, METRICS_AT_ONCE):
        _put_metrics(calls, at, some)


def has_news(result: SubjectResult) -> bool:
    """Return whether what the rules say of a subject is more than where they stand."""
    return bool(result.alerts or result.over or result.released)


def _put_metrics(calls: FencedCalls, at: int, steps: Sequence[StateUpdate]) -> None:
    """Put one call that commits metrics of which the rules say nothing."""
    names: list[str] = []
    words: list[str] = []
    shapes = bytearray()
    hour_of_tick = find_hour(at)
    for step in steps:
        metric, sample, _, record, found = step
        hours = _list_leaving_hours(at, found)
        names.append(keys.moments(metric))
        flags = 0
        if sample:
            flags = _HAS_SAMPLE | _IS_WRITTEN if found.written else _HAS_SAMPLE
            names.append(keys.samples(metric, hour_of_tick))
            words.append(keys.write_member(sample))
        names += [keys.samples(metric, hour) for hour in hours]
        if step.is_over:
            flags |= _IS_OVER
        else:
            words.append(metric_state.write_state(record))
        shapes += bytes((flags, len(hours)))
    calls.put_call(COMMIT_METRICS, names, (at, at - DAY, keys.KEEP_SAMPLES, keys.KEEP, bytes(shapes), *words))


def put_update(sink: CommandSink, at: int, step: StateUpdate) -> None:
    """Put the commands that commit one metric: the sample, the trim and the state."""
    metric, sample, _, record, found = step
    put = sink.execute_command
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


def _list_leaving_hours(at: int, found: PriorState) -> list[int]:
    """Return the hours that hold what leaves the day; of a record that is older than a day, all hours of its own."""
    hours = {find_hour(sample.tick) for sample in found.leaving_day}
    if found.record and found.record.at <= at - DAY:
        hours.update(list_hours(found.record.at - DAY, found.record.at))
    return sorted(hours)


def put_alerts(sink: CommandSink, at: int, result: SubjectResult, limits: AlertLimits) -> None:
    """Put what the rules say beside other commands: new alerts, their messages, and which alerts have ended."""
    put = sink.execute_command
    for alert in result.alerts:
        written = json.dumps(alert._asdict(), separators=(",", ":"))
        put("ZADD", keys.ALERTS, at, written)
        if limits.push:
            put_event(sink, EventKind.ALERT, written)
        if limits.send and alert.suppressed_by is None:
            put("XADD", keys.OUTBOX, "MAXLEN", "~", keys.MOST_IN_OUTBOX, "*", "alert", written)
    for alert_id in result.over:
        put("HSET", keys.alert(alert_id), "ended_at", at)
        put("EXPIRE", keys.alert(alert_id), limits.keep)
        if limits.push:
            put_event(sink, EventKind.ENDED, alert_id)
    for rule, subject in result.released:
        put("HDEL", keys.ACKNOWLEDGED, write_field(rule, subject))


def put_source_states(
    calls: FencedCalls, at: int, sources: Mapping[str, SubjectResult], limits: AlertLimits, *, is_divided: bool = False
) -> None:
    """Put what the rules say of sources as a whole: as one, or of a divided store so that it can be done again."""
    states = {source: write_states(result.states) for source, result in sources.items() if result.states}
    if is_divided:
        for result in filter(has_news, sources.values()):
            take_over(calls, make_entry(at, result, limits))
    with calls.put_together() as put:
        put.execute_command("SET", keys.OUTAGES, json.dumps({"at": at, "sources": states}, separators=(",", ":")))
        for result in () if is_divided else sources.values():
            put_alerts(put, at, result, limits)


def put_alert_trim(calls: FencedCalls, at: int, limits: AlertLimits) -> None:
    """Put the removal of alerts that are too old or too many, and a new expiry for the rest."""
    with calls.put_together() as put:
        put.execute_command("ZREMRANGEBYSCORE", keys.ALERTS, "-inf", at - limits.keep)
        put.execute_command("ZREMRANGEBYRANK", keys.ALERTS, 0, -keys.MOST_ALERTS - 1)
        put.execute_command("EXPIRE", keys.ALERTS, limits.keep)
        put.execute_command("EXPIRE", keys.OUTBOX, limits.keep)


def put_late_samples(  # noqa: PLR0913, PLR0917  # what one transaction writes
    calls: FencedCalls,
    metric: Metric,
    samples: Sequence[Sample],
    replaced: Container[int],
    record: MetricState | None,
    ranges: Mapping[int, Mapping[int, PriceRange]],
) -> None:
    """
    Put the insertion of late samples, as one; those at the ticks `replaced` take another's place.

    `ranges` are, by hour and tick, all that are known of the hours of which any came.
    """
    by_hour: dict[int, list[Sample]] = {}
    for sample in samples:
        by_hour.setdefault(find_hour(sample.tick), []).append(sample)
    with calls.put_together() as put:
        for hour, late in by_hour.items():
            key = keys.samples(metric, hour)
            for sample in late:
                if sample.tick in replaced:
                    put.execute_command("ZREMRANGEBYSCORE", key, sample.tick, sample.tick)
            for some in split_into_chunks(late, _ONE_COMMAND):
                pairs = chain.from_iterable((each.tick, keys.write_member(each)) for each in some)
                put.execute_command("ZADD", key, *pairs)
            put.execute_command("EXPIRE", key, keys.KEEP_SAMPLES)
        for hour, known in ranges.items():
            put.execute_command("SET", keys.ranges(metric, hour), write_ranges(hour, known), "EX", keys.KEEP_SAMPLES)
        if record is not None:
            put.execute_command("SET", keys.moments(metric), metric_state.write_state(record), "EX", keys.KEEP)


def put_rankings(calls: FencedCalls, scored: Rankings) -> None:
    """Put the lists that follow from all metrics: ranks, means, and who is not ranked."""
    lists = list_rankings(scored)
    lengths = [*map(len, lists.values())]
    if max(lengths) <= _AT_ONCE and sum(lengths) <= _TOGETHER:
        _rewrite(calls, lists)
    else:
        for key, scores in lists.items():
            put_list(calls, key, scores)


def list_rankings(scored: Rankings) -> dict[str, Scores]:
    """Return the members of each list that follows from all metrics, by its key."""
    lists = {keys.rank(measure, by): scores for (measure, by), scores in scored.ranks.items()}
    lists |= {keys.mean(measure): scores for measure, scores in scored.means.items()}
    return lists | {keys.unranked(measure): scores for measure, scores in scored.unranked.items()}


def put_list(calls: FencedCalls, key: str, scores: Scores) -> None:
    """Put a sorted set in place of the one before, whole: nobody reads half of it."""
    if len(scores) <= _AT_ONCE:
        _rewrite(calls, {key: scores})
        return
    aside = keys.staging(key)
    *most, last = (scores[start : start + _AT_ONCE] for start in range(0, len(scores), _AT_ONCE))
    with calls.put_together() as put:
        put.execute_command("DEL", aside)  # what a worker that was killed here left
        # A set that begins with a member of this length is a skip list from the start. Else Redis packs it while it has
        # no more members than an hour's samples may have, and walks it all for each that comes: half a tick of 1,000
        # metrics.
        put.execute_command("ZADD", aside, 0, NEVER_PACKED)
        put.execute_command("EXPIRE", aside, keys.KEEP_DERIVED)
    for some in most:
        calls.execute_command("ZADD", aside, *chain.from_iterable(some))
    # Of a server whose memory is full, this call is refused as those before it were: what is there stays.
    with calls.put_together() as put:
        put.execute_command("ZADD", aside, *chain.from_iterable(last))
        put.execute_command("ZREM", aside, NEVER_PACKED)
        # Again: where the first call was refused, this is another key.
        put.execute_command("EXPIRE", aside, keys.KEEP_DERIVED)
        put.execute_command("RENAME", aside, key)


def _rewrite(calls: FencedCalls, lists: Mapping[str, Scores]) -> None:
    """Put short sorted sets in place of those before, as one."""
    with calls.put_together() as put:
        for key, scores in lists.items():
            put.execute_command("DEL", key)
            if scores:
                put.execute_command("ZADD", key, *chain.from_iterable(scores))
                put.execute_command("EXPIRE", key, keys.KEEP_DERIVED)


def put_index(calls: FencedCalls, at: int | None, newest: Mapping[Metric, int]) -> None:
    """Put the newest ticks of metrics into the index; with `at`, remove those that have left the day by then."""
    for some in split_into_chunks([*newest.items()], _ONE_COMMAND):
        # Late samples must not make a metric look older than it is.
        calls.execute_command("ZADD", keys.METRICS, "GT", *chain.from_iterable((tick, name) for name, tick in some))
    with calls.put_together() as put:
        if at is not None:
            put.execute_command("ZREMRANGEBYSCORE", keys.METRICS, "-inf", at - DAY)
        put.execute_command("EXPIRE", keys.METRICS, keys.KEEP_DERIVED)


def put_market_notes(
    calls: FencedCalls, notes: Mapping[Metric, MarketNote], written: Mapping[Metric, MarketNote] | None
) -> None:
    """Put the notes in place of those that are `written`; all anew where that is not known."""
    changed = [(metric, note) for metric, note in notes.items() if written is None or written.get(metric) != note]
    gone = [] if written is None else [metric for metric in written if metric not in notes]
    with calls.put_together() as put:
        if written is None:
            put.execute_command("DEL", keys.MARKETS)
        for others in split_into_chunks(gone, _ONE_COMMAND):
            put.execute_command("HDEL", keys.MARKETS, *others)
        for some in split_into_chunks(changed, _ONE_COMMAND):
            pairs = chain.from_iterable((metric, write_note(note)) for metric, note in some)
            put.execute_command("HSET", keys.MARKETS, *pairs)


def put_feeds(calls: FencedCalls, feeds: Mapping[str, FeedAnswer]) -> None:
    """Put the newest answer of each source."""
    if feeds:
        pairs = chain.from_iterable((source, write_answer(answer)) for source, answer in feeds.items())
        calls.execute_command("HSET", keys.FEEDS, *pairs)


def put_tick(calls: FencedCalls, at: int, partitions: int = 0) -> None:
    """Put what ends a tick. How the data is divided is written again with it: somebody may have emptied the store."""
    with calls.put_together() as put:
        put.execute_command("SET", keys.FORMAT, keys.FORMAT_NUMBER)
        if partitions:
            put.execute_command("SET", keys.PARTITIONS, partitions)
        put.execute_command("SET", keys.TICK, at)
        put_event(put, EventKind.TICK, at)
        put.execute_command("PUBLISH", keys.TICKS, at)
