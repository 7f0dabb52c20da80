"""
The hours of a metric as they are answered, in SQL: the exchange's own candle where there is one, else what was sampled.

Where both are kept, open, high, low, close and volume are the exchange's, and the mean, the latest price and the
number of samples those of what was sampled. `v1.market.exchange_hours.merge_exchange_hour` does the same with numbers.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Integer,
    Select,
    Text,
    and_,
    case,
    cast,
    exists,
    func,
    literal_column,
    null,
    select,
    union_all,
)

from ..market.candles import MIXED, CandleKind
from ..model import HOUR, Metric
from .schema import HOUR_TABLES, ExactDecimal, candles, exchange_candles

_ALL_OF_IT = literal_column(str(HOUR), Integer)
_NO_ONE = literal_column("0", Integer)


def select_hours_of(table: Any, metric: Metric, since: int | None, until: int | None) -> Sequence[ColumnElement[bool]]:
    """Return what holds of the rows of a metric with since <= start < until; `None` is no bound."""
    wanted = [table.c.metric == metric]
    if since is not None:
        wanted.append(table.c.start >= since)
    if until is not None:
        wanted.append(table.c.start < until)
    return wanted


def select_bars(metric: Metric, since: int, until: int, kind: CandleKind | None = None) -> CTE:
    """
    Return the hours with since <= start < until, in no order; of one `kind`, or of the better one that each has.

    Its columns are those of `CandleRow` and `total`; `averaged` is the seconds that the total speaks of.
    """
    if kind is CandleKind.SAMPLED:
        return _select_sampled(metric, since, until).cte("bars")
    told, ranged = _select_exchange(metric, since, until), _select_ranged(metric, since, until)
    if kind is CandleKind.EXCHANGE:
        ranged = ranged.where(candles.c.ranged == HOUR)
    is_told = exists().where(exchange_candles.c.metric == metric, exchange_candles.c.start == candles.c.start)
    return union_all(told, ranged.where(~is_told)).cte("bars")


def select_close_before(metric: Metric, until: int, kind: CandleKind | None = None) -> Select[Any]:
    """Return the last close before `until`: of two of the same hour the exchange's."""
    tables = [candles] if kind is CandleKind.SAMPLED else HOUR_TABLES
    is_whole = candles.c.ranged == HOUR
    newest = [
        select(table.c.start, table.c.close, literal_column(str(int(table is candles)), Integer).label("place"))
        .where(
            *select_hours_of(table, metric, None, until),
            *([is_whole] if table is candles and kind is CandleKind.EXCHANGE else []),
        )
        .order_by(table.c.start.desc())
        .limit(1)
        .subquery()
        for table in tables
    ]
    both = union_all(*[select(each) for each in newest]).subquery()
    return select(both.c.close).order_by(both.c.start.desc(), both.c.place).limit(1)


def _select_sampled(metric: Metric, since: int, until: int) -> Select[Any]:
    c = candles.c
    return _select_with([c.open, c.high, c.low], _name(CandleKind.SAMPLED), metric, since, until)


def _select_ranged(metric: Metric, since: int, until: int) -> Select[Any]:
    """Return sampled hours with what is known of the minutes that were filled in."""
    c = candles.c
    prices = [
        func.coalesce(ranged, sampled, type_=ExactDecimal).label(sampled.key)
        for sampled, ranged in ((c.open, c.ranged_open), (c.high, c.ranged_high), (c.low, c.ranged_low))
    ]
    kind = case(
        (c.ranged == HOUR, _name(CandleKind.EXCHANGE)), (c.ranged > 0, _name(MIXED)), else_=_name(CandleKind.SAMPLED)
    )
    return _select_with(prices, kind.label("kind"), metric, since, until)


def _select_with(
    prices: Sequence[ColumnElement[str]], kind: ColumnElement[str], metric: Metric, since: int, until: int
) -> Select[Any]:
    """Return sampled hours with these as open, high and low."""
    c = candles.c
    numbers = [c.start, *prices, c.close, c.total, c.mean, c.latest, c.volume]
    counts = [c.samples, c.covered, _count_averaged().label("averaged"), c.revision]
    return select(*numbers, *counts, kind).where(*select_hours_of(candles, metric, since, until))


def _select_exchange(metric: Metric, since: int, until: int) -> Select[Any]:
    e, c = exchange_candles.c, candles.c
    numbers = [e.start, e.open, e.high, e.low, e.close, c.total, c.mean]
    joined = exchange_candles.outerjoin(candles, and_(c.metric == e.metric, c.start == e.start))
    return (
        select(
            *numbers,
            func.coalesce(c.latest, e.close, type_=ExactDecimal).label("latest"),
            func.coalesce(e.volume, c.volume, type_=ExactDecimal).label("volume"),
            func.coalesce(c.samples, 0).label("samples"),
            _ALL_OF_IT.label("covered"),
            _count_averaged().label("averaged"),
            (e.revision + func.coalesce(c.revision, 0)).label("revision"),
            _name(CandleKind.EXCHANGE),
        )
        .select_from(joined)
        .where(*select_hours_of(exchange_candles, metric, since, until))
    )


def _count_averaged() -> ColumnElement[int]:
    return case((candles.c.total.is_(null()), _NO_ONE), else_=candles.c.covered)


def _name(kind: str) -> ColumnElement[str]:
    return cast(literal_column(f"'{kind}'"), Text).label("kind")
