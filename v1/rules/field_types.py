"""The types of the fields of rules: what each takes, as a validator and as a schema for the description of the API."""

import re
from datetime import time
from decimal import Decimal as Exact
from math import isfinite
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from ..model import DAY, HOUR, MINUTE
from ..numbers import decimals

LONGEST = DAY
"""Seconds. No window is longer than what is kept."""
LENGTH_ACCEPTED = "seconds, or a number with s, m, h or d behind it: 90s, 15m, 1h, 1d"
_MOST_SECONDS = 10**9
"""More than any length may be."""
_MOST_BITS = 1000
_UNITS = {"": 1, "s": 1, "m": MINUTE, "h": HOUR, "d": DAY}
_TIME_OF_DAY = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?"


def parse_seconds(value: object) -> object:
    """Read a length of time: seconds, or `90s`, `15m`, `1h`, `1d`. Raises `ValueError`."""
    if isinstance(value, bool):
        raise ValueError(LENGTH_ACCEPTED)  # noqa: TRY004  # pydantic listens to a ValueError
    if isinstance(value, str):
        found = re.fullmatch(r"([0-9]{1,9})([smhd]?)", value)
        if not found:
            raise ValueError(LENGTH_ACCEPTED)
        return int(found[1]) * _UNITS[found[2]]
    if isinstance(value, float | Exact) and _is_short(value) and value == int(value):
        return int(value)
    if not isinstance(value, int):
        raise ValueError(LENGTH_ACCEPTED)  # noqa: TRY004
    return value


def _is_short(value: float | Exact) -> bool:
    """Return whether a number can be taken as whole: with an exponent of 999999999 that would take hours."""
    # Of what is not a number a decimal refuses to say whether it is less.
    return isfinite(value) and -_MOST_SECONDS < value < _MOST_SECONDS


def parse_pattern(value: str) -> str:
    """Read a pattern of metrics; raises `ValueError` where it can match none."""
    # `[` would begin a set of letters, which no metric needs and nobody expects.
    if not re.fullmatch(r"[^\s\[\]]+", value) or not set(value) & set(":*?"):
        raise ValueError("EXCHANGE:PAIR, where * stands for any letters and ? for one: KRAKEN:BTCUSD, KRAKEN:*, *")
    return value.upper()


def _decimal(value: object) -> object:
    """Take a number as its decimal text, so that 0.1 stays a tenth."""
    is_one = isinstance(value, int | float | str | Exact) and not isinstance(value, bool)
    text = str(value) if is_one and not _is_huge(value) else None
    text = decimals.remove_exponent(text) if text and decimals.is_number(text) else None
    if not decimals.is_number(text):  # without its exponent it may be too long
        raise ValueError("a decimal number")
    return text


def _is_huge(value: object) -> bool:
    """Return whether a number is too large to be written down: Python takes no more than 4,300 digits."""
    return isinstance(value, int) and value.bit_length() > _MOST_BITS


def _time_of_day(value: object) -> object:
    if isinstance(value, time) and value.tzinfo is None and not value.microsecond:
        return value
    if not isinstance(value, str) or not re.fullmatch(_TIME_OF_DAY, value):
        raise ValueError("a time of day without a zone: 22:00 or 22:00:00")
    return value


def _either(number: dict[str, Any], pattern_: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [number, {"type": "string", "pattern": pattern_}]})


Seconds = Annotated[int, BeforeValidator(parse_seconds), _either({"type": "integer"}, "^[0-9]{1,9}[smhd]?$")]
Decimal = Annotated[str, BeforeValidator(_decimal), _either({"type": "number"}, f"^{decimals.GRAMMAR}$")]
TimeOfDay = Annotated[
    time, BeforeValidator(_time_of_day), WithJsonSchema({"type": "string", "pattern": f"^{_TIME_OF_DAY}$"})
]
Pattern = Annotated[str, Field(min_length=1, max_length=120)]
Count = Annotated[int, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Id = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
        description="1 to 64 small letters, digits, '.', '_' and '-', the first a letter or digit",
    ),
]
