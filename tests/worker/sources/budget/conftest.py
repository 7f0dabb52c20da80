"""A Redis that is slow for the load of the machine is there all the same: nothing here tests how long that may be."""

import pytest

from v1.store import budgets


@pytest.fixture(autouse=True)
def enough_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "ANSWER_SECONDS", 60.0)
