"""Reads every source once, checks and merges the readings: one tick's, each metric from the source that serves it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from worker.latest import Metric, Reading
from worker.latest.market import SourceReading
from worker.sampling.market_watch import MarketWatch, list_fallbacks
from worker.sampling.reading_checks import ReadingChecks, Rejection
from worker.sampling.source_choice import Answers
from worker.sampling.tick import pause_collector
from worker.sources.ownership import assign_owners
from worker.sources.supervised import SupervisedSource


async def collect(
    sources: Sequence[SupervisedSource], at: int, watch: MarketWatch, checks: ReadingChecks | None = None
) -> Mapping[Metric, SourceReading]:
    """
    Return the readings of tick `at` that `checks` accept, each of the source that `watch` chooses.

    A metric of which no source has a reading that is accepted is missing.
    """
    asked = await asyncio.gather(*[_read(source, at, watch.clock) for source in sources])
    assign_owners(sources)
    with pause_collector():
        return _choose(at, sources, asked, watch, checks)


def _choose(
    at: int,
    sources: Sequence[SupervisedSource],
    asked: Sequence[tuple[Mapping[Metric, Reading], float]],
    watch: MarketWatch,
    checks: ReadingChecks | None,
) -> Mapping[Metric, SourceReading]:
    """Return the readings that become samples, of what the sources have answered."""
    answers = {source.name: answer for source, (answer, _) in zip(sources, asked, strict=True)}
    received = {source.name: when for source, (_, when) in zip(sources, asked, strict=True)}
    readings: Mapping[Metric, SourceReading] = watch.choose(at, sources, answers, received)
    if checks is not None:
        readings, rejected = _check(at, readings, answers, watch, checks)
        kept = {source.name: source.rejects for source in sources}
        for each in rejected:
            kept[each.source].note(each.reason, each.text, each.metric)
    watch.note_served(at, readings)
    return readings


async def _read(
    source: SupervisedSource, at: int, clock: Callable[[], float]
) -> tuple[Mapping[Metric, Reading], float]:
    """Return the answer of a source, and when it was here."""
    answer = await source.read(at)
    return answer, clock() if source.received is None else source.received


def _check(
    at: int, readings: Mapping[Metric, SourceReading], answers: Answers, watch: MarketWatch, checks: ReadingChecks
) -> tuple[Mapping[Metric, SourceReading], list[Rejection]]:
    """Return the readings that are accepted, and those that are not; the next source stands in for the latter."""

    def list_others(metric: Metric) -> Iterable[Reading]:
        used = readings[metric].source
        return [answer[metric] for source, answer in answers.items() if source != used and metric in answer]

    accepted, rejected = checks.select(at, readings, list_others)
    fallbacks = list_fallbacks({each.metric: each.source for each in rejected}, answers, watch.choice)
    if not fallbacks:
        return accepted, rejected
    others, also_rejected = checks.select(at, fallbacks)
    for metric, heard in others.items():
        watch.choice.note_serving(metric, heard.source)
    return accepted | others, rejected + also_rejected
