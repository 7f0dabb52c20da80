"""What is read of ccxt's markets, tickers and candles. Pure. ccxt hands numbers over as the texts that came."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from worker.latest import MINUTE, Metric, Reading
from worker.sources import kraken
from worker.sources.candle_rows import CandleColumns
from worker.sources.errors import parse_date
from worker.sources.pair_names import name_metric
from worker.sources.rejects import note_reject
from worker.sources.row_fields import (
    DISAGREES,
    is_mean_plausible,
    parse_amount,
    parse_fraction,
    parse_price,
    pick_value,
)

MS = 1000
COLUMNS = CandleColumns(time=0, open=1, high=2, low=3, close=4, volume=5, start=lambda written: written // MS)
NOT_ACTIVE = "not active"
OWN_NAMES: Mapping[str, Callable[[Mapping[str, Any]], Metric | None]] = {
    "KRAKEN": lambda row: next(iter(kraken.parse_markets({row["id"]: row["info"]})), None),
    "BINANCE": lambda row: name_metric("BINANCE", str(row["id"])),
    "COINBASE": lambda row: name_metric("COINBASE", str(row["id"]).replace("-", "")),
}
"""
How markets are named of exchanges that have a source of ours, too: as that one names them. ccxt gives some coins another
name than the exchange does, one coin's name to another coin among them, and what is one metric must be one market.
"""


class CcxtMarkets(NamedTuple):
    """The spot markets of an exchange."""

    symbols: dict[Metric, str]
    """What ccxt calls those that trade: `BTC/USD`."""
    closed: dict[Metric, str]
    """Those that do not trade, each with the word for it."""
    rows: list[dict[str, Any]]
    """All of them, as ccxt is to know them: each under a name of its own."""


def choose_markets(markets: Mapping[str, Sequence[Mapping[str, Any]]], exchange: str) -> CcxtMarkets:
    """
    Return the spot markets among ccxt's `markets_by_id`; of two with one metric's name the first counts.

    ccxt finds tickers by its name of a market, and gives several markets one name where an exchange has a second place
    for them, as Kraken's dark pool: of those, all but the first are called by the exchange's own name.
    """
    found = CcxtMarkets({}, {}, [])
    taken: set[str] = set()
    for row in (row for listed in markets.values() for row in listed if row.get("spot")):
        metric = name_market(row, exchange)
        if metric is None or metric in found.symbols or metric in found.closed:
            continue
        symbol = str(row["id"] if row["symbol"] in taken else row["symbol"])
        taken.add(symbol)
        found.rows.append({**row, "symbol": symbol})
        if row.get("active") is False:
            found.closed[metric] = NOT_ACTIVE
        else:
            found.symbols[metric] = symbol
    return found


def name_market(row: Mapping[str, Any], exchange: str) -> Metric | None:
    """Return the metric's name of a market; `None` where it can have none."""
    if exchange in OWN_NAMES:
        return OWN_NAMES[exchange](row)
    return name_metric(exchange, f"{row['base']}{row['quote']}") if row.get("base") and row.get("quote") else None


def parse_ticker(
    row: object, metric: Metric, made: int | None, rejects: Counter[str], dead: set[Metric]
) -> Reading | None:
    """
    Read ccxt's ticker of a market. Its own time counts, and where it has none that of the answer, `made`.

    ccxt leaves out a price of 0, which providers write where a market is dead.
    """
    last = pick_value(row, "last")
    if last is None:
        dead.add(metric)
        note_reject(rejects, "dead market", pick_value(row, "info"), metric)
        return None
    price = parse_price(last, rejects, metric)
    if price is None:
        return None
    mean, low, high = (pick_value(row, name) for name in ("vwap", "low", "high"))
    if not is_mean_plausible(parse_fraction(mean), low, high):
        note_reject(rejects, DISAGREES, f"mean {mean}, low {low}, high {high}", metric)
        return None
    volume = parse_amount(write_number(pick_value(row, "baseVolume")), "volume", rejects, metric)
    time = pick_value(row, "timestamp")
    return Reading(price, volume, provider_time=int(time) // MS if isinstance(time, int | str) and time else made)


def parse_answer_time(date: str, at: int) -> int | None:
    """Return the time of an answer, unix seconds. One that is not near the tick is some proxy's idea, and not believed."""
    said = parse_date(date)
    return int(said) if said is not None and abs(said - at) <= MINUTE else None


def has_array(value: object) -> bool:
    """Return whether there is an array anywhere in an answer. Where there is none it has no rows, not even none of them."""
    return isinstance(value, list) or (isinstance(value, dict) and any(map(has_array, value.values())))


def write_row(row: Iterable[object]) -> list[object]:
    """Return a candle of ccxt's with every number as its text."""
    return [write_number(value) for value in row]


def write_number(value: object) -> object:
    """Return a whole number as its text, and everything else as it is."""
    return f"{value}" if isinstance(value, int) and not isinstance(value, bool) else value
