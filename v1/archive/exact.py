"""The largest, the smallest and the sum of decimals in SQL, none of them rounded, under one name for both databases."""

from typing import Any

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from .schema import Exact


class exact_max(GenericFunction[str]):  # noqa: N801  # a function's name in SQL
    type = Exact()
    inherit_cache = True


class exact_min(GenericFunction[str]):  # noqa: N801
    type = Exact()
    inherit_cache = True


class exact_sum(GenericFunction[str]):  # noqa: N801
    type = Exact()
    inherit_cache = True


@compiles(exact_max, "postgresql")
@compiles(exact_min, "postgresql")
@compiles(exact_sum, "postgresql")
def _natively(element: GenericFunction[str], compiler: SQLCompiler, **named: Any) -> str:
    """PostgreSQL's own are exact on NUMERIC; SQLite has ours, see `engine`."""
    return f"{element.name.removeprefix('exact_')}({compiler.process(element.clauses, **named)})"
