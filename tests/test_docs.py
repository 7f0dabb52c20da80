"""
The README and `docs/` say what is so: every command that they show is run in a checkout, its answer held beside the one
that is shown, every table that follows from the code is fresh, and no link is dead.
"""

import contextlib
import json
import re
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts import docs
from v1.routes.webhook import WebhookMessage
from v1.rules.rule import Kind
from v1.store import keys
from worker.delivery.notify.webhook import sign
from worker.settings import WorkerSettings

from .support.documents import (
    ADDRESS,
    NOT_RUN,
    PAGES,
    README,
    ROOT,
    SECONDS,
    STAYS,
    Block,
    Differs,
    Reader,
    anchors_of,
    blocks_of,
    copied,
    links_of,
)
from .support.edge import find_nginx

PREFIX = "TRACKER_"
LONGEST_README = 150
IN_A_COPY = ("a-source-of-your-own.md", "a-new-version.md")
"""Pages that change the code; `test_extending.py` does what they say, in a copy for each."""
ALL = [block for page in PAGES for block in blocks_of(page)]
OWN_TEST = {"WebhookMessage", "is_from_tracker", ".env", "cron", "diagram", "location", "server", "help", "hypertables"}
"""Labels of blocks that another test looks at, or that are pictures."""

NOT_HERE = {
    ("README.md", "it runs this very test"),
    ("docs/tutorial.md", "it needs the address of the repository"),
    ("docs/how-to/a-source-of-your-own.md", "it takes minutes"),
    ("docs/how-to/backup-and-restore.md", "it needs a Redis of your own"),
    ("docs/how-to/backup-and-restore.md", "it needs docker"),
    ("docs/how-to/backup-and-restore.md", "it needs a cluster"),
    ("docs/how-to/cluster.md", "it needs Kubernetes"),
    ("docs/how-to/cluster.md", "it needs a cluster"),
    ("docs/how-to/containers.md", "it needs docker"),
    ("docs/how-to/monitoring.md", "it needs a Prometheus of your own"),
    ("docs/how-to/postgresql.md", "it needs a PostgreSQL of your own"),
    ("docs/how-to/recordings.md", "it needs recorded answers beside the checkout"),
    ("docs/how-to/sources-and-metrics.md", "it takes minutes"),
    ("docs/how-to/systemd.md", "it needs systemd"),
    ("docs/how-to/tests-and-checks.md", "it runs this very test"),
    ("docs/how-to/a-source-of-your-own.md", "it takes minutes"),
    ("docs/how-to/tests-and-checks.md", "it takes minutes"),
    ("docs/how-to/upgrade.md", "it needs docker"),
    ("docs/how-to/upgrade.md", "it needs systemd"),
    ("docs/how-to/upgrade.md", "it needs the address of the repository"),
}
"""What is shown and cannot be run here, and why."""


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def block_of(label: str) -> str:
    """Return the text of the one block with a label."""
    (text,) = [block.text for block in ALL if block.label == label]
    return text


# ---- what the pages are -----------------------------------------------------------------------------------


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) <= LONGEST_README


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_no_link_is_dead(page: Path):
    dead = [
        f"{path}#{anchor}"
        for path, anchor in links_of(page)
        for target in [(page.parent / path).resolve() if path else page]
        if not target.exists() or (anchor and anchor not in anchors_of(target))
    ]

    assert dead == []


def test_every_page_is_reached_from_the_readme():
    reached, new = {README}, [README]
    while new:
        page = new.pop()
        targets = {(page.parent / path).resolve() for path, _ in links_of(page) if path.endswith(".md")}
        new += [target for target in targets - reached if target.exists()]
        reached |= targets

    assert [named(page) for page in PAGES if page not in reached] == []


def test_every_block_says_what_is_done_with_it():
    assert [block.place for block in ALL if not is_known(block)] == []


