"""
Asks the sources again for every tick that was kept, with the answers that providers gave then, and commits what they
make of them. The same answers leave the same bytes in the store, so that a fault that was met once is met again.
"""

from collections.abc import Iterator, Mapping, Sequence

from worker.latest import Metric
from worker.latest.market import ReplayMark, SourceReading, TickEvidence
from worker.latest.store import Writer
from worker.reporting.progress import ProgressCallback
from worker.sampling.absences import AbsenceLog, note_absences
from worker.sampling.collect import collect
from worker.sampling.market_watch import MarketWatch
from worker.sampling.pace import ReplayPace
from worker.sampling.reading_checks import ReadingChecks
from worker.sampling.replay import HourCloser, check_end, check_was_replayed
from worker.sampling.rule_provider import FixedRules, RuleSource
from worker.sampling.tick import commit_tick
from worker.sources.answers.files import AnswerRecording
from worker.sources.answers.lines import KeptAnswer
from worker.sources.answers.player import AnswerPlayer
from worker.sources.supervised import SupervisedSource


async def replay_answers(  # noqa: PLR0913, PLR0917  # the last three are optional
    recording: AnswerRecording,
    player: AnswerPlayer,
    sources: Sequence[SupervisedSource],
    store: Writer,
    seen: ProgressCallback,
    closer: HourCloser | None = None,
    rules: RuleSource = FixedRules(),  # noqa: B008  # it has no state that changes
    pace: ReplayPace | None = None,
) -> int:
    """
    Commit every tick that the store does not have yet, and return how many.

    Cut off anywhere and started again it continues where it was: the sources are asked from the first tick on, because
    what they say may depend on what they said before. Raises as `replay` does.
    """
    newest = await store.open()
    check_end(newest, recording.last)
    if closer:
        await closer.close_until(newest - closer.grace, newest) if newest else closer.start_at(recording.first)
    checks, committed = ReadingChecks(recording.header.jump_limit), 0
    watch, absences = (
        MarketWatch(recording.header.interval, lambda: recording.first),
        AbsenceLog(recording.header.interval),
    )
    previous = newest or 0
    for number, (at, answers) in enumerate(list_answered_ticks(recording), 1):
        player.set_tick(answers)
        readings = await _ask(at, sources, watch, checks)
        absences.note_tick(at, note_absences(sources))
        if newest is None or at > newest:
            if not committed:
                await store.replays.write(ReplayMark(recording.first, recording.last, 0, pace.speed if pace else None))
            evidence = absences.describe_tick(at, previous, lambda: False)
            await _commit(at, readings, store, rules, pace, evidence)
            previous, committed = at, committed + 1
            if closer:
                await closer.close_until(at - closer.grace, at)
        elif at == newest:
            await check_was_replayed(at, readings, store)
        seen(number, recording.ticks)
    if closer:
        await closer.close_until(recording.last, recording.last)
    return committed


async def _commit(  # noqa: PLR0913, PLR0917  # the parts of one tick
    at: int,
    readings: Mapping[Metric, SourceReading],
    store: Writer,
    rules: RuleSource,
    pace: ReplayPace | None,
    evidence: TickEvidence,
) -> None:
    """Commit a tick, at a pace when it is due and by the rules that are then in force."""
    if pace:
        await pace.wait_for(at)
        await rules.refresh()
    await commit_tick(at, readings, store, rules.engine, evidence=evidence)


async def _ask(
    at: int, sources: Sequence[SupervisedSource], watch: MarketWatch, checks: ReadingChecks
) -> Mapping[Metric, SourceReading]:
    readings = await collect(sources, at, watch, checks)
    for source in sources:
        # What a source asks beside a tick must be over before the next, or it would depend on who is faster.
        await source.finish_requests()
    return readings


def list_answered_ticks(recording: AnswerRecording) -> Iterator[tuple[int, Sequence[KeptAnswer]]]:
    """
    Yield every tick with its answers, each once and in order.

    What was kept before the first tick of a file are answers about markets: they belong to the tick that follows. A
    clock that was set back has ticks that were there before; they are left out.
    """
    newest: int | None = None
    tick: int | None = None
    answers: list[KeptAnswer] = []
    for line in recording.list_lines():
        if isinstance(line, KeptAnswer):
            answers.append(line)
            continue
        if tick is not None and (newest is None or tick > newest):
            yield tick, answers
            newest = tick
        if tick is not None:
            answers = []
        tick = line.at
    if tick is not None and (newest is None or tick > newest):
        yield tick, answers
