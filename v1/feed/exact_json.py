"""JSON that keeps the digits of its numbers."""

from ..numbers.exact_json import digits, dumps

__all__ = [
    "digits",
    "dumps",
]
