"""What a rule says, and whether it can be meant. When it holds is `conditions`' business."""

from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..model import DAY, HOUR, By, Measure, Metric
from ..numbers import decimals
from .field_types import LONGEST, Count, Decimal, Flag, Id, Pattern, Seconds, parse_pattern
from .mute_hours import MuteHours
from .validation import Fault, InvalidDocument, list_faults


class Kind(StrEnum):
    """What a rule watches for."""

    RATIO = "ratio"
    """The value is more than `factor` x the mean of the `window` before it."""
    THRESHOLD = "threshold"
    """The value is more than `above`, or less than `below`."""
    CHANGE = "change"
    """The value is more than `percent` off the lowest or the highest one (or the first) of the `window` before it."""
    DEVIATION = "deviation"
    """The value is more than `score` standard deviations off the mean of the day before it."""
    RANK = "rank"
    """The metric enters or leaves the `top` places of a rank."""
    STALE = "stale"
    """No sample for `intervals` ticks."""
    FROZEN = "frozen"
    """For a `window`, the price did not move though volume trades, or the provider's own time stood still."""


class Severity(StrEnum):
    """How much it matters; a channel decides what that means (Pushover: its priority)."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


RESERVED = "backtest"
"""No rule is called so: in the API that is a place of its own."""
ENOUGH = 30
"""Numbers that a window must hold where a rule does not say how many, or half of what fits into it."""
NEVER_NEGATIVE = (Measure.PRICE, Measure.VOLUME, Measure.INTERVAL_VOLUME)
FROM_START = "start"
_WHOLE = 100
"""Percent."""


class InvalidRule(InvalidDocument):
    """A rule that cannot be meant."""


class Rule(BaseModel):
    """One rule. Fields that its kind does not use must not be given."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: Id
    name: Annotated[str, Field(max_length=120)] = ""
    """For people; without one, the id."""
    kind: Kind
    """What it watches for."""
    metrics: Pattern = "*"
    """Pattern of the metrics it watches: `KRAKEN:*`; `*` and `?` stand for any letters and for one."""
    measure: Measure = Measure.PRICE
    """Which number of a sample it judges."""
    window: Annotated[Seconds, Field(ge=1, le=LONGEST)] = HOUR
    """How far it looks back: seconds, or `15m`, `1h`; a day at most."""
    min_samples: Annotated[Count, Field(ge=1, le=DAY)] | None = None
    """Numbers that must be in the window (of rank rules: in the day) before it speaks; else half of what fits, 30 at most."""

    factor: Decimal = "3"
    """The value must be more than so many times the mean."""
    above: Decimal | None = None
    """The value must be more than that."""
    below: Decimal | None = None
    """The value must be less than that."""
    percent: Decimal | None = None
    """The value must have moved by more than that."""
    direction: Literal["up", "down", "both"] = "both"
    """Which way it must have moved."""
    since: Literal["extreme", "start"] = "extreme"
    """From what a change is counted: the lowest value of the window (upwards) and the highest (downwards), or its first."""
    score: Decimal = "3"
    """The value must be more than so many standard deviations off the mean."""
    by: By = By.STDDEV
    """What the rank is made by."""
    top: Annotated[Count, Field(ge=1, le=1000)] = 10
    """How many places are on top."""
    event: Literal["enters", "leaves", "both"] = "both"
    """What is told."""
    intervals: Annotated[Count, Field(ge=2, le=1440)] = 3
    """Without a sample for so many ticks a metric is stale."""

    for_: Annotated[Seconds, Field(ge=0, le=DAY, alias="for")] = 0
    """Seconds that it must hold before it speaks."""
    cooldown: Annotated[Seconds, Field(ge=0, le=30 * DAY)] = HOUR
    """Seconds of silence after it spoke."""
    step: Decimal = "3"
    """Within the cooldown it speaks again if it is more than `step` x as far as when it last did, exactly; 0: never."""
    severity: Severity = Severity.WARNING
    """How much it matters."""
    channels: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=64)], ...], Field(max_length=20)] = ()
    """Names of the channels it is sent to; none named: to all."""
    mute: MuteHours | None = None
    """Hours in which it is recorded and not sent."""
    resolved: Flag = False
    """Whether to tell also when it is over."""
    enabled: Flag = True
    """Whether it is judged at all."""

    @field_validator("id")
    @classmethod
    def _check_id(cls, value: str) -> str:
        if value == RESERVED:
            raise ValueError(f"another id; {RESERVED} is where rules are tried")
        return value

    @field_validator("metrics")
    @classmethod
    def _check_pattern(cls, value: str) -> str:
        return parse_pattern(value)

    @model_validator(mode="before")
    @classmethod
    def _only_its_own(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("kind") in [*Kind]:
            kind = Kind(given["kind"])
            for field in given:
                if field in OF_ANY_KIND and field not in OF_KIND[kind]:
                    own = ", ".join(name for name in OF_ANY_KIND if name in OF_KIND[kind])
                    raise ValueError(f"{field}: nothing; a {kind} rule does not have it, but {own}")
        return given

    @model_validator(mode="after")
    def _check_firing(self) -> Self:
        for field in ("factor", "score", "percent"):
            number = getattr(self, field)
            if number is not None and decimals.parse_decimal(number)[0] <= 0:
                raise ValueError(f"{field}: a number above zero")
        units, places = decimals.parse_decimal(self.step)
        if units < 0 or 0 < units < decimals.power_of_ten(places):
            raise ValueError("step: 0, or a number from 1 up")
        if self.kind is Kind.THRESHOLD:
            self._check_bounds()
        if self.kind is Kind.CHANGE:
            self._check_change()
        return self

    def _check_bounds(self) -> None:
        if (self.above is None) == (self.below is None):
            raise ValueError("above: a number, or one for `below` instead: a threshold rule has one of the two")
        if self.below is not None and self.measure in NEVER_NEGATIVE and decimals.parse_decimal(self.below)[0] <= 0:
            raise ValueError(f"below: a number above zero; {self.measure} is never less, so it could never fire")

    def _check_change(self) -> None:
        if self.percent is None:
            raise ValueError("percent: a number above zero; a change rule must say by how much")
        units, places = decimals.parse_decimal(self.percent)
        if (
            self.direction == "down"
            and self.measure in NEVER_NEGATIVE
            and units >= _WHOLE * decimals.power_of_ten(places)
        ):
            raise ValueError(f"percent: less than 100; {self.measure} never falls by more, so it could never fire")

    def matches(self, metric: Metric) -> bool:
        """Return whether the rule watches the metric."""
        return fnmatchcase(metric, self.metrics)

    def count_fitting_samples(self, interval: int) -> int:
        """Return how many samples there can be in what it looks back on."""
        return DAY // interval - 1 if self.kind in (Kind.DEVIATION, Kind.RANK) else self.window // interval

    def find_min_samples(self, interval: int) -> int:
        """Return how many numbers must be there before it says anything."""
        return (
            max(1, min(ENOUGH, self.count_fitting_samples(interval) // 2))
            if self.min_samples is None
            else self.min_samples
        )

    def write_fields(self) -> dict[str, object]:
        """Return the fields of its kind as a document: numbers as decimal text, the rest as JSON has it."""
        whole = self.model_dump(mode="json", by_alias=True)
        return {name: value for name, value in whole.items() if name not in OF_ANY_KIND or name in OF_KIND[self.kind]}


DECIMALS = frozenset({"factor", "above", "below", "percent", "score", "step"})
"""The fields that are numbers kept as decimal text."""
OF_ANY_KIND = (
    "measure",
    "window",
    "min_samples",
    "factor",
    "above",
    "below",
    "percent",
    "direction",
    "since",
    "score",
    "by",
    "top",
    "event",
    "intervals",
)
OF_KIND = {
    Kind.RATIO: frozenset({"measure", "window", "min_samples", "factor"}),
    Kind.THRESHOLD: frozenset({"measure", "above", "below"}),
    Kind.CHANGE: frozenset({"measure", "window", "percent", "direction", "since"}),
    Kind.DEVIATION: frozenset({"measure", "min_samples", "score", "direction"}),
    Kind.RANK: frozenset({"measure", "min_samples", "by", "top", "event"}),
    Kind.STALE: frozenset({"intervals"}),
    Kind.FROZEN: frozenset({"window", "min_samples"}),
}


def parse_rule(given: object, interval: int = 1) -> Rule:
    """
    Make a rule of a decoded document, for samples every `interval` seconds.

    Raises `InvalidRule` that names every field, value and what is accepted.
    """
    try:
        rule = Rule.model_validate(given)
    except ValidationError as error:
        raise InvalidRule(list_faults(error, Rule)) from error
    fault = explain_never_fires(rule, interval)
    if fault:
        raise InvalidRule([fault])
    return rule


def explain_never_fires(rule: Rule, interval: int) -> Fault | None:
    """Tell why a rule can never fire at one sample every `interval` seconds; `None` where it can."""
    if "window" in OF_KIND[rule.kind] and rule.window < interval:
        return "window", rule.window, f"{interval} seconds or more: there is one sample every {interval}"
    fits = rule.count_fitting_samples(interval)
    if "min_samples" in OF_KIND[rule.kind] and rule.find_min_samples(interval) > fits:
        return "min_samples", rule.min_samples, f"{fits} or less: there is one sample every {interval} seconds"
    return None
