"""The hourly top lists in SQL: one of each full hour, for good. Which list that is, is decided elsewhere."""

import json
from typing import NamedTuple

from sqlalchemy import delete, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from ..model import HOUR
from ..numbers.decimals import remove_exponent
from ..toplist.model import ListOrigin, TopCoin, TopList
from .engine import is_sqlite, open_transaction
from .migrate import migrate
from .reader import ArchiveReader
from .schema import top, top_coins

_SAID = ("rank", "symbol", "name", "price_usd", "volume_24h_usd", "price_time")
_COIN = [top_coins.c.cmc_id.label("id"), *[top_coins.c[name] for name in _SAID]]


class HourRange(NamedTuple):
    """From which hour to which there are top lists."""

    oldest: int
    newest: int


class TopArchiveReader(ArchiveReader):
    """Asks for the top lists of full hours. Each method raises what an `ArchiveReader`'s does."""

    async def read_top_list(self, minute: int) -> TopList | None:
        """Return the top list of the newest full hour at or before `minute`, and less than an hour before it."""
        asked = select(top).where(top.c.hour <= minute, top.c.hour > minute - HOUR).order_by(top.c.hour.desc()).limit(1)
        async with self._connection() as connection:
            found = (await connection.execute(asked)).one_or_none()
            if found is None:
                return None
            rows = await connection.execute(
                select(*_COIN).where(top_coins.c.hour == found.hour).order_by(top_coins.c.rank)
            )
            prices, ranks = (ListOrigin(**json.loads(each)) for each in (found.prices, found.ranks))
            coins = [TopCoin(**row, volume_time=ranks.at) for row in rows.mappings()]
            return TopList(found.at, coins, prices, ranks, found.margin)

    async def read_top_range(self) -> HourRange | None:
        """Return the oldest and the newest hour that have a top list."""
        async with self._connection() as connection:
            oldest, newest = (await connection.execute(select(func.min(top.c.hour), func.max(top.c.hour)))).one()
            return None if oldest is None else HourRange(oldest, newest)

    async def read_top_hours(self, since: int) -> set[int]:
        """Return the hours from `since` on that have a top list."""
        async with self._connection() as connection:
            return set(await connection.scalars(select(top.c.hour).where(top.c.hour >= since)))


class TopArchiveWriter(TopArchiveReader):
    """Keeps top lists. Whatever a method writes is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(engine)
        self._insert = (sqlite if is_sqlite(engine) else postgresql).insert

    async def open(self) -> None:
        """Make the tables, or bring them up to this code's; see `ArchiveWriter.open`."""
        await migrate(self._engine)

    async def write(self, hour: int, snapshot: TopList) -> bool:
        """Keep the top list of a full hour, and return whether it was the first: an hour that is there stays as it is."""
        head = {"hour": hour, "at": snapshot.at, "margin": snapshot.margin}
        about = {"prices": json.dumps(snapshot.prices._asdict()), "ranks": json.dumps(snapshot.ranks._asdict())}
        rows = [_make_row(hour, coin) for coin in snapshot.coins]
        async with open_transaction(self._engine) as connection:
            added = await connection.execute(self._insert(top).values(head | about).on_conflict_do_nothing())
            if not added.rowcount:
                return False
            if rows:
                await connection.execute(insert(top_coins), rows)
        return True

    async def trim(self, before: int) -> None:
        """Let go of every hour before `before`."""
        async with open_transaction(self._engine) as connection:
            for table in (top, top_coins):
                await connection.execute(delete(table).where(table.c.hour < before))

    async def drop_future(self, now: int) -> int:
        """Drop the hours that begin after `now`, and return how many there were."""
        async with open_transaction(self._engine) as connection:
            await connection.execute(delete(top_coins).where(top_coins.c.hour > now))
            return (await connection.execute(delete(top).where(top.c.hour > now))).rowcount


def _make_row(hour: int, coin: TopCoin) -> dict[str, object]:
    # PostgreSQL would write an exponent out by itself, and both databases are to say the same.
    return {
        "hour": hour,
        "rank": coin.rank,
        "cmc_id": coin.id,
        "symbol": coin.symbol,
        "name": coin.name,
        "price_usd": None if coin.price_usd is None else remove_exponent(coin.price_usd),
        "volume_24h_usd": remove_exponent(coin.volume_24h_usd),
        "price_time": coin.price_time,
    }
