"""When an alert is recorded but not sent: somebody asked for silence, or the rule's mute hours. Pure."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .field_types import Id, Pattern, parse_pattern
from .mute_hours import is_muted
from .rule import Rule
from .validation import InvalidDocument, list_faults


class InvalidSilence(InvalidDocument):
    """A silence that cannot be meant."""


class Silence(BaseModel):
    """No message about the metrics of a pattern for a while."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: Id
    metrics: Pattern = "*"
    """Pattern of the metrics; a source that is silent as a whole, `kraken:*`, is one of `KRAKEN:*`."""
    rule: Annotated[str, Field(min_length=1, max_length=64)] = "*"
    """Pattern of the rules' ids."""
    start: Annotated[int, Field(ge=0, lt=10**10, alias="from")]
    """Unix seconds."""
    end: Annotated[int, Field(ge=0, lt=10**10, alias="to")]
    """Unix seconds; itself not silent any more."""
    comment: Annotated[str, Field(max_length=500)] = ""
    """Why."""

    @field_validator("metrics")
    @classmethod
    def _check_pattern(cls, value: str) -> str:
        return parse_pattern(value)

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.end <= self.start:
            raise ValueError("to: a time after `from`")
        return self

    def covers(self, rule: str, metric: str, at: int) -> bool:
        return (
            self.start <= at < self.end
            # Metrics are upper case, the names of sources are not.
            and fnmatchcase(metric.upper(), self.metrics)
            and fnmatchcase(rule, self.rule)
        )


def parse_silence(given: object) -> Silence:
    """Make a silence of a decoded document. Raises `WrongSilence`."""
    try:
        return Silence.model_validate(given)
    except ValidationError as error:
        raise InvalidSilence(list_faults(error, Silence)) from error


def find_suppression(rule: Rule, subject: str, at: int, silences: Sequence[Silence]) -> str | None:
    """Say why an alert is not sent; `None` where it is."""
    if rule.mute and is_muted(rule.mute, at):
        return "mute hours"
    covering = next((each for each in silences if each.covers(rule.id, subject, at)), None)
    return f"silence {covering.id}" if covering else None
