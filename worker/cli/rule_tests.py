"""
Unit tests of rules, in TOML: series of samples in, expected alerts out. Pure: reads no file and prints nothing.

    rules_file = "rules.toml"           beside this file; or [[rules]] right here, or both
    interval = "1m"                     between two samples; a minute where it is not given

    [[tests]]
    name = "a spike is told once"
    metric = "KRAKEN:BTCUSD"
    series.interval_volume = "100x60 301 _ 50"
    expected = [{ at = "60m", rule = "volume-spike", value = 301 }]

A series is samples with blanks between: `100` one, `100x60` sixty, `_` none, `_x5` none five times,
`100+2x10` ten that rise by 2 from 100 on, `100-2x10` ten that fall. The first is at 0, `start` on the
clock. Of a metric without a series of prices the price is 1. Several metrics are given as
`[tests.metrics."KRAKEN:BTCUSD"]` with a series each, and `source` names who gave them.

An alert is expected with the time since the first sample, the rule, and whatever else of it matters.
One that is expected not to be sent says so: `suppressed_by = true`, or the reason. All that is said must be
expected, and all that is expected must be said.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from worker.latest import MINUTE, Measure, Metric, Reading, decimals
from worker.latest.backtest import BacktestInput, Tick, play
from worker.latest.market import SourceReading
from worker.latest.rules import Alert, InvalidDocument, InvalidFile, Rule, Seconds, list_faults, read_rules, read_toml

START = datetime(2021, 1, 1, tzinfo=UTC)
FIRST_YEAR, LAST_YEAR = 1971, 2200
MOST_SAMPLES = 100_000
"""Of one series."""
_FINEST = -30
"""Places of a number that an alert's is compared with: it is rounded to as many."""
_SAMPLES = re.compile(r"(?:(_)|(-?[0-9.eE]+)(?:([+-])([0-9.eE]+))?)(?:x([0-9]{1,6}))?")
_SHAPE = "samples with blanks between: 100, 100x60, 100+2x10, _ or _x5"
# In the order of a reading; the return since the sample before follows from the price.
_SERIES = [measure for measure in Measure if measure is not Measure.INTERVAL_RETURN]


def _check_number(value: Decimal | int) -> Decimal | int:
    """Refuse what no number of an alert can be, and what would be rounded to more places than arithmetic takes."""
    if not decimals.is_number(f"{value}") or Decimal(value).as_tuple().exponent < _FINEST:  # type: ignore[operator]  # finite
        raise ValueError("a decimal number of 60 digits at most, 30 of them behind the point")
    return value


Given = Annotated[Decimal | int, AfterValidator(_check_number)]
"""A number of an alert."""


class ExpectedAlert(BaseModel):
    """An alert that must be said; of what is not given it does not matter what it is."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    at: Seconds
    rule: str
    metric: str | None = None
    event: str | None = None
    measure: str | None = None
    severity: str | None = None
    value: Given | None = None
    mean: Given | None = None
    ratio: Given | None = None
    samples: int | None = None
    rank: int | None = None
    of: int | None = None
    group_size: int | None = None
    suppressed_by: bool | str = False


class RuleTest(BaseModel):
    """One test."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    metric: str | None = None
    series: Mapping[str, str] = {}
    metrics: Mapping[str, Mapping[str, str]] = {}
    source: str = "test"
    start: datetime = START
    expected: list[ExpectedAlert] = []

    @model_validator(mode="after")
    def _check_series(self) -> "RuleTest":
        if bool(self.metric and self.series) == bool(self.metrics):
            raise ValueError("metric: one, with a series of each measure, or several as `metrics`")
        return self

    @field_validator("start")
    @classmethod
    def _check_start(cls, value: datetime) -> datetime:
        if not FIRST_YEAR <= value.year <= LAST_YEAR:
            raise ValueError(f"a time from {FIRST_YEAR} to {LAST_YEAR}")
        return value

    @property
    def all_series(self) -> Mapping[str, Mapping[str, str]]:
        return self.metrics or {str(self.metric): self.series}

    @property
    def first_tick(self) -> int:
        return int((self.start if self.start.tzinfo else self.start.replace(tzinfo=UTC)).timestamp())


class RuleTestSuite(BaseModel):
    """A file of tests."""

    model_config = ConfigDict(extra="forbid")

    rules_file: str | None = None
    interval: Annotated[Seconds, Field(ge=1, le=3600)] = MINUTE
    rules: list[Any] = []
    tests: Annotated[list[RuleTest], Field(min_length=1)]

    def parse_rules(self) -> tuple[Rule, ...]:
        """Return the rules that stand in the file itself. Raises `WrongFile`."""
        return read_rules(self.rules, self.interval)


class RuleTestResult(NamedTuple):
    """What came of one test."""

    name: str
    missing: Sequence[ExpectedAlert]
    """Expected, and not said."""
    surplus: Sequence[Alert]
    """Said, and not expected."""
    first: int

    @property
    def is_passed(self) -> bool:
        return not self.missing and not self.surplus

    def describe(self) -> Iterator[str]:
        """Tell the outcome, line by line."""
        yield f"{'passed' if self.is_passed else 'FAILED'}  {self.name}"
        for expected in self.missing:
            yield f"    expected and not said:  {_describe_expected(expected)}"
        for alert in self.surplus:
            yield f"    said and not expected:  {_describe_alert(alert, self.first)}"


