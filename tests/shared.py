"""Where the real data for tests lies: beside the checkout, never inside it."""

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def shared(*parts: str) -> Path:
    """Give a file or folder of real data; where it is absent, skip loudly, and in CI fail."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        reason = f"real data is missing: {path}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return path
