"""What both databases have to compute alike: the largest, the smallest and the sum of decimals, none of them rounded."""

from typing import Any

from sqlalchemy import Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from .schema import ExactDecimal


class exact_max(GenericFunction[str]):  # noqa: N801  # a function's name in SQL
    type = ExactDecimal()
    inherit_cache = True


class exact_min(GenericFunction[str]):  # noqa: N801
    type = ExactDecimal()
    inherit_cache = True


class exact_sum(GenericFunction[str]):  # noqa: N801
    type = ExactDecimal()
    inherit_cache = True


class hour_coverage(GenericFunction[str]):  # noqa: N801
    """The part of an hour that so many seconds are, as the shortest text of that double."""

    type = Text()
    inherit_cache = True


@compiles(hour_coverage, "postgresql")
def _shortest(element: GenericFunction[str], compiler: SQLCompiler, **named: Any) -> str:
    seconds = compiler.process(element.clauses, **named)
    return f"CASE WHEN {seconds} = 3600 THEN '1.0' ELSE ({seconds} / 3600.0::float8)::text END"


@compiles(hour_coverage, "sqlite")
def _shortest_by_us(element: GenericFunction[str], compiler: SQLCompiler, **named: Any) -> str:
    seconds = compiler.process(element.clauses, **named)
    # SQLite itself would write 15 digits.
    return f"CASE WHEN {seconds} = 3600 THEN '1.0' ELSE part_of_hour({seconds}) END"


@compiles(exact_max, "postgresql")
@compiles(exact_min, "postgresql")
@compiles(exact_sum, "postgresql")
def _natively(element: GenericFunction[str], compiler: SQLCompiler, **named: Any) -> str:
    """PostgreSQL's own are exact on NUMERIC; SQLite has ours, see `engine`."""
    return f"{element.name.removeprefix('exact_')}({compiler.process(element.clauses, **named)})"
