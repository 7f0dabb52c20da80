"""The table of hourly candles: in PostgreSQL partitioned by month, in SQLite ordered by its key."""

import sqlalchemy as sql
from alembic import context, op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    table = context.config.attributes["candles"]
    is_sqlite = op.get_context().dialect.name == "sqlite"
    number = sql.Text() if is_sqlite else sql.Numeric()
    second = sql.Integer() if is_sqlite else sql.BigInteger()
    op.create_table(
        table,
        sql.Column("metric", sql.Text, nullable=False),
        sql.Column("start", second, sql.CheckConstraint("start % 3600 = 0"), nullable=False, autoincrement=False),
        *[sql.Column(name, number, nullable=False) for name in ("open", "high", "low", "close")],
        sql.Column("total", number),
        sql.Column("mean", number),
        sql.Column("latest", number, nullable=False),
        sql.Column("volume", number),
        sql.Column("samples", sql.Integer, sql.CheckConstraint("samples > 0"), nullable=False),
        sql.Column("covered", sql.Integer, sql.CheckConstraint("covered BETWEEN 1 AND 3600"), nullable=False),
        sql.Column("source", sql.Text, nullable=False),
        sql.Column("closed_at", second, nullable=False),
        sql.Column("revision", sql.Integer, nullable=False),
        sql.Column("coverage", sql.Double, sql.Computed("covered / 3600.0", persisted=not is_sqlite)),
        sql.PrimaryKeyConstraint("metric", "start"),
        # With the key as its order, a metric's hours lie side by side.
        sqlite_with_rowid=False,
        postgresql_partition_by="RANGE (start)",
    )
    op.create_index(f"{table}_start", table, ["start"])


def downgrade() -> None:
    op.drop_table(context.config.attributes["candles"])
