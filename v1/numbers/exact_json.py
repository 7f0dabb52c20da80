"""JSON with numbers kept as text, digit for digit; the standard library would take them through a float."""

import json
from collections.abc import Mapping, Sequence

_encode = json.JSONEncoder(allow_nan=False).encode  # made once: `json.dumps` would make one a call


class Digits(str):
    """The text of a number, spliced into JSON as it is."""

    __slots__ = ()


def dumps(value: object) -> str:
    """Write JSON. `Digits` become the number they spell, everything else what `json.dumps` makes of it."""
    match value:
        case Digits():
            return value
        case str() | int() | float() | None:  # first, because nearly all values are one of these
            return _encode(value)
        case Mapping():
            return f"{{{','.join([f'{_encode(str(key))}:{dumps(inner)}' for key, inner in value.items()])}}}"
        case Sequence():
            return f"[{','.join([dumps(inner) for inner in value])}]"
        case _:
            return _encode(value)


def loads(body: str | bytes) -> object:
    """Read JSON with every number as its `Digits`."""
    return json.loads(body, parse_float=Digits, parse_int=Digits)


def digits(number: str | None) -> Digits | None:
    return None if number is None else Digits(number)
