"""The recorded answers, read from their folder. They are what the services sent, so nothing is changed here."""

import gzip
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

# The C reader where it is built in: the cassette is one text of four million characters.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, eq=False)
class Recordings:
    kraken_pair: Json
    """One row of AssetPairs."""
    kraken_ticker: Json
    """One row of Ticker."""
    binance_info: Json
    binance_ticker: Json
    """One row of `ticker/24hr`."""
    summaries: dict[str, Json]
    """All of Cryptowatch's, by `kraken:btcusd`."""


@cache
def recordings(folder: Path) -> Recordings:
    return Recordings(
        _json(folder / "kraken" / "http_asset_pairs.json")["result"]["XBTUSDT"],
        _json(folder / "kraken" / "http_ticker.json")["result"]["XBTUSDT"],
        json.loads(gzip.decompress((folder / "binance" / "exchangeInfo.2021-10-12.json.gz").read_bytes())),
        _json(folder / "binance" / "ticker_24hr_response.json"),
        json.loads(cassette(folder / "cryptowatch" / "get_all_market_summaries.yml.gz")[0])["result"],
    )


def cassette(path: Path) -> list[str]:
    """Return the bodies of the answers in a cassette, as they were sent."""
    content = path.read_bytes()
    text = gzip.decompress(content) if path.suffix == ".gz" else content
    found = yaml.load(text, Loader=_Loader)  # one of the safe loaders, either way
    return [each["response"]["body"]["string"] for each in found["interactions"]]


def _json(path: Path) -> Json:
    return dict(json.loads(path.read_bytes()))
