"""Where the real data for tests and measurements lies: beside the checkout, or where it is said; never inside it."""

import os
from pathlib import Path

import pytest

from . import missing

VARIABLE = "DATA_TRACKER_SHARED"
SHARED = Path(os.environ.get(VARIABLE) or Path(__file__).resolve().parents[3] / "shared").absolute()


def shared(*parts: str) -> Path:
    """Return a file or folder of real data; where it is absent, skip, and in CI fail unless it may be."""
    path = SHARED.joinpath(*parts)
    is_hidden = missing.is_hidden(missing.RECORDINGS)
    if is_hidden or not path.exists():
        reason = f"{missing.DATA}: {path} ({VARIABLE} says where it is)"
        pytest.fail(reason) if os.environ.get("CI") and not is_hidden else pytest.skip(reason)
    return path
