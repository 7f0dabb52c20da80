"""Commands that run in the process of their tests."""

import pytest


@pytest.fixture(autouse=True)
def own_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a command that runs in this process leave its log as it is: other tests read what is logged."""
    monkeypatch.setattr("worker.cli.process.configure_logs", lambda _: None)
