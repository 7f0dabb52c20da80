"""
The table of the exchanges' own hourly candles, beside what was sampled; what is kept of them so far moves there.

Until now an hour that only a provider knew stood among the sampled ones, without a total, as one sample that covers all
of it. An hour that was made of all of a provider's minutes stays there with its mean, and is copied.
"""

import sqlalchemy as sql
from alembic import context, op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Names of tables are ours, so no statement here can be anybody else's.
KEPT = "metric, start, open, high, low, close, volume, source"


def upgrade() -> None:
    candles, exchange = (context.config.attributes[name] for name in ("candles", "exchange_candles"))
    is_sqlite = op.get_context().dialect.name == "sqlite"
    number = sql.Text() if is_sqlite else sql.Numeric()
    second = sql.Integer() if is_sqlite else sql.BigInteger()
    op.create_table(
        exchange,
        sql.Column("metric", sql.Text, nullable=False),
        sql.Column("start", second, sql.CheckConstraint("start % 3600 = 0"), nullable=False, autoincrement=False),
        *[sql.Column(name, number, nullable=False) for name in ("open", "high", "low", "close")],
        sql.Column("volume", number),
        sql.Column("source", sql.Text, nullable=False),
        sql.Column("fetched_at", second, nullable=False),
        sql.Column("revision", sql.Integer, nullable=False),
        sql.PrimaryKeyConstraint("metric", "start"),
        # With the key as its order, a metric's hours lie side by side.
        sqlite_with_rowid=False,
        postgresql_partition_by="RANGE (start)",
    )
    op.create_index(f"{exchange}_start", exchange, ["start"])
    if not is_sqlite:
        _copy_partitions(candles, exchange)
    moved = f"SELECT {KEPT}, closed_at, revision FROM {candles} WHERE source <> 'samples' AND covered = 3600"  # noqa: S608
    op.execute(f"INSERT INTO {exchange} ({KEPT}, fetched_at, revision) {moved}")
    op.execute(f"DELETE FROM {candles} WHERE source <> 'samples' AND total IS NULL AND covered = 3600")  # noqa: S608


def downgrade() -> None:
    candles, exchange = (context.config.attributes[name] for name in ("candles", "exchange_candles"))
    held = f"SELECT 1 FROM {candles} held WHERE held.metric = told.metric AND held.start = told.start"  # noqa: S608
    told = f"SELECT {KEPT}, close, 1, 3600, fetched_at, revision FROM {exchange} told WHERE NOT EXISTS ({held})"  # noqa: S608
    op.execute(f"INSERT INTO {candles} ({KEPT}, latest, samples, covered, closed_at, revision) {told}")
    op.drop_table(exchange)


def _copy_partitions(candles: str, exchange: str) -> None:
    """Make the partitions that the table of samples has; PostgreSQL itself says from when to when each is."""
    held = op.get_bind().execute(
        sql.text(
            "SELECT child.relname, pg_get_expr(child.relpartbound, child.oid) FROM pg_inherits "
            "JOIN pg_class child ON child.oid = inhrelid WHERE inhparent = to_regclass(:of)"
        ),
        {"of": candles},
    )
    for name, bound in held.all():
        month = name.removeprefix(candles)
        op.execute(f"CREATE TABLE {exchange}{month} PARTITION OF {exchange} {bound}")
