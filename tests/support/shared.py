"""Where the real data for tests and measurements lies: beside the checkout, or where it is said; never inside it."""

import os
from pathlib import Path

import pytest

VARIABLE = "DATA_TRACKER_SHARED"
SHARED = Path(os.environ.get(VARIABLE) or Path(__file__).resolve().parents[3] / "shared").absolute()


def shared(*parts: str) -> Path:
    """Return a file or folder of real data; where it is absent, skip loudly, and in CI fail."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        reason = f"real data is missing: {path} ({VARIABLE} says where it is)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return path
