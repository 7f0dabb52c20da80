"""Parameters that are lists with commas between, and which metrics and measures they name."""

import re
from collections.abc import Iterable, Sequence
from fnmatch import translate
from typing import Annotated

from pydantic import Field, WithJsonSchema

from ..model import MEASURES, Measure, Metric
from ..rules.validation import MOST_FAULTS, shorten, take_first
from ..store import Reader
from .params import QueryParams
from .problems import FieldProblem, HttpRefusal, refuse_fields, refuse_unknown_metric, suggest_names

MOST_CHARACTERS = 4000
MOST_PATTERNS = 500
WILDCARDS = frozenset("*?")
PATTERNS_ACCEPTED = (
    f"at most {MOST_PATTERNS} names or patterns with commas between, EXCHANGE:PAIR, where * stands for any letters and "
    "? for one: KRAKEN:BTCUSD,BINANCE:*"
)
MEASURES_ACCEPTED = f"of {', '.join(MEASURES)} one or more, with commas between"

_NAME = r"[^\s,\[\]]+"
_PATTERNS = re.compile(rf" *{_NAME} *(, *{_NAME} *){{0,{MOST_PATTERNS - 1}}}")
_MEASURE = f"({'|'.join(MEASURES)})"
_MEASURES = re.compile(f" *{_MEASURE} *(, *{_MEASURE} *)*")

MEASURES_DESCRIPTION = f"Which numbers of a sample, with commas between: {', '.join(MEASURES)}."
MEASURES_SCHEMA = WithJsonSchema(
    {
        "type": "string",
        "pattern": f"^{_MEASURES.pattern}$",
        "maxLength": MOST_CHARACTERS,
        "examples": ["price,volume"],
    }
)


class ListParams(QueryParams):
    """Of which metrics, and which of their measures."""

    metrics: Annotated[
        str,
        Field(max_length=MOST_CHARACTERS),
        WithJsonSchema(
            {
                "type": "string",
                "pattern": f"^{_PATTERNS.pattern}$",
                "maxLength": MOST_CHARACTERS,
                "examples": ["*:*"],
            }
        ),
        Field(
            description="Names or patterns with commas between, in whatever case: `KRAKEN:*,BINANCE:BTCUSDT`. "
            "A name must be one of a metric; a pattern may match none."
        ),
    ] = "*"
    measures: Annotated[
        str,
        Field(max_length=MOST_CHARACTERS),
        MEASURES_SCHEMA,
        Field(description=MEASURES_DESCRIPTION),
    ] = Measure.PRICE


def parse_measures(written: str) -> list[Measure]:
    """Return the measures that a list names, each once, in its order. Raises `HttpRefusal`."""
    if not _MEASURES.fullmatch(written):
        raise refuse_fields(("measures", written, MEASURES_ACCEPTED))
    return [*dict.fromkeys(Measure(each.strip()) for each in written.split(","))]


def parse_patterns(written: str) -> list[str]:
    """Return the names and patterns of a list, in upper case. Raises `HttpRefusal`."""
    if not _PATTERNS.fullmatch(written):
        raise refuse_fields(("metrics", written, PATTERNS_ACCEPTED))
    return [each.strip().upper() for each in written.split(",")]


async def select_metrics(reader: Reader, written: str, names: Iterable[Metric]) -> list[Metric]:
    """
    Return those of `names` that a list of names and patterns selects, in order.

    Raises `HttpRefusal` for what is no list, and for a name that is not there; a pattern may match none.
    """
    patterns, known = parse_patterns(written), set(names)
    wanted = {Metric(each) for each in patterns if not WILDCARDS & {*each}}
    if wanted - known:
        raise await refuse_unknown_metrics(reader, sorted(wanted - known), sorted(known))
    wild = "|".join([translate(each) for each in patterns if WILDCARDS & {*each}])
    matching = re.compile(wild) if wild else None
    return sorted(name for name in known if name in wanted or (matching and matching.match(name)))


async def refuse_unknown_metrics(reader: Reader, unknown: Sequence[Metric], names: Sequence[str]) -> HttpRefusal:
    """Refuse metrics that are not there, each with the nearest of `names`; of the first the reason is told, too."""
    refusal = await refuse_unknown_metric(reader, unknown[0])
    others = [shorten(each) for each in unknown[1:MOST_FAULTS]]
    more = f"; and so with {', '.join(take_first(others, len(unknown) - 1))}" if others else ""
    errors = [
        FieldProblem(field="metrics", value=shorten(each), accepted=suggest_names(each, names))
        for each in unknown[:MOST_FAULTS]
    ]
    return HttpRefusal(refusal.status, f"{refusal}{more}", errors)
