"""
Decimal text and the exact integers behind it. Text in, integers out, and back; nothing is rounded
unless the function's name says so.

A number is a pair (units, places): `units` x 10 ** -`places`. Providers write numbers as JSON does
(RFC 8259, section 6), so a text accepted here can be spliced into a JSON answer as it is.
"""

import re
from decimal import Decimal, InvalidOperation
from functools import cache

Number = tuple[int, int]
"""(units, places)"""

# Longer or further out than any market's number; without a bound, "1e999999999" would fill the memory.
MOST_DIGITS = 60
FURTHEST_EXPONENT = 60

GRAMMAR = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?"
_JSON_NUMBER = re.compile(GRAMMAR)


def is_number(text: object) -> bool:
    """Return whether `text` is a decimal number that we keep: JSON's grammar, within our bounds."""
    if not isinstance(text, str) or len(text) > MOST_DIGITS or not _JSON_NUMBER.fullmatch(text):
        return False
    exponent = text.lower().partition("e")[2]
    return not exponent or abs(int(exponent)) <= FURTHEST_EXPONENT


def parse_exact(text: str) -> Decimal:
    """Return the number that a document spells, every digit of it. Raises `ValueError`, also beyond what one can be."""
    try:
        return Decimal(text)
    except InvalidOperation as error:  # which is no ValueError, and readers of documents look for those
        raise ValueError(f"{shorten(text)!r} is not a number, or one beyond all bounds") from error


def shorten(text: str) -> str:
    """Return the beginning of a long text, fit for a message."""
    return text if len(text) <= MOST_DIGITS else f"{text[:MOST_DIGITS]}..."


def parse_decimal(text: str) -> Number:
    """Return (units, places) of a text that `is_number` accepts; `places` is never negative."""
    # The plain form first: it is nearly every number there is, and this runs a million times a minute.
    whole, dot, fraction = text.partition(".")
    try:
        return (int(whole + fraction), len(fraction)) if dot else (int(text), 0)
    except ValueError:
        return _parse_exponent(text)


def _parse_exponent(text: str) -> Number:
    mantissa, _, exponent = text.lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    units, places = int(whole + fraction), len(fraction) - int(exponent)
    return (units, places) if places >= 0 else (units * 10**-places, 0)


def format_decimal(number: Number) -> str:
    """Write (units, places) as a plain decimal, all places shown: (1230, 2) is "12.30"."""
    units, places = number
    if places == 0:
        return str(units)
    digits = str(abs(units)).rjust(places + 1, "0")
    return f"{'-' if units < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def remove_exponent(number_text: str) -> str:
    """Write a number without an exponent, and nothing else changed: "1.08e-05" is "0.0000108"."""
    return format_decimal(parse_decimal(number_text)) if "e" in number_text.lower() else number_text


def shift_point(number_text: str, by: int) -> str:
    """Multiply by 10 ** `by` by moving the point: exact, no digit lost ("0.00662", 2 is "0.662")."""
    units, places = parse_decimal(number_text)
    places -= by
    return format_decimal((units, places) if places >= 0 else (units * 10**-places, 0))


def add(left: Number, right: Number) -> Number:
    """Return left + right, exactly."""
    places = max(left[1], right[1])
    return left[0] * power_of_ten(places - left[1]) + right[0] * power_of_ten(places - right[1]), places


def subtract(left: Number, right: Number) -> Number:
    """Return left - right, exactly."""
    places = max(left[1], right[1])
    return left[0] * power_of_ten(places - left[1]) - right[0] * power_of_ten(places - right[1]), places


def divide_rounded(numerator: Number, denominator: Number, places: int) -> str:
    """Divide, and round half to even at `places`. The denominator must not be zero."""
    top = numerator[0] * power_of_ten(denominator[1] + places)
    bottom = denominator[0] * power_of_ten(numerator[1])
    if bottom < 0:
        top, bottom = -top, -bottom
    quotient, rest = divmod(top, bottom)
    if 2 * rest > bottom or (2 * rest == bottom and quotient % 2):
        quotient += 1
    return format_decimal((quotient, places))


@cache
def power_of_ten(exponent: int) -> int:
    """Return 10 ** `exponent`, remembered: looked up a million times a minute, few are different."""
    return 10**exponent  # type: ignore[no-any-return]  # typeshed: int ** int may be a float; never here, exponent >= 0
