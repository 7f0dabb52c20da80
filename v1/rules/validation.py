"""What is wrong with a document, in our words: each fault as field, value, and what is accepted instead."""

from collections.abc import Mapping, Sequence
from typing import Any

from annotated_types import Ge, Le
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Fault = tuple[str, object, str]
"""(field, value, what is accepted)"""

MOST_FAULTS = 20
"""Faults that are told; of more, how many there are. A document may have thousands, each with all that is accepted."""
LONGEST_VALUE = 100
"""Characters of a wrong value, or of a name that somebody made up, that are told."""

_WORDS = {
    "missing": "a value; it must be given",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "string_type": "a text",
    "tuple_type": "a list",
}


class InvalidDocument(Exception):
    """A document that cannot be meant; `errors` has every fault."""

    def __init__(self, errors: Sequence[Fault]) -> None:
        super().__init__(
            "; ".join(take_first([_format_fault(error) for error in errors[: MOST_FAULTS + 1]], len(errors)))
        )
        self.errors = errors

    @property
    def list_lines(self) -> list[str]:
        """Each fault in words."""
        return [_format_fault(error) for error in self.errors]


def list_faults(error: ValidationError, model: type[BaseModel]) -> list[Fault]:
    """
    Translate what pydantic says.

    A validator of the whole document names the field itself, in front: `raise ValueError("step: 0 or ...")`.
    """
    return [_translate_fault(each, model) for each in error.errors()]


def take_first(lines: Sequence[str], of: int) -> list[str]:
    """Return the lines that are told of `of` lines, and how many more there are."""
    told = [*lines[:MOST_FAULTS]]
    return [*told, f"and {of - len(told):,} more"] if of > len(told) else told


def shorten(value: object) -> str:
    """Return the beginning of a value, marked where it is not all."""
    try:
        text = str(value)
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def _format_fault(fault: Fault) -> str:
    field, value, accepted = fault
    shown = repr(shorten(value)) if isinstance(value, str) else shorten(value)
    return f"{shorten(field)}{': ' if field else ''}{shown} is not accepted; accepted: {accepted}"


def _translate_fault(error: ErrorDetails, model: type[BaseModel]) -> Fault:
    where, value = ".".join(map(str, error["loc"])), error["input"]
    message = error["msg"].removeprefix("Value error, ")
    field, colon, accepted = message.partition(": ")
    if error["type"] == "value_error" and colon and " " not in field and isinstance(value, Mapping):
        return f"{where}{'.' if where else ''}{field}", value.get(field), accepted
    if where:
        return where, None if error["type"] == "missing" else value, _describe_accepted(error, model, message)
    return "", value, "a document of fields and values"


def _describe_accepted(error: ErrorDetails, model: type[BaseModel], message: str) -> str:
    if error["type"] == "value_error" or error["type"] in _WORDS:
        return _WORDS.get(error["type"], message)
    match error["type"], _find_field(error, model):
        case "extra_forbidden", _:
            return f"the fields {', '.join(each.alias or name for name, each in model.model_fields.items())}"
        case "enum" | "literal_error", _:
            # pydantic puts the words of a list into quotation marks.
            return str(error["ctx"]["expected"]).replace("'", "")
        case (("too_short" | "too_long"), field) if field is not None:
            least, most = (
                max(_find_metadata(field.metadata, name), default=0) for name in ("min_length", "max_length")
            )
            return f"a list of {least} to {most}"
        case "string_pattern_mismatch", field if field is not None and field.description:
            return str(field.description)
        case _, field:
            return _describe_bounds(field.metadata if field else ()) or message.removeprefix("Input should be ")


def _find_field(error: ErrorDetails, model: type[BaseModel]) -> Any:
    named = error["loc"][0]
    return next((each for name, each in model.model_fields.items() if named in (name, each.alias)), None)


def _find_metadata(metadata: Sequence[object], name: str) -> list[int]:
    return [getattr(each, name) for each in metadata if hasattr(each, name)]


def _describe_bounds(metadata: Sequence[object]) -> str | None:
    least = [bound.ge for bound in metadata if isinstance(bound, Ge)]
    most = [bound.le for bound in metadata if isinstance(bound, Le)]
    return f"a whole number from {least[0]} to {most[0]}" if least and most else None
