"""
All rules over all metrics of one tick: which hold, which speak, and what they say. Pure: the same steps
and the same states before give the same alerts, live, replayed or tried on history.

States live in each metric's record, so they commit with the sample they follow from. A tick that is
written a second time finds its own states and says nothing new. A source that has gone silent as a
whole has states of its own, and is told once, not once a metric.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from ..market.metric_state import NO_LOOKBACK, Lookback, StateUpdate
from ..model import MEASURES, Metric
from ..numbers.decimals import parse_decimal
from .acknowledged import NOTHING_ACKNOWLEDGED, Acknowledged
from .alert import Alert
from .conditions import QUIET, Condition, IsExpected, Verdict, is_always_expected, make_condition, make_lookback
from .phases import RuleStates, read_states, write_states
from .rank_lookup import Ranked, RankLookup
from .rule import OF_ANY_KIND, Kind, Rule
from .silence import Silence
from .silent_sources import SilenceSummary, Silent, find_silent_sources, judge_silence, summarize_silence
from .subject import RuleWatch, SubjectEvaluator, SubjectResult


class SourceOutages(NamedTuple):
    """Where the rules stand at sources that are silent as a whole."""

    at: int
    """The tick they stand so at."""
    sources: Mapping[str, RuleStates]


class Evaluation(NamedTuple):
    """What the rules make of a tick; only metrics and sources of which there is something to keep or say."""

    metrics: Mapping[Metric, SubjectResult]
    sources: Mapping[str, SubjectResult]

    def list_alerts(self) -> Iterator[Alert]:
        return chain.from_iterable(said.alerts for said in chain(self.metrics.values(), self.sources.values()))


NO_SOURCE_OUTAGES = SourceOutages(0, {})
NOTHING_SAID = SubjectResult({})
NO_EVALUATION = Evaluation({}, {})


class TickContext(NamedTuple):
    """What a tick knows of all metrics together."""

    at: int
    steps: Sequence[StateUpdate]
    ranked: Ranked
    outages: SourceOutages = NO_SOURCE_OUTAGES
    """As they were before the tick."""
    told_before: Mapping[str, int] = {}
    """How many messages each rule has at this very tick already, from before it was cut off and begun again."""
    asked_since: int = 0
    """The tick after which sources were asked without a pause: what was not heard before, nobody listened for."""
    is_steady: bool = True
    """Whether nothing but ticks has moved the days since the tick before: what is filled in afterwards never alerts."""
    acknowledged: Acknowledged = NOTHING_ACKNOWLEDGED
    """What nothing is sent about until it is over."""


class _Group(NamedTuple):
    """Rules that ask the same, and differ in when they speak."""

    judge: Condition | None
    """`None` of rank rules, which are judged by all metrics together."""
    watches: tuple[RuleWatch, ...]


class RuleEngine:
    """Judges ticks by a fixed set of rules and silences; made anew when they change."""

    def __init__(
        self,
        rules: Iterable[Rule],
        silences: Iterable[Silence],
        interval: int,
        is_expected: IsExpected = is_always_expected,
    ) -> None:
        self._silences = tuple(silences)
        self._interval = interval
        self._is_expected = is_expected
        self._groups = _group_rules([rule for rule in rules if rule.enabled], interval, is_expected)
        self._stale = tuple(watch for group in self._groups for watch in group.watches if watch.rule.kind is Kind.STALE)
        self._watching: dict[Metric, tuple[Sequence[_Group], Lookback, frozenset[str]]] = {}

    def make_lookback(self, metric: Metric) -> Lookback:
        """Say which samples before a tick the rules must see of the metric; mostly none."""
        return self._find_groups(metric)[1]

    def evaluate(self, market: TickContext) -> Evaluation:
        """Judge one tick."""
        if not self._groups and not _is_anything_left(market):
            return NO_EVALUATION
        silent = find_silent_sources(
            self._list_stale_rules(), self._list_expected(market), market.at, self._interval, market.asked_since
        )
        places = RankLookup(market.ranked)
        sources = self._evaluate_sources(market, silent, places, self._list_heard)
        return set_group_sizes(Evaluation(self._evaluate_metrics(market, silent, places), sources), market.told_before)

    def summarize_silence(self, market: TickContext) -> SilenceSummary:
        """Return what the metrics of a part of the market say of whether their sources are silent."""
        return summarize_silence(self._list_stale_rules(), self._list_expected(market), market.at, self._interval)

    def evaluate_part(self, market: TickContext, silence: SilenceSummary) -> Evaluation:
        """Judge the metrics of a part of the market, where `silence` is what all of it says; how many messages there are is not counted."""
        if not self._groups and not _is_anything_left(market):
            return NO_EVALUATION
        places = RankLookup(market.ranked)
        return Evaluation(self._evaluate_metrics(market, self._judge_silence(market, silence), places), {})

    def evaluate_silence(self, market: TickContext, silence: SilenceSummary) -> Evaluation:
        """Judge the sources as a whole by what all of the market says."""
        silent, places = self._judge_silence(market, silence), RankLookup(market.ranked)
        return Evaluation({}, self._evaluate_sources(market, silent, places, lambda _: silence.heard))

    def _list_stale_rules(self) -> Sequence[Rule]:
        return [watch.rule for watch in self._stale]

    def _judge_silence(self, market: TickContext, silence: SilenceSummary) -> Silent:
        return judge_silence(self._list_stale_rules(), silence, market.at, self._interval, market.asked_since)

    def _evaluate_metrics(self, market: TickContext, silent: Silent, places: RankLookup) -> dict[Metric, SubjectResult]:
        metrics: dict[Metric, SubjectResult] = {}
        for step in market.steps:
            said = self._evaluate_metric(step, market, silent, places)
            if said is not NOTHING_SAID:
                metrics[step.metric] = said
        return metrics

    def _find_groups(self, metric: Metric) -> tuple[Sequence[_Group], Lookback, frozenset[str]]:
        """Return the groups of rules that watch a metric, what they look back on, and their ids."""
        known = self._watching.get(metric)
        if known is None:
            groups = [
                _Group(judge, tuple(watch for watch in watches if watch.rule.matches(metric)))
                for judge, watches in self._groups
            ]
            groups = [group for group in groups if group.watches]
            names = frozenset(watch.rule.id for group in groups for watch in group.watches)
            known = self._watching[metric] = groups, _merge_lookbacks(group.watches[0].rule for group in groups), names
        return known

    def _evaluate_metric(
        self, step: StateUpdate, market: TickContext, silent: Silent, places: RankLookup
    ) -> SubjectResult:
        metric, record, at = step.metric, step.found.record, market.at
        before = read_states(record.alerting) if record and record.alerting else {}
        if record and record.at == at:
            return SubjectResult(before) if before else NOTHING_SAID
        saying = None
        for judge, watches in self._find_groups(metric)[0]:
            first = watches[0].rule
            verdict = judge(step, at) if judge else self._judge_rank_rule(first, step, before, places)
            if (
                first.kind is Kind.STALE
                and verdict
                and verdict.holds
                and not self._has_waited_long_enough(first, market)
            ):
                verdict = None
            # Nearly always nothing was, and nothing is; and this runs for every rule at every metric.
            is_still = judge is not None and (verdict is None or not verdict.holds)
            if is_still and not before:
                continue
            for watch in watches:
                rule = watch.rule.id
                if not is_still or rule in before:
                    saying = saying or self._open(metric, before, market, places)
                    is_aloud = (rule, step.record.source) not in silent and (judge is not None or market.is_steady)
                    saying.evaluate(watch, verdict, is_aloud=is_aloud)
        if before and not before.keys() <= self._find_groups(metric)[2]:
            saying = saying or self._open(metric, before, market, places)
            saying.drop(before.keys() - self._find_groups(metric)[2])
        return saying.finish() if saying else NOTHING_SAID

    def _open(self, subject: str, before: RuleStates, market: TickContext, places: RankLookup) -> SubjectEvaluator:
        return SubjectEvaluator(subject, market.at, before, places, self._silences, acknowledged=market.acknowledged)

    def _judge_rank_rule(self, rule: Rule, step: StateUpdate, before: RuleStates, places: RankLookup) -> Verdict | None:
        """Judge a rank rule. Of a day that has hardly begun nothing is told: all deviations are alike, or chance."""
        known = step.record.day[MEASURES.index(rule.measure)].n
        if rule.id not in before and known < rule.find_min_samples(self._interval):
            return None
        return Verdict(places.is_in_top(rule, step.metric))

    def _has_waited_long_enough(self, rule: Rule, market: TickContext) -> bool:
        """Return whether sources have been asked for as long as a stale rule lets them be silent."""
        return market.at - market.asked_since >= rule.intervals * self._interval

    def _list_expected(self, market: TickContext) -> Sequence[StateUpdate]:
        if self._is_expected is is_always_expected or all(step.sample for step in market.steps):
            return market.steps
        return [step for step in market.steps if step.sample or self._is_expected(step)]

    def _list_heard(self, market: TickContext) -> frozenset[str]:
        """Return the sources of all metrics that are expected."""
        return frozenset({step.record.source for step in self._list_expected(market)})

    def _evaluate_sources(
        self,
        market: TickContext,
        silent: Silent,
        places: RankLookup,
        list_heard: Callable[[TickContext], frozenset[str]],
    ) -> dict[str, SubjectResult]:
        known, at = market.outages.sources, market.at
        if market.outages.at == at:
            return {source: SubjectResult(states) for source, states in known.items()}
        if not known and not silent:
            return {}
        heard = list_heard(market)
        judged = {}
        for source in sorted({*known, *(source for _, source in silent)}):
            saying = self._open(f"{source}:*", known.get(source, {}), market, places)
            for watch in self._stale:
                # Of a source whose metrics have all left the day nothing is known, least of all that it is back.
                verdict = silent.get((watch.rule.id, source), QUIET) if source in heard else None
                if verdict is None or verdict.holds or watch.rule.id in known.get(source, {}):
                    saying.evaluate(watch, verdict)
            saying.drop(known.get(source, {}).keys() - {watch.rule.id for watch in self._stale})
            judged[source] = saying.finish()
        return judged


def _is_anything_left(market: TickContext) -> bool:
    """Return whether rules that there are no more have left states behind."""
    return bool(market.outages.sources) or any(
        step.found.record and step.found.record.alerting for step in market.steps
    )


def _group_rules(rules: Iterable[Rule], interval: int, is_expected: IsExpected) -> Sequence[_Group]:
    groups: dict[str, list[Rule]] = {}
    for rule in rules:
        asked = {name: value for name, value in rule.write_fields().items() if name == "kind" or name in OF_ANY_KIND}
        groups.setdefault(json.dumps(asked), []).append(rule)
    return [
        _Group(make_condition(those[0], interval, is_expected), tuple(map(_make_watch, those)))
        for those in groups.values()
    ]


def _make_watch(rule: Rule) -> RuleWatch:
    units, places = parse_decimal(rule.step)
    # A deviation is known exactly by its square, so steps are compared by theirs.
    step = (units**2, 2 * places) if rule.kind is Kind.DEVIATION else (units, places)
    return RuleWatch(rule, step, rule.kind is Kind.THRESHOLD and rule.below is not None)


def _merge_lookbacks(rules: Iterable[Rule]) -> Lookback:
    looks = {make_lookback(rule) for rule in rules}
    if looks <= {NO_LOOKBACK}:
        return NO_LOOKBACK
    all_of = max(each.all_of for each in looks)
    first_of = {seconds for each in looks for seconds in each.first_of if seconds > all_of}
    extremes_of = {span for each in looks for span in each.extremes_of}
    return Lookback(all_of, tuple(sorted(first_of)), tuple(sorted(extremes_of)))


def set_group_sizes(judged: Evaluation, told_before: Mapping[str, int]) -> Evaluation:
    """Tell every alert that is sent how many its rule has at this tick."""
    number = Counter(told_before)
    number.update(alert.rule for alert in judged.list_alerts() if alert.suppressed_by is None)
    if all(many == 1 for many in number.values()):
        return judged

    def set_group_size(said: SubjectResult) -> SubjectResult:
        if not said.alerts:
            return said
        return said._replace(alerts=tuple(each._replace(group_size=max(1, number[each.rule])) for each in said.alerts))

    return Evaluation(
        {metric: set_group_size(said) for metric, said in judged.metrics.items()},
        {source: set_group_size(said) for source, said in judged.sources.items()},
    )


NO_RULES = RuleEngine((), (), 60)


def attach_states(steps: Sequence[StateUpdate], judged: Evaluation) -> list[StateUpdate]:
    """Return the steps with the rules' states in their records, as they are committed."""
    if not judged.metrics:
        return [*steps]
    return [
        step._replace(record=step.record._replace(alerting=write_states(said.states)))
        if (said := judged.metrics.get(step.metric)) and said.states
        else step
        for step in steps
    ]
