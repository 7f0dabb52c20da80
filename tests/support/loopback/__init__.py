"""
A server on loopback that answers as Kraken, Binance, Coinbase and Cryptowatch do, and as CoinMarketCap and CryptoCompare
where the top lists are recorded: their recorded answers, brought to life by an invented market. For tests, and for a person (`python -m tests.support.loopback`). Not a simulation
of trading: prices only wave, and volumes only flow.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from tests.support.loopback import binance, coinbase, coinmarketcap, cryptocompare, cryptowatch, kraken
from tests.support.loopback.faults import ASKED, FAULTS, injected
from tests.support.loopback.recordings import recordings
from tests.support.loopback.toplists import Coins, coins_of

__all__ = ["ASKED", "FAULTS", "TopProviders", "providers", "serving", "top_providers"]


def providers(recorded: Path, now: Callable[[], float], allowance: float = 10.0) -> web.Application:
    """
    Make an application that answers as all four do, at the time that `now` says.

    `app[FAULTS]` maps a path to what happens instead of its answer; `app[ASKED]` lists what was asked.
    `allowance` is what Cryptowatch lets an anonymous client spend.
    """
    app = web.Application(middlewares=[injected])
    app[FAULTS], app[ASKED] = {}, []
    found = recordings(recorded)
    app.add_routes(kraken.Kraken(found, now).routes())
    app.add_routes(binance.Binance(found, now).routes())
    app.add_routes(coinbase.Coinbase(found, now).routes())
    app.add_routes(cryptowatch.Cryptowatch(found, now, allowance).routes())
    if (recorded.parent / "market-data" / "toplists").exists():
        top = top_providers(recorded.parent, now, are_moving=True)
        app.add_routes([*top.prices.routes(), *top.ranks.routes()])
    return app


class TopProviders(NamedTuple):
    """Both providers of the top list on one address, and what they were asked."""

    app: web.Application
    coins: Coins
    prices: coinmarketcap.CoinMarketCap
    ranks: cryptocompare.CryptoCompare


def top_providers(
    shared: Path,
    now: Callable[[], float],
    plans: tuple[int, int, int] = (10_000, 30, 11_000),
    *,
    coins: str = "page",
    are_moving: bool = False,
) -> TopProviders:
    """
    Make CoinMarketCap and CryptoCompare out of the recordings below `shared`, at the time that `now` says.

    `plans` are credits a month, calls a minute, and calls a month. `coins` are those of `toplists`.
    """
    known = coins_of(shared / "market-data" / "toplists", coins, are_moving=are_moving)
    prices = coinmarketcap.CoinMarketCap(known, now, *plans[:2])
    ranks = cryptocompare.CryptoCompare(shared / "recorded", known, now, plans[2])
    app = web.Application(middlewares=[injected])
    app[FAULTS], app[ASKED] = {}, []
    app.add_routes([*prices.routes(), *ranks.routes()])
    return TopProviders(app, known, prices, ranks)


@asynccontextmanager
async def serving(app: web.Application, port: int = 0) -> AsyncIterator[str]:
    """Serve on loopback and give the base address; port 0 is any that is free."""
    # A hanging answer must not hold up the end.
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        host, bound = runner.addresses[0][:2]
        yield f"http://{host}:{bound}"
    finally:
        await runner.cleanup()
