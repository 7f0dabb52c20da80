"""
A server on loopback that answers as Kraken, Binance and Cryptowatch do: their recorded answers, brought
to life by an invented market. For tests, and for a person (`python -m tests.loopback`). Not a simulation
of trading: prices only wave, and volumes only flow.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from . import binance, cryptowatch, kraken
from .faults import ASKED, FAULTS, injected
from .recordings import recordings

__all__ = ["ASKED", "FAULTS", "providers", "serving"]


def providers(recorded: Path, now: Callable[[], float], allowance: float = 10.0) -> web.Application:
    """
    Make an application that answers as all three do, at the time that `now` says.

    `app[FAULTS]` maps a path to what happens instead of its answer; `app[ASKED]` lists what was asked.
    `allowance` is what Cryptowatch lets an anonymous client spend.
    """
    app = web.Application(middlewares=[injected])
    app[FAULTS], app[ASKED] = {}, []
    found = recordings(recorded)
    app.add_routes(kraken.Kraken(found, now).routes())
    app.add_routes(binance.Binance(found, now).routes())
    app.add_routes(cryptowatch.Cryptowatch(found, now, allowance).routes())
    return app


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
