"""What a rule says, and whether it can be meant. When it holds is `conditions`' business."""

import re
from datetime import time
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    field_validator,
    model_validator,
)

from .. import decimals
from ..model import DAY, HOUR, By, Measure, Metric


class Kind(StrEnum):
    """What a rule watches for."""

    RATIO = "ratio"
    """The value is more than `factor` x the mean of the `window` before it."""
    THRESHOLD = "threshold"
    """The value is more than `above`, or less than `below`."""
    CHANGE = "change"
    """The value moved by more than `percent` within the `window`."""
    DEVIATION = "deviation"
    """The value is more than `score` standard deviations off the mean of the day before it."""
    RANK = "rank"
    """The metric enters or leaves the `top` places of a rank."""
    STALE = "stale"
    """No sample for `intervals` ticks."""
    FROZEN = "frozen"
    """For a `window`, the price did not move though volume traded, or the provider's own time stood still."""


class Severity(StrEnum):
    """How much it matters; a channel decides what that means (Pushover: its priority)."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


_UNITS = {"s": 1, "m": 60, "h": HOUR, "d": DAY}
LONGEST = DAY
"""Seconds. No window is longer than what is kept."""


def seconds(value: object) -> object:
    """Read a length of time: seconds, or `90s`, `15m`, `1h`, `1d`. Raises `ValueError`."""
    if isinstance(value, str):
        found = re.fullmatch(r"([0-9]{1,6})([smhd]?)", value.strip())
        if not found:
            raise ValueError("must be seconds, or a number with s, m, h or d behind it: 90s, 15m, 1h, 1d")
        return int(found[1]) * _UNITS[found[2] or "s"]
    return value


def _decimal(value: object) -> object:
    """Take a number as its decimal text, so that 0.1 stays a tenth."""
    text = str(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    if not decimals.is_number(text):
        raise ValueError("must be a decimal number")
    return text


def _written(text: str | None) -> int | float | None:
    if text is None:
        return None
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


Seconds = Annotated[int, BeforeValidator(seconds)]
Decimal = Annotated[str, BeforeValidator(_decimal), PlainSerializer(_written, when_used="json")]


class WrongRule(Exception):
    """A rule that cannot be meant. `errors` has (field, value, what is accepted) for each fault."""

    def __init__(self, errors: list[tuple[str, object, str]]) -> None:
        super().__init__("; ".join(f"{field}: {value!r} is not accepted: {why}" for field, value, why in errors))
        self.errors = errors


class Mute(BaseModel):
    """Hours of the day in which a rule is recorded but not sent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: time
    end: time
    """Before `start` where the hours go over midnight."""
    zone: str = "UTC"
    """Time zone, as in `Europe/Berlin`."""

    @field_validator("zone")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("must be a time zone's name, as in Europe/Berlin or UTC")
        return value

    @property
    def tz(self) -> ZoneInfo:
        return ZoneInfo(self.zone)


