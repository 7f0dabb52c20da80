"""Plays ticks through the very engine that judges live ones, without a store: what a live run would have said."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from ..market.advance import advance_all
from ..market.metric_state import SourceReading
from ..market.ranks import collect_rank_inputs, rank_one
from ..model import HOUR, Metric, Reading, Sample
from ..rules import Alert, Evaluation, Rule, RuleEngine, Silence, SubjectResult, TickContext, attach_states
from ..rules.phases import Phase, RuleState
from .memory_store import MemoryStore

FLAP_SECONDS = HOUR
"""Who fires again so soon after it was over has flapped."""

Tick = tuple[int, Mapping[Metric, SourceReading]]
Subject = TypeVar("Subject", bound=str)


class BacktestInput(NamedTuple):
    """What is tried."""

    rules: Sequence[Rule]
    silences: Sequence[Silence]
    interval: int
    start: int | None = None
    """The first tick at which the rules are on; before it windows fill, and holds begin. `None`: the first there is."""
    end: int | None = None
    """The last tick."""
    is_whole: bool = True
    """Whether all metrics are played; else no rank is known."""

    def is_on(self, at: int) -> bool:
        return self.start is None or at >= self.start


class RulesNeverActive(Exception):
    """The last tick was before the first at which the rules were to be on: that they say nothing says nothing."""

    def __init__(self, start: int, last: int) -> None:
        super().__init__(f"{start} is after the last tick that was played, {last}")
        self.start = start
        self.last = last


class BacktestResult(NamedTuple):
    """What came of it."""

    alerts: Sequence[Alert]
    """Oldest first, those of a tick by id: as `v1:alerts` would have them."""
    fires: Counter[str]
    """How often each rule began to fire, at any metric."""
    flaps: Counter[str]
    """How often it did so within an hour after it was over at the same metric."""
    metrics: frozenset[Metric]
    samples: int
    first: int | None
    """The first tick, and the last one; `None` where there was none."""
    last: int | None


def play(
    ticks: Iterable[Tick], trial: BacktestInput, more: Sequence[Rule] = (), seen: Callable[[int], None] = lambda _: None
) -> BacktestResult:
    """
    Play ticks, oldest first. Rules in `more` are judged beside those of the trial.

    `seen` is told of every tick when it is over; what it raises ends the play. Raises `NeverOn`.
    """
    engine = RuleEngine([*trial.rules, *more], trial.silences, trial.interval)
    memory, firing = MemoryStore(), _FiringCounter()
    alerts: list[Alert] = []
    metrics: set[Metric] = set()
    samples, first, last = 0, None, None
    for at, heard in ticks:
        if trial.end is not None and at > trial.end:
            break
        judged = _tick(at, heard, memory, engine, trial)
        if trial.is_on(at):
            alerts += sorted(judged.list_alerts(), key=lambda alert: alert.id)
            firing.count(at, judged)
        metrics |= heard.keys()
        samples += len(heard)
        first, last = at if first is None else first, at
        seen(at)
    if trial.start is not None and last is not None and last < trial.start:
        raise RulesNeverActive(trial.start, last)
    return BacktestResult(alerts, firing.fires, firing.flaps, frozenset(metrics), samples, first, last)


def _tick(
    at: int, heard: Mapping[Metric, SourceReading], memory: MemoryStore, rules: RuleEngine, trial: BacktestInput
) -> Evaluation:
    """Do what a live tick does; ranks are counted only where a rule asks for them."""
    metrics = sorted(memory.known_metrics | heard.keys())
    steps = advance_all(at, metrics, heard, memory.read_states(at, metrics, rules.make_lookback))
    ranked = partial(rank_one, collect_rank_inputs(steps) if trial.is_whole else ())
    judged = rules.evaluate(TickContext(at, steps, ranked, memory.outages))
    # What held before the rules are on has held all the same: a rule with `for` needs to know since when.
    judged = judged if trial.is_on(at) else Evaluation(_untold(judged.metrics), _untold(judged.sources))
    memory.commit(at, attach_states(steps, judged), judged)
    return judged


def _untold(judged: Mapping[Subject, SubjectResult]) -> dict[Subject, SubjectResult]:
    """Return where the rules stand at each subject if nobody was ever told."""
    return {
        subject: SubjectResult({rule: RuleState(state.phase, state.since) for rule, state in said.states.items()})
        for subject, said in judged.items()
    }


class _FiringCounter:
    """Counts how often rules begin to fire, be it told or not."""

    def __init__(self) -> None:
        self.fires: Counter[str] = Counter()
        self.flaps: Counter[str] = Counter()
        self._now: set[tuple[str, str]] = set()
        self._over: dict[tuple[str, str], int] = {}

    def count(self, at: int, judged: Evaluation) -> None:
        now = {
            (rule, subject)
            for of_subjects in (judged.metrics, judged.sources)
            for subject, said in of_subjects.items()
            for rule, state in said.states.items()
            if state.phase is Phase.FIRING
        }
        for key in now - self._now:
            self.fires[key[0]] += 1
            self.flaps[key[0]] += at - self._over.get(key, -FLAP_SECONDS - 1) <= FLAP_SECONDS
        self._over |= dict.fromkeys(self._now - now, at)
        self._now = now


def make_ticks(
    samples: Mapping[Metric, Sequence[Sample]], sources: Mapping[Metric, str], interval: int, until: int
) -> Iterator[Tick]:
    """
    Return the ticks that kept samples came at, from the first one to `until`, also those without a sample.

    A sample tells neither its source nor the provider's time: the first is taken from `sources`, the other is unknown.
    """
    at_tick: dict[int, dict[Metric, SourceReading]] = {}
    for metric, those in samples.items():
        for sample in those:
            price, volume, percentage, absolute, traded, _ = sample.values
            if price is not None:
                reading = Reading(price, volume, percentage, absolute, traded)
                at_tick.setdefault(sample.tick, {})[metric] = SourceReading(reading, sources[metric])
    # Samples that were taken at another interval may lie beside the grid.
    grid = range(-(-min(at_tick, default=until + 1) // interval) * interval, until + 1, interval)
    for at in sorted({*grid, *at_tick}):
        yield at, at_tick.get(at, {})
