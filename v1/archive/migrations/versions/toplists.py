"""The tables of hourly top lists: what each is made of, and its coins."""

import sqlalchemy as sql
from alembic import context, op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    top, coins = (context.config.attributes[name] for name in ("top", "top_coins"))
    is_sqlite = op.get_context().dialect.name == "sqlite"
    number = sql.Text() if is_sqlite else sql.Numeric()
    second = sql.Integer() if is_sqlite else sql.BigInteger()
    op.create_table(
        top,
        sql.Column("hour", second, sql.CheckConstraint("hour % 3600 = 0"), nullable=False, autoincrement=False),
        sql.Column("at", second, nullable=False),
        sql.Column("margin", sql.Integer, nullable=False),
        sql.Column("prices", sql.Text, nullable=False),
        sql.Column("ranks", sql.Text, nullable=False),
        sql.PrimaryKeyConstraint("hour"),
    )
    op.create_table(
        coins,
        sql.Column("hour", second, nullable=False, autoincrement=False),
        sql.Column("rank", sql.Integer, sql.CheckConstraint("rank > 0"), nullable=False, autoincrement=False),
        sql.Column("cmc_id", sql.Integer),
        sql.Column("symbol", sql.Text, nullable=False),
        sql.Column("name", sql.Text, nullable=False),
        sql.Column("price_usd", number),
        sql.Column("volume_24h_usd", number, nullable=False),
        sql.Column("price_time", second),
        sql.PrimaryKeyConstraint("hour", "rank"),
        # With the key as its order, an hour's coins lie side by side.
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table(context.config.attributes["top_coins"])
    op.drop_table(context.config.attributes["top"])
