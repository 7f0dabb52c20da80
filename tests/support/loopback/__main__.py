"""`python -m tests.support.loopback`: serve to a person, and say what to type next. No test comes through here."""

import argparse
import asyncio
import sys
import time
from pathlib import Path

from tests.support.loopback import providers, serving
from tests.support.shared import SHARED, VARIABLE

RECORDED = SHARED / "recorded"
METRICS = "KRAKEN:BTCUSD,KRAKEN:ETHUSD,KRAKEN:DOGEUSD,BINANCE:BTCUSDT,BINANCE:SHIBUSDT,BITFINEX:BTCUSD"
SPEECH = """\
Answering as Kraken, Binance, Coinbase and Cryptowatch do, from {folder}, with an invented market:

  Kraken       curl '{base}/0/public/Ticker?pair=XBTUSD'
  Binance      curl -g '{base}/api/v3/ticker/24hr?symbols=["BTCUSDT"]'
  Coinbase     curl '{base}/products/BTC-USD/ticker'
  Cryptowatch  curl '{base}/markets/summaries?limit=1'

and, where the top lists are recorded, as CoinMarketCap and CryptoCompare do; any key is good but "wrong":

  TRACKER_COINMARKETCAP_URL={base} TRACKER_COINMARKETCAP_API_KEY=any
  TRACKER_CRYPTOCOMPARE_URL={base} TRACKER_CRYPTOCOMPARE_API_KEY=any

To sample it, type in another terminal:

  TRACKER_KRAKEN_URL={base} \\
  TRACKER_BINANCE_URL={base} \\
  TRACKER_CRYPTOWATCH_URL={base} \\
  TRACKER_SOURCES=kraken,binance,cryptowatch \\
  TRACKER_METRICS={metrics} \\
  scripts/start.sh

Ctrl-C ends it."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.loopback", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--port", type=int, default=8899, help="on 127.0.0.1; 0 is any that is free (8899)")
    parser.add_argument("--recorded", type=Path, default=RECORDED, help=f"folder of recorded answers ({RECORDED})")
    given = parser.parse_args()
    try:
        asyncio.run(serve(given.port, given.recorded))
    except KeyboardInterrupt:
        return 0
    except (FileNotFoundError, NotADirectoryError) as error:
        sys.stderr.write(
            f"recorded answers are missing: {error.filename}; name the folder that holds kraken/, binance/, ... "
            f"as --recorded, or the one that it is in as {VARIABLE}\n"
        )
    except (OSError, OverflowError) as error:
        sys.stderr.write(f"--port: {given.port} cannot be listened on: {error}\n")
    return 2


async def serve(port: int, recorded: Path) -> None:
    async with serving(providers(recorded, time.time), port) as base:
        sys.stdout.write(SPEECH.format(base=base, folder=recorded, metrics=METRICS) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
