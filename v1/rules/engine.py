"""
All rules over all metrics of one tick: which hold, which speak, and what they say. Pure: the same steps
and the same states before give the same alerts, live, replayed or tried on history.

States live in each metric's record, so they commit with the sample they follow from. A tick that is
written a second time finds its own states and says nothing new. A source that has gone silent as a
whole has states of its own, and is told once, not once a metric.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from ..decimals import Number, parse
from ..model import Metric
from ..moments import mean
from ..ranks import Scored
from ..records import Step
from .alert import Alert, alert_id
from .conditions import QUIET, Condition, Verdict, condition, is_stale, reach
from .phases import NEVER, Phase, State, advance, forgets, speaks
from .places import Places
from .rule import Kind, Rule
from .silence import Silence, is_muted

States = Mapping[str, State]
"""By rule id."""


class Said(NamedTuple):
    """What the rules make of one metric, or of one source."""

    states: States
    """After the tick; what need not be remembered is not in it."""
    alerts: tuple[Alert, ...] = ()
    over: tuple[str, ...] = ()
    """Ids of alerts told before that are over now."""


class Judged(NamedTuple):
    """What the rules make of a tick; only metrics and sources of which there is something to keep or say."""

    metrics: Mapping[Metric, Said]
    sources: Mapping[str, Said]

    def alerts(self) -> list[Alert]:
        return [alert for said in chain(self.metrics.values(), self.sources.values()) for alert in said.alerts]

    @property
    def says_something(self) -> bool:
        return any(said.alerts for said in chain(self.metrics.values(), self.sources.values()))


NOTHING_SAID = Said({})
SILENT = Judged({}, {})


class Market(NamedTuple):
    """What a tick knows of all metrics together."""

    at: int
    steps: Sequence[Step]
    scored: Scored
    sources: Mapping[str, States] = {}
    """States of the sources before the tick."""
    told_before: Mapping[str, int] = {}
    """How many messages each rule has at this very tick already, from before it was cut off and begun again."""


class _Watch(NamedTuple):
    """A rule, ready to judge."""

    rule: Rule
    judge: Condition | None
    """`None` for those that need to know the whole market."""
    step: Number


Silent = Mapping[tuple[str, str], Verdict]
"""By rule and source: all the source's metrics are stale, by that rule."""


class Engine:
    """Judges ticks by a fixed set of rules and silences; made anew when they change."""

    def __init__(self, rules: Iterable[Rule], silences: Iterable[Silence], interval: int) -> None:
        self._silences = tuple(silences)
        self._interval = interval
        self._watches = tuple(_Watch(rule, condition(rule), parse(rule.step)) for rule in rules if rule.enabled)
        self._watching: dict[Metric, tuple[_Watch, ...]] = {}

    def reach(self, metric: Metric) -> int:
        """Give how many seconds of samples before a tick the rules must see of the metric; mostly none."""
        return max((reach(watch.rule) for watch in self._of(metric)), default=0)

    def judge(self, market: Market) -> Judged:
        """Judge one tick."""
        silent = self._silent(market)
        places = Places(market.scored)
        metrics: dict[Metric, Said] = {}
        for step in market.steps:
            said = self._judge_metric(step, market, silent, places)
            if said.states or said.alerts or said.over:
                metrics[step.metric] = said
        sources = {
            source: self._judge_source(source, market, silent, places)
            for source in sorted({*market.sources, *(source for _, source in silent)})
        }
        return _together(Judged(metrics, sources), market.told_before)

    def _of(self, metric: Metric) -> tuple[_Watch, ...]:
        watches = self._watching.get(metric)
        if watches is None:
            watches = tuple(watch for watch in self._watches if watch.rule.matches(metric))
            self._watching[metric] = watches
        return watches

    def _judge_metric(self, step: Step, market: Market, silent: Silent, places: Places) -> Said:
        record = step.found.record
        before = read_states(record.alerting) if record and record.alerting else {}
        if record and record.at == market.at:
            return Said(before)
        saying = _Saying(step.metric, before, market, places)
        for watch in self._of(step.metric):
            verdict = self._verdict(watch, step, market.at, places)
            told_elsewhere = (watch.rule.id, step.record.source) in silent
            self._move(saying, watch, verdict, aloud=not told_elsewhere)
        return saying.said()

    def _judge_source(self, source: str, market: Market, silent: Silent, places: Places) -> Said:
        saying = _Saying(f"{source}:*", market.sources.get(source, {}), market, places)
        for watch in self._watches:
            if watch.rule.kind is Kind.STALE:
                self._move(saying, watch, silent.get((watch.rule.id, source), QUIET))
        return saying.said()

    def _verdict(self, watch: _Watch, step: Step, at: int, places: Places) -> Verdict | None:
        if watch.judge:
            return watch.judge(step, at)
        rule = watch.rule
        if rule.kind is Kind.STALE:
            return Verdict(is_stale(step, at, rule.intervals * self._interval), since=step.record.newest)
        return places.verdict(rule, step.metric)

    def _move(self, saying: "_Saying", watch: _Watch, verdict: Verdict | None, *, aloud: bool = True) -> None:
        """Move one rule's state on, and let it speak, unless what it says is told elsewhere."""
        rule, at = watch.rule, saying.at
        state = saying.before.get(rule.id)
        if verdict is None:  # nothing to judge by: it stays where it is
            if state:
                saying.states[rule.id] = state
            return
        if state is None and not verdict.over and rule.kind is not Kind.RANK:
            return
        moved = advance(state or NEVER, over=verdict.over, at=at, hold=rule.for_)
        event = _event(watch, state, moved, verdict, at)
        if event and aloud:
            saying.alerts.append(self._alert(rule, event, saying, verdict))
        if state and state.phase is Phase.FIRING and moved.phase is Phase.RESOLVED and state.alert:
            saying.over.append(state.alert)
        if event and event != "resolved":
            moved = moved._replace(told_at=at, told_value=verdict.value, alert=alert_id(rule.id, saying.subject, at))
        if rule.kind is Kind.RANK or not forgets(moved, at, rule.cooldown):
            saying.states[rule.id] = moved

    def _silent(self, market: Market) -> Silent:
        """Give the sources all of whose metrics are stale, by each stale rule."""
        found: dict[tuple[str, str], list[Step]] = {}
        moving: set[tuple[str, str]] = set()
        for rule in [watch.rule for watch in self._watches if watch.rule.kind is Kind.STALE]:
            silence = rule.intervals * self._interval
            for step in market.steps:
                key = rule.id, step.record.source
                if step.sample or not is_stale(step, market.at, silence):
                    moving.add(key)
                elif key not in moving and rule.matches(step.metric):
                    found.setdefault(key, []).append(step)
        return {
            key: Verdict(True, since=max(step.record.newest for step in steps), metrics=len(steps))
            for key, steps in found.items()
            if key not in moving
        }

    def _alert(self, rule: Rule, event: str, saying: "_Saying", verdict: Verdict) -> Alert:
        subject, at = saying.subject, saying.at
        measure = rule.measure if rule.kind is not Kind.STALE else None
        rank, of = saying.places.place(measure, subject)
        return Alert(
            id=alert_id(rule.id, subject, at),
            rule=rule.id,
            name=rule.name or rule.id,
            kind=rule.kind,
            severity=rule.severity,
            event=event,
            metric=subject,
            measure=measure,
            at=at,
            value=verdict.value,
            mean=mean(verdict.baseline) if verdict.baseline else None,
            ratio=verdict.compared,
            samples=verdict.baseline.n if verdict.baseline else verdict.metrics,
            since=verdict.since,
            rank=rank,
            of=of,
            quiet=self._quiet(rule, subject, at),
            together=1,
            channels=rule.channels,
        )

    def _quiet(self, rule: Rule, subject: str, at: int) -> str | None:
        if rule.mute and is_muted(rule.mute, at):
            return "mute hours"
        covering = next((each for each in self._silences if each.covers(rule.id, subject, at)), None)
        return f"silence {covering.id}" if covering else None


