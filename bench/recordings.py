"""The recorded market data that some measurements play, where the tests find theirs."""

import sys
from pathlib import Path

from tests.support.shared import SHARED, VARIABLE

ROOT = Path(__file__).resolve().parents[1]
HOME = SHARED / "market-data"


def folder(name: str) -> Path | None:
    """Return the folder of a recording; where it is absent, say so and give `None`."""
    path = HOME / name
    if path.is_dir():
        return path
    print(f"real data is missing: {path} ({VARIABLE} says where it is); what needs it is left out", file=sys.stderr)
    return None
