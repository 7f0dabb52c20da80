"""
The archive's tables, as SQLAlchemy sees them. The migrations make them; this says how they are asked and written.

    v1_candles
    metric     text     with start the primary key        start      integer  first second of the hour, unix seconds
    open, high, low, close                                numbers, exact
    total      number   exact sum of the prices, or null  mean       number   total / samples, rounded once, or null
    latest     number   newest price when it closed       volume     number   traded in the hour, or null
    samples    integer  prices behind it                  covered    integer  seconds of the hour they speak of
    coverage   real     covered / 3600, made by the database
    source     text     `samples`, or whose minutes         closed_at  integer  unix seconds
    revision   integer  1, and one more with each change
    ranged_open, ranged_high, ranged_low    open, high and low with those of the minutes that were filled in, or null
    ranged     integer  seconds of the hour that these minutes are

    v1_exchange_candles       the exchange's own candle of an hour, beside what was sampled of it
    metric     text     with start the primary key        start      integer  first second of the hour, unix seconds
    open, high, low, close                                numbers, exact
    volume     number   traded in the hour, or null       source     text     a provider, or `replay`
    fetched_at integer  unix seconds                      revision   integer  1, and one more with each change

    v1_top
    hour       integer  the full hour it is kept for      at         integer  the minute of the top list
    margin     integer  seconds that a list may be late   prices     text     where the prices are from, JSON
    ranks      text     where the ranks are from, JSON

    v1_top_coins
    hour       integer  with rank the primary key         rank       integer  1 has the largest volume
    cmc_id     integer  CoinMarketCap's, or null          symbol, name        text
    price_usd  number   or null                           volume_24h_usd      number
    price_time integer  unix seconds, or null

Numbers are NUMERIC in PostgreSQL, which keeps every digit and every trailing zero, and text in SQLite, which has no
exact number. In PostgreSQL both tables of candles are partitioned by the months of `start`, in SQLite they are ordered by their key.
`v1_schema` holds the revision of the migrations.
"""

from typing import Any

from sqlalchemy import Column, Computed, Double, Index, Integer, MetaData, Numeric, Table, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import BigInteger, TypeDecorator, TypeEngine

VERSION = str(__package__).partition(".")[0]
"""The version's own name, so that a copy of it cannot write into our tables."""
SCHEMA_TABLE = f"{VERSION}_schema"


class ExactDecimal(TypeDecorator[str]):
    """A decimal number that goes in and comes out as its text, digit for digit."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        # The driver is told to give NUMERIC as text (see `engine`), so nothing is converted on either side.
        return dialect.type_descriptor(Numeric() if dialect.name == "postgresql" else Text())


metadata = MetaData()

candles = Table(
    f"{VERSION}_candles",
    metadata,
    Column("metric", Text, primary_key=True),
    Column("start", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("open", ExactDecimal, nullable=False),
    Column("high", ExactDecimal, nullable=False),
    Column("low", ExactDecimal, nullable=False),
    Column("close", ExactDecimal, nullable=False),
    Column("total", ExactDecimal),
    Column("mean", ExactDecimal),
    Column("latest", ExactDecimal, nullable=False),
    Column("volume", ExactDecimal),
    Column("samples", Integer, nullable=False),
    Column("covered", Integer, nullable=False),
    Column("source", Text, nullable=False),
    Column("closed_at", BigInteger().with_variant(Integer, "sqlite"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("coverage", Double, Computed("covered / 3600.0")),
    Column("ranged_open", ExactDecimal),
    Column("ranged_high", ExactDecimal),
    Column("ranged_low", ExactDecimal),
    Column("ranged", Integer, nullable=False),
    Index(f"{VERSION}_candles_start", "start"),
    sqlite_with_rowid=False,
)

exchange_candles = Table(
    f"{VERSION}_exchange_candles",
    metadata,
    Column("metric", Text, primary_key=True),
    Column("start", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("open", ExactDecimal, nullable=False),
    Column("high", ExactDecimal, nullable=False),
    Column("low", ExactDecimal, nullable=False),
    Column("close", ExactDecimal, nullable=False),
    Column("volume", ExactDecimal),
    Column("source", Text, nullable=False),
    Column("fetched_at", BigInteger().with_variant(Integer, "sqlite"), nullable=False),
    Column("revision", Integer, nullable=False),
    Index(f"{VERSION}_exchange_candles_start", "start"),
    sqlite_with_rowid=False,
)

HOUR_TABLES = (candles, exchange_candles)
"""The tables of hours: what was sampled, and what the exchanges told."""

top = Table(
    f"{VERSION}_top",
    metadata,
    Column("hour", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at", BigInteger().with_variant(Integer, "sqlite"), nullable=False),
    Column("margin", Integer, nullable=False),
    Column("prices", Text, nullable=False),
    Column("ranks", Text, nullable=False),
)

top_coins = Table(
    f"{VERSION}_top_coins",
    metadata,
    Column("hour", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("rank", Integer, primary_key=True, autoincrement=False),
    Column("cmc_id", Integer),
    Column("symbol", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("price_usd", ExactDecimal),
    Column("volume_24h_usd", ExactDecimal, nullable=False),
    Column("price_time", BigInteger().with_variant(Integer, "sqlite")),
    sqlite_with_rowid=False,
)
