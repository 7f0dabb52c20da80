"""The README's tables of keys and settings say what the code says: every row, every default."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from v1 import keys
from v1.routes.webhook import WebhookMessage
from worker.delivery.notify.webhook import sign
from worker.settings import WorkerSettings

README = Path(__file__).resolve().parents[1] / "README.md"
PREFIX = "TRACKER_"


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the environment of whoever runs this, nor files beside him."""
    for name in WorkerSettings.model_fields:
        monkeypatch.delenv(f"{PREFIX}{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


def table(*header: str) -> list[tuple[str, ...]]:
    """Return the rows of the README's one table with this header, without the marks of code."""
    rows = list(_rows(README.read_text().splitlines(), header))

    assert rows, f"the README has no table | {' | '.join(header)} |"
    return rows


def _rows(lines: list[str], header: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    starts = [index for index, line in enumerate(lines) if _cells(line) == header]
    assert len(starts) <= 1, f"the README has two tables | {' | '.join(header)} |"
    for start in starts:
        for line in lines[start + 2 :]:
            if not line.startswith("|"):
                return
            yield _cells(line)


def _cells(line: str) -> tuple[str, ...]:
    cells = re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))
    return tuple(cell.strip().replace("`", "").replace(r"\|", "|") for cell in cells)


def declared_keys() -> list[tuple[str, ...]]:
    """Return the rows of the table in the docstring of `keys`; between columns there are two blanks or more."""
    lines = (keys.__doc__ or "").splitlines()
    start = next(index for index, line in enumerate(lines) if line.split()[:2] == ["key", "type"])
    end = next(index for index in range(start, len(lines)) if not lines[index].strip())
    return [
        tuple(cell.replace("`", "") for cell in re.split(r" {2,}", line.strip())) for line in lines[start + 1 : end]
    ]


def test_every_row_of_the_declared_keys_has_its_four_columns():
    assert [row for row in declared_keys() if len(row) != 4] == []


def test_the_key_table_is_the_one_that_the_code_declares():
    assert table("key", "type", "score: member, or content", "lives") == declared_keys()


def test_every_key_that_the_code_spells_is_declared():
    spelt = {value for name, value in vars(keys).items() if name.isupper() and str(value).startswith(keys.OURS)}
    told_elsewhere = {keys.OURS, keys.TICKS}

    assert spelt - told_elsewhere <= {row[0] for row in declared_keys()}
    assert f"`{keys.TICKS}`" in (keys.__doc__ or "")


def settings() -> dict[str, tuple[str, str]]:
    return {variable: (default, meaning) for variable, default, meaning in table("variable", "default", "meaning")}


def test_the_settings_table_has_every_setting_once_and_no_other():
    variables = [variable for variable, _, _ in table("variable", "default", "meaning")]

    assert sorted(variables) == sorted(f"{PREFIX}{name.upper()}" for name in WorkerSettings.model_fields)


def test_every_setting_has_a_meaning():
    assert [variable for variable, (_, meaning) in settings().items() if not meaning] == []


@pytest.mark.parametrize("name", WorkerSettings.model_fields)
def test_a_setting_set_to_the_default_in_the_table_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch):
    default, _ = settings()[f"{PREFIX}{name.upper()}"]
    unset = WorkerSettings.load()
    monkeypatch.setenv(f"{PREFIX}{name.upper()}", default)

    assert WorkerSettings.load() == unset
    assert bool(default) == (getattr(unset, name) not in (None, ()))


def fenced(name: str, language: str) -> str:
    """Return the first block of a language in one of the documents."""
    text = (README.parent / "docs" / name).read_text()
    return text.partition(f"```{language}\n")[2].partition("```")[0]


def test_the_example_of_rule_tests_passes(tmp_path: Path):
    (tmp_path / "tests.toml").write_text(fenced("rule-tests.md", "toml"))

    run = subprocess.run(
        [sys.executable, "-m", "worker", "rules", "test", str(tmp_path / "tests.toml")],
        cwd=README.parent,
        capture_output=True,
        text=True,
    )

    assert run.returncode == 0, run.stdout + run.stderr


def test_the_example_of_a_webhook_is_what_one_is_sent():
    WebhookMessage.model_validate_json(fenced("webhooks.md", "json"), strict=True)


def test_the_example_of_a_check_accepts_what_we_sign_and_nothing_else():
    known: dict[str, Any] = {}
    exec(fenced("webhooks.md", "python"), known)
    now, secret, body = str(int(time.time())), b"a secret of both ends", b'{"id":"x"}'
    headers = {"X-Tracker-Timestamp": now, "X-Tracker-Signature": sign(secret, now, body)}

    assert known["is_from_tracker"](secret, headers, body)
    assert not known["is_from_tracker"](secret, headers, body + b" ")
    assert not known["is_from_tracker"](secret, headers | {"X-Tracker-Timestamp": "1"}, body)
