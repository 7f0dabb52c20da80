"""Where the recorded market data lies that some measurements play: beside the checkout, never inside it."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT.parent / "shared" / "market-data"


def folder(name: str) -> Path | None:
    """Give the folder of a recording; where it is absent, say so and give `None`."""
    path = HOME / name
    if path.is_dir():
        return path
    print(f"real data is missing: {path}; what needs it is left out", file=sys.stderr)
    return None
