"""Query parameters: the models that routes share, the parsing of times and steps, and what a field accepts in words."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from ..model import DAY, HOUR, MINUTE, By, Measure
from ..numbers.times import parse_iso
from .examples import EXAMPLE_METRIC

UNITS = {"": 1, "s": 1, "m": MINUTE, "h": HOUR, "d": DAY}
MILLISECONDS = 10**11
"""Seconds from here on are after the year 5000; who writes that means milliseconds."""

TIME_ACCEPTED = (
    "unix seconds (1621296000), ISO 8601 (2021-05-18T00:00:00Z; without a zone: UTC), now, or -1h, -30m, -90s"
)
ANY_TIME_ACCEPTED = f"{TIME_ACCEPTED}, +1h, +30m, +90s"
STEP_ACCEPTED = "seconds (300) or a number with s, m, h or d (5m), from the interval up to a day"

_SECONDS = re.compile(r"[0-9]{1,16}(\.[0-9]{1,9})?")
_LENGTH = re.compile(r"([0-9]{1,7})([smhd]?)")
# In a query an unescaped + arrives as a space.
_FROM_NOW = re.compile(r"(?:now)?([-+ ])([0-9]{1,7})([smhd])")
_SPACED_ZONE = re.compile(r"(T[0-9:.]+) ([0-9]{2}:?[0-9]{2})")


class QueryParams(BaseModel):
    """The parameters of one route. Any other is refused, so that a typing error does not pass for a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoParams(QueryParams):
    """The parameters of a route that has none."""


class Format(StrEnum):
    """How the answer is written."""

    JSON = "json"
    CSV = "csv"
    NDJSON = "ndjson"
    ARROW = "arrow"


ALL_FORMATS = tuple(Format)


class TimeFormat(StrEnum):
    """How times are written."""

    UNIX = "unix"
    ISO = "iso"


class TableParams(QueryParams):
    """How CSV is written."""

    time: Annotated[
        TimeFormat,
        Field(description="How times are written: unix seconds, or ISO 8601 in UTC (`2021-05-18T00:00:00Z`)."),
    ] = TimeFormat.UNIX
    bom: Annotated[
        bool, Field(description="Whether it begins with a byte order mark, by which Excel knows that it is UTF-8.")
    ] = False


class FormatParams(QueryParams):
    """In which format; each has an operation of its own, too, and in the OpenAPI document that alone."""

    format: Annotated[Format | None, Field(description="Without it, as the header `Accept` says; else JSON.")] = None


class TextFormatParams(QueryParams):
    """In which of the formats that are text; as `FormatParams`."""

    format: Annotated[
        Literal["json", "csv", "ndjson"] | None,
        Field(description="Without it, as the header `Accept` says; else JSON."),
    ] = None


class JsonOrCsvParams(QueryParams):
    """In which of two formats; as `FormatParams`."""

    format: Annotated[
        Literal["json", "csv"] | None,
        Field(description="Without it, as the header `Accept` says; else JSON."),
    ] = None


# Not a NamedTuple: FastAPI hands a field of tuple type the list of all values of its name.
@dataclass(frozen=True, slots=True)
class TimeParam:
    """A time that was asked for: unix seconds, or seconds from now."""

    seconds: int
    is_from_now: bool

    def resolve(self, now: int) -> int:
        return now + self.seconds if self.is_from_now else self.seconds


def parse_time(written: object) -> TimeParam:
    """Read a time of the past, or an absolute one."""
    return _parse_time_text(str(written), TIME_ACCEPTED, is_past=True)


def parse_any_time(written: object) -> TimeParam:
    """Read a time of the past or the future."""
    return _parse_time_text(str(written), ANY_TIME_ACCEPTED, is_past=False)


