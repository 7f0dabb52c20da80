"""Which exchanges the library ccxt has, if it is installed. It is not loaded here: that takes a second."""

from collections.abc import Collection
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PREFIX = "ccxt:"
EXTRA = "python3 -m pip --python .venv/bin/python install -r requirements-ccxt.txt"
"""
What to type where it is missing. In an environment of one's own, `pip install 'data-tracker[ccxt]'` does the same; ccxt
alone is the newest one, which does not go with our other packages.
"""


def is_ccxt(source: str) -> bool:
    """Return whether a source is one of ccxt's: `ccxt:bitstamp`."""
    return source.startswith(PREFIX)


def split_source(source: str) -> str:
    """Return what ccxt calls the exchange of a source."""
    return source.removeprefix(PREFIX)


def name_exchange(source: str) -> str:
    """Return the exchange of a source as metrics name it: `KRAKEN` of `kraken` and of `ccxt:kraken`."""
    return split_source(source).upper()


@cache
def find_exchange_ids() -> Collection[str]:
    """Return what ccxt calls its exchanges; none where it is not installed. Each is a file of ccxt's."""
    found = find_spec("ccxt")
    folders = found.submodule_search_locations if found is not None else None
    files = [file for folder in folders or () for file in (Path(folder) / "async_support").glob("*.py")]
    return tuple(sorted(file.stem for file in files if not file.stem.startswith("_")))