def is_known(block: Block) -> bool:
    if block.language == "sh":
        return block.label in ("", "demo", "fails") or block.label.startswith((NOT_RUN, STAYS))
    return block.is_answer or block.is_file or block.label in OWN_TEST or block.language == "diff"


def test_only_what_is_known_cannot_be_run_here():
    shown = {(named(block.page), block.label.removeprefix(NOT_RUN)) for block in ALL if block.label.startswith(NOT_RUN)}

    assert shown == NOT_HERE


def test_every_answer_follows_a_command():
    for page in PAGES:
        last = None
        for block in blocks_of(page):
            assert not block.is_answer or last == "sh", block.place
            last = block.language


# ---- tables -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_tables_say_what_the_code_says(page: Path):
    assert docs.renew_tables(page.read_text()) == page.read_text(), "stale; to renew: scripts/docs.sh"


def test_every_table_that_can_be_made_is_shown_once():
    shown = [name for page in PAGES for _, name, _ in docs.MARKS.findall(page.read_text())]

    assert sorted(shown) == sorted(docs.TABLES)


def rows_of(table: str) -> list[list[str]]:
    """Return the rows of a table without its header and the marks of code."""
    lines = docs.TABLES[table]().splitlines()[2:]
    return [
        [cell.strip().replace("`", "").replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in lines
    ]


def test_every_row_of_the_declared_keys_has_its_four_columns():
    assert [row for row in rows_of("keys") if len(row) != 4] == []


def test_every_key_that_the_code_spells_is_declared():
    public = {name: value for name, value in vars(keys).items() if name.isupper() and not name.startswith("_")}
    spelt = {value for value in public.values() if str(value).startswith(keys.OURS)}
    told_elsewhere = {keys.OURS, keys.TICKS, keys.CHANGES}

    assert spelt - told_elsewhere <= {row[0] for row in rows_of("keys")}
    assert all(f"`{channel}`" in (keys.__doc__ or "") for channel in (keys.TICKS, keys.CHANGES))


def settings() -> dict[str, tuple[str, str]]:
    rows = rows_of("settings") + rows_of("worker-settings")
    return {variable: (default, meaning) for variable, default, meaning in rows}


def test_the_settings_tables_have_every_setting_once_and_no_other():
    variables = [row[0] for row in rows_of("settings") + rows_of("worker-settings")]

    assert sorted(variables) == sorted(f"{PREFIX}{name.upper()}" for name in WorkerSettings.model_fields)


def test_every_setting_has_a_meaning():
    assert [variable for variable, (_, meaning) in settings().items() if not meaning] == []


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Neither the environment of whoever runs this, nor files beside him."""
    for name in WorkerSettings.model_fields:
        monkeypatch.delenv(f"{PREFIX}{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


@pytest.mark.parametrize("name", WorkerSettings.model_fields)
def test_a_setting_set_to_the_default_in_the_table_changes_nothing(name: str, nothing_set: pytest.MonkeyPatch):
    default, _ = settings()[f"{PREFIX}{name.upper()}"]
    unset = WorkerSettings.load()
    nothing_set.setenv(f"{PREFIX}{name.upper()}", default)

    assert WorkerSettings.load() == unset
    assert bool(default) == (getattr(unset, name) not in (None, ()))


@pytest.mark.parametrize("block", [block for block in ALL if block.label == ".env"], ids=lambda block: block.place)
def test_settings_that_are_shown_are_accepted(block: Block, nothing_set: pytest.MonkeyPatch):
    for line in block.text.splitlines():
        nothing_set.setenv(*line.split("=", 1))

    WorkerSettings.load()


def test_every_kind_of_rule_is_explained():
    explained = (ROOT / "docs" / "reference" / "rules.md").read_text().partition("## Fields of a kind")[0]

    assert re.findall(r"^\| `(\w+)` \|", explained, re.MULTILINE) == [*Kind]


# ---- blocks with a test of their own ----------------------------------------------------------------------


def test_the_example_of_a_webhook_is_what_one_is_sent():
    WebhookMessage.model_validate_json(block_of("WebhookMessage"), strict=True)


def test_the_example_of_a_check_accepts_what_we_sign_and_nothing_else():
    known: dict[str, Any] = {}
    exec(block_of("is_from_tracker"), known)
    now, secret, body = str(int(time.time())), b"a secret of both ends", b'{"id":"x"}'
    headers = {"X-Tracker-Timestamp": now, "X-Tracker-Signature": sign(secret, now, body)}

    assert known["is_from_tracker"](secret, headers, body)
    assert not known["is_from_tracker"](secret, headers, body + b" ")
    assert not known["is_from_tracker"](secret, headers | {"X-Tracker-Timestamp": "1"}, body)


def test_nginx_takes_the_location_that_is_shown(tmp_path: Path):
    nginx = find_nginx()
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; events {{}} http {{ access_log off; server {{ listen 127.0.0.1:80; "
        f"{block_of('location')} }} }}"
    )

    checked = subprocess.run(
        [nginx, "-t", "-p", tmp_path, "-e", "stderr", "-c", tmp_path / "nginx.conf"], capture_output=True, text=True
    )

    assert checked.returncode == 0 or "syntax is ok" in checked.stderr, checked.stderr


# ---- commands and answers ---------------------------------------------------------------------------------


@contextlib.contextmanager
def demo(reader: Reader) -> Iterator[str]:
    """Start the demo, as the pages say, and wait until its day is full; give what it printed."""
    with reader.started("exec scripts/start.sh --demo") as (process, log):
        try:
            until(lambda: "  stop " in log.read_text(), log)
            until(lambda: is_full(f"http://127.0.0.1:{reader.port('8000')}"), log)
            yield log.read_text()
        finally:
            process.terminate()
            process.wait(SECONDS)


def until(is_so: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"waited in vain; the demo printed\n{log.read_text()}"
        time.sleep(0.2)


def is_full(base: str) -> bool:
    """Tell whether all is there that the pages ask for: minutes, an hour that is over, the day, all ranks."""
    try:
        answers = [
            answer_of(f"{base}/v1/{path}")
            for path in (
                "metrics/SIMULATED:BTCUSD/history?from=-2m",
                "metrics/SIMULATED:BTCUSD/candles?interval=4h&from=-1d",
                "snapshot?metrics=SIMULATED:BTCUSD&sparkline=24",
                "ranks",
            )
        ]
    except OSError:
        return False
    (row,) = answers[2]["rows"]
    is_whole = row["change_24h"] is not None and None not in row["sparkline"]
    has_closed = any(candle["closed"] for candle in answers[1]["candles"][:1])
    are_ranked = answers[3]["of"] > 0 and not answers[3]["unranked"]
    return len(answers[0]["points"]) == 3 and has_closed and is_whole and are_ranked


def answer_of(address: str) -> Any:
    with urllib.request.urlopen(address) as answer:
        return json.load(answer)


@pytest.mark.timeout(900)
def test_every_command_that_is_shown_works_and_gives_the_answer_that_is_shown():
    differing = []
    # Not pytest's own folder: with its long names a socket in there would be too deep.
    with tempfile.TemporaryDirectory() as folder:
        reader = Reader(copied(Path(folder, "data-tracker")))
        with demo(reader) as printed:
            for page in PAGES:
                reader.said = printed
                try:
                    if page.name not in IN_A_COPY:
                        reader.read(blocks_of(page))
                except Differs as differs:
                    differing.append(str(differs))

    assert not differing, "\n\n".join(differing)


def test_the_demo_is_started_as_the_pages_say():
    assert {block.text for block in ALL if block.label == "demo"} == {"scripts/start.sh --demo\n"}


def test_ports_that_are_shown_are_those_that_can_be_replaced():
    shown = {found for block in ALL for found in re.findall(r"(?:127\.0\.0\.1|localhost):\d+", block.text)}

    assert [found for found in shown if not ADDRESS.fullmatch(found)] == []