def _parse_time_text(written: str, accepted: str, *, is_past: bool) -> TimeParam:
    text = written.strip()
    if _SECONDS.fullmatch(text):
        seconds = int(text.partition(".")[0])
        if seconds >= MILLISECONDS:
            raise _make_error(f"{accepted}; this looks like milliseconds")
        return TimeParam(seconds, is_from_now=False)
    if text.lower() == "now":
        return TimeParam(0, is_from_now=True)
    away = _FROM_NOW.fullmatch(text) or _FROM_NOW.fullmatch(written.rstrip())
    if away and away[1] != "-" and is_past:
        raise _make_error(f"{accepted}; a time from now on is not accepted here")
    if away:
        return TimeParam(int(away[2]) * UNITS[away[3]] * (-1 if away[1] == "-" else 1), is_from_now=True)
    return TimeParam(_parse_iso(text, accepted), is_from_now=False)


def _parse_iso(text: str, accepted: str) -> int:
    try:
        # In a query an unescaped + arrives as a space: 2021-05-18T02:00:00+02:00.
        seconds = parse_iso(_SPACED_ZONE.sub(r"\1+\2", text))
    except ValueError as error:
        raise _make_error(accepted) from error
    if seconds < 0:
        raise _make_error(f"{accepted}; not before 1970")
    return seconds


def parse_step(written: object) -> int:
    """Read a length of time, in seconds."""
    found = _LENGTH.fullmatch(str(written).strip())
    seconds = int(found[1]) * UNITS[found[2]] if found else 0
    if not 0 < seconds <= DAY:
        raise _make_error(STEP_ACCEPTED)
    return seconds


def _make_error(accepted: str) -> PydanticCustomError:
    return PydanticCustomError("not_accepted", "{accepted}", {"accepted": accepted})


def _time_schema(signs: str) -> dict[str, Any]:
    return {
        "anyOf": [
            {"type": "number", "minimum": 0, "exclusiveMaximum": MILLISECONDS},
            {"type": "string", "format": "date-time"},
            {"type": "string", "format": "date"},
            {"type": "string", "pattern": f"^(now|(now)?[{signs}][0-9]{{1,7}}[smhd])$"},
        ]
    }


TIME_SCHEMA = _time_schema("-")
ANY_TIME_SCHEMA = _time_schema("+-")
_STEP_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": DAY},
        {"type": "string", "pattern": "^[1-9][0-9]{0,2}[smh]$"},
    ]
}

Time = Annotated[TimeParam, PlainValidator(parse_time), WithJsonSchema(TIME_SCHEMA)]
AnyTime = Annotated[TimeParam, PlainValidator(parse_any_time), WithJsonSchema(ANY_TIME_SCHEMA)]
"""Of the past or the future."""
Step = Annotated[int, PlainValidator(parse_step), WithJsonSchema(_STEP_SCHEMA)]
Name = Annotated[str, Path(description="`EXCHANGE:PAIR`, in whatever case.", examples=[EXAMPLE_METRIC])]
Limit = Annotated[int, Field(ge=1, le=1000, description="How many at most.")]
MeasureParam = Annotated[Measure, Field(description="Which of the numbers of a sample.")]
ByParam = Annotated[By, Field(description="`stddev` in the measure's own unit, or `cv`, divided by the mean.")]


def describe_accepted(error: Mapping[str, Any], params: type[BaseModel]) -> str:
    """Say what would be accepted in place of what `error`, one of pydantic's, is about."""
    context = error.get("ctx", {})
    if error["type"] == "extra_forbidden":
        names = ", ".join(field.alias or name for name, field in params.model_fields.items())
        return f"the parameters {names}" if names else "no parameters"
    for name, field in params.model_fields.items():
        if error["loc"][-1] in (name, field.alias) and (bounds := _describe_bounds(field)):
            return bounds
    # pydantic puts the words of a list into quotation marks.
    return str(context.get("accepted") or context.get("expected", "").replace("'", "") or error["msg"])


def _describe_bounds(field: FieldInfo) -> str | None:
    least = [bound.ge for bound in field.metadata if isinstance(bound, Ge)]
    most = [bound.le for bound in field.metadata if isinstance(bound, Le)]
    return f"a whole number from {least[0]} to {most[0]}" if least and most else None
