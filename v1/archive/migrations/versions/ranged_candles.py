"""What is known of the minutes of a sampled hour that were filled in: its open, high and low with theirs. Of older hours nothing is."""

import sqlalchemy as sql
from alembic import context, op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_PRICES = ("ranged_open", "ranged_high", "ranged_low")


def upgrade() -> None:
    table = context.config.attributes["candles"]
    number = sql.Text() if op.get_context().dialect.name == "sqlite" else sql.Numeric()
    for name in _PRICES:
        op.add_column(table, sql.Column(name, number))
    op.add_column(table, sql.Column("ranged", sql.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    table = context.config.attributes["candles"]
    for name in (*_PRICES, "ranged"):
        op.drop_column(table, name)
