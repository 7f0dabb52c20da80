"""Arithmetic with numbers as they are received: digits are kept, and rounded once, at the end."""

from ..numbers.decimals import (
    Number,
    add,
    format_decimal,
    is_number,
    parse_decimal,
    parse_exact,
    power_of_ten,
    shift_point,
    subtract,
)

__all__ = [
    "Number",
    "add",
    "format_decimal",
    "is_number",
    "parse_decimal",
    "parse_exact",
    "power_of_ten",
    "shift_point",
    "subtract",
]
