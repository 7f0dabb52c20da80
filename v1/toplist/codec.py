"""
How the lists and snapshots of the top list are kept: bytes, and back. Pure; where they lie is the store's business.

A list is columns of JSON, deflated. A snapshot is a line of JSON, and behind it its columns, deflated:

    [at,{"source":"coinmarketcap","at":...},{"source":"cryptocompare",...},margin]
    [[reference, ...], [price, ...], [volume, ...], [seconds from at back to the price's time, ...]]

A reference stands for id, symbol and name, which do not change from minute to minute and lie in a table
of their own. A minute that says the same as one before it is `[at,that]` and no more. 200 rows so take
4.5 kB, where an array of JSON objects takes 29 kB. Digits are those that came.
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .model import ListOrigin, PricedCoin, RankedCoin, TopCoin, TopList

_END = b"\n"


class PackedSnapshot(NamedTuple):
    """A snapshot whose coins are references still."""

    at: int
    prices: ListOrigin
    ranks: ListOrigin
    margin: int
    rows: Sequence[tuple[str, str | None, str, int | None]]
    """Reference, price, volume, the price's time."""


def write_prices(coins: Sequence[PricedCoin], at: int) -> bytes:
    return _deflate(
        [coin.id for coin in coins],
        [coin.price for coin in coins],
        _back(at, [coin.time for coin in coins]),
    )


def read_prices(written: bytes, at: int) -> list[PricedCoin]:
    ids, prices, back = _inflate(written)
    return [PricedCoin(int(each), *rest) for each, *rest in zip(ids, prices, _times(at, back), strict=True)]


def write_ranks(coins: Sequence[RankedCoin]) -> bytes:
    ids = ["null" if coin.id is None else coin.id for coin in coins]
    texts = [[json.dumps(text) for text in column] for column in ([c.symbol for c in coins], [c.name for c in coins])]
    return _deflate(ids, *texts, [coin.volume for coin in coins])


def read_ranks(written: bytes, _: int) -> list[RankedCoin]:
    return [
        RankedCoin(None if each is None else int(each), *rest) for each, *rest in zip(*_inflate(written), strict=True)
    ]


def write_about(about: ListOrigin) -> str:
    return json.dumps(about._asdict(), separators=(",", ":"))


def read_about(written: str | bytes) -> ListOrigin:
    return ListOrigin(**json.loads(written))


def make_reference(coin: TopCoin) -> str:
    """Return what a coin is called in the table of names."""
    return f"-{coin.symbol}" if coin.id is None else f"{coin.id}"


def write_name(coin: TopCoin) -> str:
    """Return what the table of names says of a coin."""
    return json.dumps([coin.id, coin.symbol, coin.name], separators=(",", ":"))


def pack_snapshot(snapshot: TopList, references: Sequence[str]) -> bytes:
    """Write a snapshot, with a reference for each of its coins."""
    coins, at = snapshot.coins, snapshot.at
    head = json.dumps([at, snapshot.prices._asdict(), snapshot.ranks._asdict(), snapshot.margin], separators=(",", ":"))
    columns = _deflate(
        [each if each.isdecimal() else json.dumps(each) for each in references],
        ["null" if coin.price_usd is None else coin.price_usd for coin in coins],
        [coin.volume_24h_usd for coin in coins],
        _back(at, [coin.price_time for coin in coins]),
    )
    return head.encode() + _END + columns


def pack_repeat(at: int, as_at: int) -> bytes:
    """Write a snapshot that says the same as the one of minute `as_at`, whose ages alone are others."""
    return f"[{at},{as_at}]".encode()


def read_minute(member: bytes) -> int:
    return int(json.loads(member.partition(_END)[0])[0])


def read_repeated_minute(member: bytes) -> int | None:
    """Return the minute whose snapshot says it; `None` where the member says it itself."""
    return None if _END in member else int(json.loads(member)[1])


def unpack_snapshot(member: bytes) -> PackedSnapshot:
    """Read what `pack` wrote."""
    head, _, columns = member.partition(_END)
    at, prices, ranks, margin = json.loads(head)
    references, numbers, volumes, back = _inflate(columns)
    rows = list(zip(references, numbers, volumes, _times(at, back), strict=True))
    return PackedSnapshot(at, ListOrigin(**prices), ListOrigin(**ranks), margin, rows)


def restore_snapshot(packed: PackedSnapshot, names: Mapping[str, str]) -> TopList:
    """Make the snapshot, with the names of its coins. Raises `KeyError` where one is missing."""
    coins = []
    for rank, (each, price, volume, time) in enumerate(packed.rows, 1):
        cmc_id, symbol, name = json.loads(names[each])
        coins.append(TopCoin(rank, cmc_id, symbol, name, price, volume, time, packed.ranks.at))
    return TopList(packed.at, coins, packed.prices, packed.ranks, packed.margin)


def _back(at: int, times: Iterable[int | None]) -> list[str | int]:
    return ["null" if time is None else at - time for time in times]


def _times(at: int, back: Iterable[str | None]) -> list[int | None]:
    return [None if seconds is None else at - int(seconds) for seconds in back]


def _deflate(*columns: Sequence[str | int]) -> bytes:
    # Joined, not dumped: what is in a column is JSON already, and numbers must not pass through a float.
    written = ",".join([f"[{','.join(map(str, column))}]" for column in columns])
    return zlib.compress(f"[{written}]".encode())


def _inflate(written: bytes) -> list[list[Any]]:
    columns: list[list[Any]] = json.loads(zlib.decompress(written), parse_float=str, parse_int=str)
    return columns