class _Saying:
    """What is being said of one subject: the states before, and what becomes of them."""

    def __init__(self, subject: str, before: States, market: Market, places: Places) -> None:
        self.subject = subject
        self.at = market.at
        self.before = before
        self.places = places
        self.states: dict[str, State] = {}
        self.alerts: list[Alert] = []
        self.over: list[str] = []

    def said(self) -> Said:
        return Said(self.states, tuple(self.alerts), tuple(self.over))


def _event(watch: _Watch, state: State | None, moved: State, verdict: Verdict, at: int) -> str | None:
    """Name what there is to tell, if there is: `firing`, `resolved`, `enters` or `leaves`."""
    rule = watch.rule
    was = state.phase if state else None
    if rule.kind is Kind.RANK:
        if was is None:  # nobody enters at the first look
            return None
        happened = _crossed(was, moved.phase)
        wished = happened is not None and rule.event in (happened, "both")
        rested = moved.told_at is None or at - moved.told_at >= rule.cooldown
        return happened if wished and rested else None
    if speaks(moved, at, verdict.value, rule.cooldown, watch.step):
        return "firing"
    over = was is Phase.FIRING and moved.phase is Phase.RESOLVED and moved.told_at is not None
    return "resolved" if over and rule.resolved else None


def _crossed(was: Phase, now: Phase) -> str | None:
    if now is Phase.FIRING and was is not Phase.FIRING:
        return "enters"
    return "leaves" if was is Phase.FIRING and now is not Phase.FIRING else None


def _together(judged: Judged, told_before: Mapping[str, int]) -> Judged:
    """Tell every alert that is sent how many its rule has at this tick."""
    number = Counter(told_before)
    number.update(alert.rule for alert in judged.alerts() if alert.quiet is None)
    if all(many == 1 for many in number.values()):
        return judged

    def counted(said: Said) -> Said:
        if not said.alerts:
            return said
        return said._replace(alerts=tuple(each._replace(together=max(1, number[each.rule])) for each in said.alerts))

    return Judged(
        {metric: counted(said) for metric, said in judged.metrics.items()},
        {source: counted(said) for source, said in judged.sources.items()},
    )


NO_RULES = Engine((), (), 60)


def with_states(steps: Sequence[Step], judged: Judged) -> list[Step]:
    """Give the steps with the rules' states in their records, as they are committed."""
    if not judged.metrics:
        return [*steps]
    return [
        step._replace(record=step.record._replace(alerting=write_states(said.states)))
        if (said := judged.metrics.get(step.metric)) and said.states
        else step
        for step in steps
    ]


def write_states(states: States) -> dict[str, list[object]]:
    """Give states as they are kept in a record."""
    return {rule: list(state) for rule, state in states.items()}


def read_states(written: Mapping[str, Sequence[object]]) -> dict[str, State]:
    """Read what `write_states` wrote."""
    return {rule: State(Phase(str(phase)), *rest) for rule, (phase, *rest) in written.items()}  # type: ignore[arg-type]  # as written