class Rule(BaseModel):
    """One rule. Fields that its kind does not use must not be given."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    name: Annotated[str, Field(max_length=120)] = ""
    kind: Kind
    metrics: Annotated[str, Field(min_length=1, max_length=120)] = "*"
    """Pattern of the metrics it watches: `KRAKEN:*`; `*` and `?` stand for any letters and for one."""
    measure: Measure = Measure.PRICE
    window: Annotated[Seconds, Field(ge=1, le=LONGEST)] = HOUR
    """Seconds."""
    min_samples: Annotated[int, Field(ge=1, le=86400)] = 30
    """Numbers that must be in the window before it says anything."""

    factor: Decimal = "3"
    above: Decimal | None = None
    below: Decimal | None = None
    percent: Decimal | None = None
    direction: Literal["up", "down", "both"] = "both"
    score: Decimal = "3"
    by: By = By.STDDEV
    top: Annotated[int, Field(ge=1, le=1000)] = 10
    event: Literal["enters", "leaves", "both"] = "both"
    intervals: Annotated[int, Field(ge=2, le=1440)] = 3

    for_: Annotated[Seconds, Field(ge=0, le=DAY, alias="for")] = 0
    """Seconds that it must hold before it speaks."""
    cooldown: Annotated[Seconds, Field(ge=0, le=30 * DAY)] = HOUR
    """Seconds of silence after it spoke."""
    step: Decimal = "3"
    """Within the cooldown it speaks again if the value is more than `step` x the last one told; 0: never."""
    severity: Severity = Severity.WARNING
    channels: tuple[str, ...] = ()
    """Names of the channels it is sent to; none named: to all."""
    mute: Mute | None = None
    resolved: bool = False
    """Whether to tell also when it is over."""
    enabled: bool = True

    @field_validator("metrics")
    @classmethod
    def _upper(cls, value: str) -> str:
        return value.upper()

    @model_validator(mode="before")
    @classmethod
    def _only_its_own(cls, given: Any) -> Any:
        if isinstance(given, dict):
            kind = given.get("kind")
            allowed = _OF_KIND[Kind(str(kind))] if kind in [*Kind] else _ANY_KIND
            for field in given:
                if field in _ANY_KIND and field not in allowed:
                    raise ValueError(f"{field}: a {kind} rule does not have it")
        return given

    @model_validator(mode="after")
    def _can_fire(self) -> Self:
        positive = {"factor": self.factor, "score": self.score, "percent": self.percent}
        for field, text in positive.items():
            if text is not None and decimals.parse(text)[0] <= 0:
                raise ValueError(f"{field}: {text} is not more than zero")
        if decimals.parse(self.step)[0] < 0:
            raise ValueError(f"step: {self.step} is less than zero")
        if self.kind is Kind.THRESHOLD and (self.above is None) == (self.below is None):
            raise ValueError("a threshold rule has either above or below")
        if self.kind is Kind.CHANGE and self.percent is None:
            raise ValueError("percent: a change rule must say by how much")
        if self.kind is Kind.RATIO and self.min_samples > self.window:
            raise ValueError(f"min_samples: {self.min_samples} samples never fit into {self.window} s")
        return self

    def matches(self, metric: Metric) -> bool:
        """Tell whether the rule watches the metric."""
        return fnmatchcase(metric, self.metrics)


_ANY_KIND = frozenset(
    [
        "measure",
        "window",
        "min_samples",
        "factor",
        "above",
        "below",
        "percent",
        "direction",
        "score",
        "by",
        "top",
        "event",
        "intervals",
    ]
)
_OF_KIND = {
    Kind.RATIO: frozenset({"measure", "window", "min_samples", "factor"}),
    Kind.THRESHOLD: frozenset({"measure", "above", "below"}),
    Kind.CHANGE: frozenset({"measure", "window", "percent", "direction"}),
    Kind.DEVIATION: frozenset({"measure", "min_samples", "score", "direction"}),
    Kind.RANK: frozenset({"measure", "by", "top", "event"}),
    Kind.STALE: frozenset({"intervals"}),
    Kind.FROZEN: frozenset({"window", "min_samples"}),
}


def parse_rule(given: object) -> Rule:
    """Make a rule of a decoded document. Raises `WrongRule` that names every field, value and what is accepted."""
    try:
        return Rule.model_validate(given)
    except ValidationError as error:
        raise WrongRule([_fault(each["loc"], each["input"], each["msg"]) for each in error.errors()]) from error


def _fault(where: tuple[int | str, ...], value: object, message: str) -> tuple[str, object, str]:
    message = message.removeprefix("Value error, ")
    if where:
        return ".".join(map(str, where)), value, message
    field, colon, reason = message.partition(": ")
    given = value.get(field) if isinstance(value, dict) else getattr(value, field, None)
    return (field, given, reason) if colon and " " not in field else ("kind", None, message)
