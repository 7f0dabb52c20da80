"""Plays ticks through the very engine that judges live ones, without a store: what a live run would have said."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from ..market.advance import advance_all
from ..market.metric_state import SourceReading
from ..market.ranks import Scores, collect_rank_inputs, rank_one
from ..model import HOUR, By, Measure, Metric, Reading, Sample
from ..rules import Alert, Evaluation, Rule, RuleEngine, Silence, SubjectResult, TickContext, attach_states
from ..rules.phases import Phase, RuleState
from .memory_store import MemoryStore
from .unwatched import UnwatchedMarket, should_play_all

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
    min_coverage: float = 0
    """What part of the numbers of the most complete metric a metric must have to be ranked, 0 to 1."""

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

    `seen` is told of every tick when it is over; what it raises ends the play. Raises `RulesNeverActive`.
    """
    market, firing = _PlayedMarket([*trial.rules, *more], trial), _FiringCounter()
    alerts: list[Alert] = []
    metrics: set[Metric] = set()
    samples, first, last = 0, None, None
    for at, heard in ticks:
        if trial.end is not None and at > trial.end:
            break
        judged = market.judge(at, heard)
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


class _PlayedMarket:
    """All metrics of a backtest: those that rules watch are played, the others are kept for ranks."""

    def __init__(self, rules: Sequence[Rule], trial: BacktestInput) -> None:
        self._rules = [rule for rule in rules if rule.enabled]
        self._trial = trial
        self._engine = RuleEngine(rules, trial.silences, trial.interval)
        self._memory = MemoryStore()
        self._should_play_all = should_play_all(self._rules)
        self._unwatched = UnwatchedMarket(() if self._should_play_all else {rule.measure for rule in self._rules})
        self._is_watched: dict[Metric, bool] = {}

    def judge(self, at: int, heard: Mapping[Metric, SourceReading]) -> Evaluation:
        """Do what a live tick does; ranks are counted only where a rule or an alert asks for them."""
        memory, trial = self._memory, self._trial
        watched = self._take_watched(at, heard)
        metrics = sorted(memory.known_metrics | watched.keys())
        steps = advance_all(at, metrics, watched, memory.read_states(at, metrics, self._engine.make_lookback))

        def rank(measure: Measure, by: By) -> Scores:
            if not trial.is_whole:
                return []
            others = [] if self._should_play_all else self._unwatched.collect_inputs(at, measure)
            return rank_one([*collect_rank_inputs(steps), *others], measure, by, trial.min_coverage)

        judged = self._engine.evaluate(TickContext(at, steps, rank, memory.outages))
        # What held before the rules are on has held all the same: a rule with `for` needs to know since when.
        judged = (
            judged if trial.is_on(at) else Evaluation(_forget_alerts(judged.metrics), _forget_alerts(judged.sources))
        )
        memory.commit(at, attach_states(steps, judged), judged)
        return judged

    def _take_watched(self, at: int, heard: Mapping[Metric, SourceReading]) -> Mapping[Metric, SourceReading]:
        """Return what is to play of a tick, and keep the rest."""
        if self._should_play_all:
            return heard
        for metric in heard.keys() - self._is_watched.keys():
            self._is_watched[metric] = any(rule.matches(metric) for rule in self._rules)
        watched = {metric: reading for metric, reading in heard.items() if self._is_watched[metric]}
        if self._trial.is_whole and len(watched) < len(heard):
            self._unwatched.add(at, {metric: heard[metric] for metric in heard.keys() - watched.keys()})
        return watched


def _forget_alerts(judged: Mapping[Subject, SubjectResult]) -> dict[Subject, SubjectResult]:
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