def read_suite(text: str) -> RuleTestSuite:
    """Read a file of tests. Raises `WrongFile`."""
    try:
        return RuleTestSuite.model_validate(read_toml(text))
    except ValidationError as error:
        raise InvalidFile("\n".join(InvalidDocument(list_faults(error, RuleTestSuite)).list_lines)) from error


def run_test(case: RuleTest, rules: Sequence[Rule], interval: int) -> RuleTestResult:
    """Run one test. Raises `WrongFile` where its series cannot be read."""
    first = case.first_tick // interval * interval
    said = [*play(_make_ticks(case, first, interval), BacktestInput(rules, (), interval)).alerts]
    missing = []
    for expected in case.expected:
        found = next((alert for alert in said if _is_expected(alert, expected, first)), None)
        if found:
            said.remove(found)
        else:
            missing.append(expected)
    return RuleTestResult(case.name, missing, said, first)


def _make_ticks(case: RuleTest, first: int, interval: int) -> Iterator[Tick]:
    series = {
        Metric(metric): {_measure(case, name): _expand_samples(case, written) for name, written in measures.items()}
        for metric, measures in case.all_series.items()
    }
    longest = max((len(samples) for measures in series.values() for samples in measures.values()), default=0)
    for number in range(longest):
        heard = {}
        for metric, measures in series.items():
            values = {name: samples[number] for name, samples in measures.items() if number < len(samples)}
            price = values.pop(Measure.PRICE, None)
            if Measure.PRICE not in measures and any(values.values()):
                price = "1"
            if price is not None:
                volume, percentage, absolute, traded = [values.get(measure) for measure in _SERIES[1:]]
                heard[metric] = SourceReading(Reading(price, volume, percentage, absolute, traded), case.source)
        yield first + number * interval, heard


def _measure(case: RuleTest, name: str) -> Measure:
    if name not in _SERIES:
        raise InvalidFile(f"test {case.name!r}: series.{name} is not accepted; accepted: {', '.join(_SERIES)}")
    return Measure(name)


def _expand_samples(case: RuleTest, written: str) -> list[str | None]:
    samples: list[str | None] = []
    for word in written.split():
        found = _SAMPLES.fullmatch(word)
        numbers = [found[2], found[4]] if found else []
        if not found or not all(number is None or decimals.is_number(number) for number in numbers):
            raise InvalidFile(f"test {case.name!r}: {word!r} is not accepted in a series; accepted: {_SHAPE}")
        many = int(found[5] or 1)
        if len(samples) + many > MOST_SAMPLES:
            raise InvalidFile(f"test {case.name!r}: {written!r} is too long; accepted: {MOST_SAMPLES} samples")
        samples += [None] * many if found[1] else _expand_numbers(found[2], f"{found[3] or ''}{found[4] or 0}", many)
    return samples


def _expand_numbers(start: str, step: str, many: int) -> list[str]:
    with localcontext(prec=200):
        return [f"{Decimal(start) + number * Decimal(step):f}" for number in range(many)]


def _is_expected(alert: Alert, expected: ExpectedAlert, first: int) -> bool:
    if (alert.at, alert.rule) != (first + expected.at, expected.rule):
        return False
    if (
        alert.suppressed_by != expected.suppressed_by
        if isinstance(expected.suppressed_by, str)
        else bool(alert.suppressed_by) != expected.suppressed_by
    ):
        return False
    exactly = ("metric", "event", "measure", "severity", "samples", "rank", "of", "group_size")
    return all(getattr(expected, name) in (None, getattr(alert, name)) for name in exactly) and all(
        _is_number(getattr(alert, name), getattr(expected, name)) for name in ("value", "mean", "ratio")
    )


def _is_number(said: str | float | None, expected: Decimal | int | None) -> bool:
    """Return whether a number is the expected one, to as many places as that has."""
    if expected is None:
        return True
    if said is None:
        return False
    wanted = Decimal(expected)
    if isinstance(said, str):
        return Decimal(said) == wanted
    with localcontext(prec=200):
        return Decimal(repr(said)).quantize(wanted) == wanted


def _describe_expected(expected: ExpectedAlert) -> str:
    given = {name: value for name, value in expected if name in expected.model_fields_set - {"at", "rule"}}
    return _describe(expected.at, expected.rule, given)


def _describe_alert(alert: Alert, first: int) -> str:
    told = ("metric", "event", "value", "mean", "ratio", "samples", "rank", "suppressed_by")
    given = {name: getattr(alert, name) for name in told if getattr(alert, name) is not None}
    return _describe(alert.at - first, alert.rule, given)


def _describe(at: int, rule: str, given: Mapping[str, object]) -> str:
    when = f"{at // MINUTE}m" if at % MINUTE == 0 else f"{at}s"
    return f"at {when}, {rule}{''.join(f', {name} {value}' for name, value in given.items())}"
