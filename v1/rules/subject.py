"""What the rules say of one subject, a metric or a source, at one tick: states moved on, alerts made. Pure."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..numbers.decimals import Number
from ..numbers.moments import round_mean_of
from .acknowledged import Acknowledged, explain_acknowledged, is_still_about
from .alert import Alert, make_alert_id
from .conditions import Verdict
from .phases import NEVER, Phase, RuleState, RuleStates, advance, can_forget, is_further, should_notify
from .rank_lookup import RankLookup
from .rule import Kind, Rule
from .silence import Silence, find_suppression


class RuleWatch(NamedTuple):
    """A rule, ready to speak."""

    rule: Rule
    step: Number
    """In the measure of the rule's extents, see `conditions.Verdict`."""
    goes_down: bool
    """Whether further means less."""


class SubjectResult(NamedTuple):
    """What the rules make of one metric, or of one source."""

    states: RuleStates
    """After the tick; what need not be remembered is not in it."""
    alerts: tuple[Alert, ...] = ()
    over: tuple[str, ...] = ()
    """Ids of alerts told before that are over now, or told again."""
    released: tuple[tuple[str, str], ...] = ()
    """What was acknowledged until it is over, and is: the rule and the subject."""


class SubjectEvaluator:
    """Moves the rules of one subject on, one after the other."""

    def __init__(  # noqa: PLR0913  # the last by name
        self,
        subject: str,
        at: int,
        before: RuleStates,
        places: RankLookup,
        silences: Sequence[Silence],
        *,
        acknowledged: Acknowledged,
    ) -> None:
        self._subject = subject
        self._at = at
        self._before = before
        self._places = places
        self._silences = silences
        self._acknowledged = acknowledged
        self._states: dict[str, RuleState] = {}
        self._alerts: list[Alert] = []
        self._over: list[str] = []
        self._released: list[tuple[str, str]] = []

    def evaluate(self, watch: RuleWatch, verdict: Verdict | None, *, is_aloud: bool = True) -> None:
        """Move one rule's state on, and let it speak, unless what it says is told elsewhere."""
        rule, at = watch.rule, self._at
        state = self._before.get(rule.id)
        if verdict is None:  # nothing to judge by: it stays where it is
            if state:
                self._states[rule.id] = state
            return
        moved = advance(state or NEVER, over=verdict.holds, at=at, hold=rule.for_)
        event = _find_event(watch, state, moved, verdict, at) if is_aloud else None
        if event == "resolved":
            self._record_alert(rule, event, verdict, None if state and state.sent else "its alert was not sent")
        elif event:
            moved = self._notify(rule, event, verdict, moved)
        if state and state.alert and moved.phase is Phase.RESOLVED:
            self._over.append(state.alert)
        self._release(rule.id, moved)
        # A rank rule remembers who is not on top, or nobody could be seen to enter.
        if rule.kind is Kind.RANK or not can_forget(moved, at, rule.cooldown):
            self._states[rule.id] = moved

    def drop(self, rules: Iterable[str]) -> None:
        """Let go of rules that there are no more, or that do not watch this any more: what they told is over."""
        for rule in sorted(rules):
            alert = self._before[rule].alert
            if alert:
                self._over.append(alert)
            self._release(rule, None)

    def finish(self) -> SubjectResult:
        return SubjectResult(self._states, tuple(self._alerts), tuple(self._over), tuple(self._released))

    def _release(self, rule: str, state: RuleState | None) -> None:
        """Note that what somebody has acknowledged is over, where it is."""
        found = self._acknowledged.get((rule, self._subject))
        if found and not (state and is_still_about(found, state)):
            self._released.append((rule, self._subject))

    def _find_acknowledged(self, rule: str, state: RuleState) -> str | None:
        """Return why nothing is sent while a rule is in a state; `None` where nobody has acknowledged what it tells of."""
        found = self._acknowledged.get((rule, self._subject))
        return explain_acknowledged(found) if found and is_still_about(found, state) else None

    def _notify(self, rule: Rule, event: str, verdict: Verdict, state: RuleState) -> RuleState:
        """Tell, and return the state that remembers it."""
        alert = self._record_alert(rule, event, verdict, self._find_acknowledged(rule.id, state))
        if state.alert:
            self._over.append(state.alert)  # this one speaks on in its place
        state = state._replace(notified_at=self._at, last_notified_magnitude=verdict.magnitude)
        if state.phase is not Phase.FIRING:
            return state
        return state._replace(alert=alert.id, sent=state.sent or alert.suppressed_by is None)

    def _record_alert(self, rule: Rule, event: str, verdict: Verdict, unsent: str | None) -> Alert:
        alert = self._make_alert(rule, event, verdict, unsent)
        self._alerts.append(alert)
        return alert

    def _make_alert(self, rule: Rule, event: str, verdict: Verdict, unsent: str | None) -> Alert:
        subject, at, is_rank = self._subject, self._at, rule.kind is Kind.RANK
        measure = None if rule.kind is Kind.STALE else rule.measure
        rank = of = None
        if measure:
            rank, of = self._places.find_place(measure, subject, rule.by)
        value = str(rank) if is_rank and rank else verdict.value
        return Alert(
            id=make_alert_id(rule.id, subject, at),
            rule=rule.id,
            name=rule.name or rule.id,
            kind=rule.kind,
            severity=rule.severity,
            event=event,
            metric=subject,
            measure=measure,
            at=at,
            value=value,
            mean=round_mean_of(verdict.baseline) if verdict.baseline else None,
            ratio=verdict.compared,
            samples=verdict.baseline.n if verdict.baseline else verdict.metrics,
            since=verdict.since,
            rank=rank,
            of=of,
            suppressed_by=unsent or find_suppression(rule, subject, at, self._silences),
            group_size=1,
            channels=rule.channels,
            reference=verdict.reference,
            reference_kind=verdict.reference_kind,
        )


def _find_event(watch: RuleWatch, state: RuleState | None, moved: RuleState, verdict: Verdict, at: int) -> str | None:
    """Name what there is to tell, if there is: `firing`, `resolved`, `enters` or `leaves`."""
    rule = watch.rule
    if rule.kind is Kind.RANK:
        return _find_crossing(rule, state, moved, at)
    has_moved_on = is_further(verdict.magnitude, moved.last_notified_magnitude, watch.step, down=watch.goes_down)
    if should_notify(moved, at, rule.cooldown, moved_on=has_moved_on):
        return "firing"
    is_over = state is not None and state.alert is not None and moved.phase is Phase.RESOLVED
    return "resolved" if is_over and rule.resolved else None


def _find_crossing(rule: Rule, state: RuleState | None, moved: RuleState, at: int) -> str | None:
    """Name what a rank rule tells; at the first look at a metric nobody enters."""
    was, now = state and state.phase is Phase.FIRING, moved.phase is Phase.FIRING
    if state is None or was == now:
        return None
    event = "enters" if now else "leaves"
    is_rested = moved.notified_at is None or at - moved.notified_at >= rule.cooldown
    return event if is_rested and rule.event in (event, "both") else None
