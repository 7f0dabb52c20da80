"""The scripts as a stranger runs them: in a copy of the checkout, under a path with a space, from anywhere."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE
from unittest import mock

import pytest
import typer
from redis import Redis

import worker.cli.commands as worker
from bench.__main__ import NAMES
from scripts import environment
from scripts.supervisor import list_ignored_settings, read_settings
from tests.support import missing, postgres, servers
from tests.support.borrowed import borrow_environment, make_environment
from worker.embedded.pidlock import AlreadyRunning, lock_pid_file, read_holder, stop_holder, write_pid
from worker.embedded.server import is_answering
from worker.settings import WorkerSettings

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "scripts").glob("*.sh"))
PATIENCE = 90.0
"""Seconds that anything here may take on a busy machine; most of it takes one."""
PARTS = ("database", "worker", "api")


class Started:
    """A script that runs, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def said(self) -> str:
        return self._log.read_text()

    def until_it_says(self, words: str) -> str:
        until(lambda: words in self.said or self.process.poll() is not None)
        assert words in self.said, self.said
        return self.said

    def code(self) -> int:
        return self.process.wait(PATIENCE)


class Clone:
    """A copy of the checkout, as git would give it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.demo = folder / "data" / "demo"
        self.port = servers.free_port()

    def environment(self, **given: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
        # The environment of these tests, so that none is installed for each.
        return {**inherited, "VENV": borrow_environment(), "TRACKER_BIND": f"127.0.0.1:{self.port}", **given}

    def run(self, script: str, *words: str, cwd: Path | None = None, **given: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.folder / "scripts" / script, *words],
            cwd=cwd or self.folder,
            env=self.environment(**given),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    @contextmanager
    def started(
        self, script: str, *words: str, cwd: Path | None = None, under: Sequence[str] = (), **given: str
    ) -> Iterator[Started]:
        log = self.folder / f"{script}.{time.monotonic_ns()}.log"
        with (
            log.open("wb") as out,
            subprocess.Popen(
                [*under, cwd / script if cwd else self.folder / "scripts" / script, *words],
                cwd=cwd or self.folder,
                env=self.environment(**given),
                stdout=out,
                stderr=out,
            ) as process,
        ):
            try:
                yield Started(process, log)
            finally:
                process.terminate()
                process.wait(PATIENCE)

    def part(self, name: str) -> int | None:
        """Return the process id of a part of the demo that runs."""
        return read_holder(self.demo / "run" / f"{name}.pid")


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def clone() -> Iterator[Clone]:
    # Not pytest's own folder: with its long names a socket in there would be too deep.
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "a clone")
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for name in names.rstrip("\0").split("\0"):
            if (ROOT / name).exists():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
        yield Clone(copy)


# ---- start.sh ---------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
def test_the_demo_shows_a_full_day_and_stops_everything_when_told(clone: Clone):
    with clone.started("start.sh", "--demo") as demo:
        said = demo.until_it_says("stop ")
        question = re.findall(r"ask it +curl '(.+)'", said)[0]
        # Some of its markets are silent for minutes, as real ones are.
        until(lambda: len(points_of(question)) >= 1400)
        running = {clone.part(name) for name in PARTS}
        demo.process.send_signal(signal.SIGINT)
        code = demo.code()

    assert code == 0, demo.said
    assert None not in running
    assert [name for name in PARTS if clone.part(name)] == []
    assert not is_answering(clone.demo / "redis.sock")
    assert "everything is stopped" in demo.said
    assert "does not stop" not in demo.said


def points_of(question: str) -> list[object]:
    with urllib.request.urlopen(question) as answer:
        return list(json.load(answer)["points"])


def test_where_the_exchange_cannot_be_reached_it_is_said_since_when_what_is_tried_next_and_what_to_do(clone: Clone):
    with clone.started("start.sh", TRACKER_KRAKEN_URL="http://127.0.0.1:1") as start:
        said = start.until_it_says("stop ")

    assert "data-tracker is up, with its data in data/, and this is not well:\n" in said
    assert re.search(
        r"\n  degraded: kraken is failing since 20\S+ \S+ UTC: kraken did not answer: .+; it is asked again at the next "
        r"tick; see whether this machine reaches TRACKER_KRAKEN_URL: network, DNS, proxy, firewall\n",
        said,
    )
    assert "soon" not in said


def test_a_file_of_rules_that_is_not_there_and_a_metric_that_nobody_has_are_said(clone: Clone):
    given = {
        "TRACKER_SOURCES": "simulated",
        "TRACKER_METRICS": "SIMULATED:BTCUSD,SIMULATED:BTCUDS",
        "TRACKER_RULES_FILE": "no-rules.toml",
    }
    with clone.started("start.sh", **given) as start:
        said = start.until_it_says("no-rules.toml: cannot be read")
        said = start.until_it_says("nothing is sampled as SIMULATED:BTCUDS")

    assert "nothing is sampled as SIMULATED:BTCUDS: simulated has no pair BTCUDS; nearest: BTCUSD" in said


@pytest.mark.timeout(120)
def test_a_part_that_is_killed_is_started_again_and_the_others_wait_for_it(clone: Clone):
    with clone.started("start.sh", "--demo") as demo:
        question = re.findall(r"ask it +curl '(.+)'", demo.until_it_says("stop "))[0]
        before = {name: clone.part(name) for name in PARTS}
        for name in PARTS:
            os.kill(clone.part(name) or 0, signal.SIGKILL)
            until(lambda name=name: clone.part(name) not in (before[name], None))
            until(lambda: is_answered(question))
            # Who needs what was killed waits for it.
            assert all(clone.part(other) == before[other] for other in PARTS[PARTS.index(name) + 1 :])
        after = {name: clone.part(name) for name in PARTS}
        demo.process.send_signal(signal.SIGINT)
        code = demo.code()

    assert code == 0, demo.said
    assert all(before[name] != after[name] for name in PARTS)
    for name in ("database", "worker", "API"):
        log = f"data/demo/logs/{name.lower()}.log"
        assert demo.said.count(f"the {name} was ended by SIGKILL; starting it again in 1 s; its log: {log}\n") == 1
    assert demo.said.count("starting it again") == len(PARTS)
    assert [name for name in PARTS if clone.part(name)] == []


def is_answered(question: str) -> bool:
    try:
        return bool(points_of(question))
    except OSError:
        return False


def test_everything_stops_when_a_part_cannot_be_kept_up_and_the_last_line_says_where_its_log_is(clone: Clone):
    given_up = "restarts.RestartPolicy.__new__.__defaults__ = ((), 60.0, 10.0)"
    program = f"import sys; from scripts import restarts, supervisor; {given_up}; sys.exit(supervisor.main())"
    words = [sys.executable, "-c", program, "--demo"]
    with subprocess.Popen(
        words, cwd=clone.folder, env=clone.environment(), stdout=PIPE, stderr=PIPE, text=True
    ) as demo:
        try:
            until(lambda: clone.part("api") or demo.poll() is not None)
            os.kill(clone.part("worker") or 0, signal.SIGKILL)
            _, said = demo.communicate(timeout=PATIENCE)
        finally:
            demo.terminate()

    assert demo.returncode == 1
    assert said.startswith("the worker was ended by SIGKILL; ")
    assert said.splitlines()[-1] == (
        "the worker ended 1 times, each time within 60 s of its start, and is not started again; "
        "its log is data/demo/logs/worker.log"
    )
    assert [name for name in PARTS if clone.part(name)] == []


def test_a_run_that_was_killed_leaves_nothing_in_the_way_of_the_next(clone: Clone):
    with clone.started("start.sh", "--demo") as killed:
        killed.until_it_says("stop ")
        left = clone.part("database")
        killed.process.kill()
    with clone.started("start.sh", "--demo") as demo:
        said = demo.until_it_says("stop ")
        new = clone.part("database")

    assert "stopped the database that a killed run had left behind" in said
    assert left
    assert new not in (left, None)


def test_a_second_start_says_that_it_is_up_already(clone: Clone):
    with clone.started("start.sh", "--demo") as demo:
        demo.until_it_says("the database is up")
        second = clone.run("start.sh", "--demo")

    assert second.returncode == 1
    assert second.stderr.startswith(f"it is up already: process {demo.process.pid} runs it on data/demo")


def test_a_taken_port_is_told_before_anything_starts(clone: Clone):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        tried = clone.run("start.sh", "--demo", TRACKER_BIND=bind)

    assert tried.returncode == 1
    assert tried.stderr.startswith(f"TRACKER_BIND: cannot listen on {bind}: Address already in use; choose another")
    assert tried.stdout == ""


def test_the_demo_stops_everything_although_nobody_reads_what_it_says_any_more(clone: Clone):
    words = [clone.folder / "scripts" / "start.sh", "--demo"]
    with subprocess.Popen(words, cwd=clone.folder, env=clone.environment(), stdout=PIPE, stderr=PIPE) as demo:
        assert demo.stdout
        assert demo.stderr
        try:
            until(lambda: all(clone.part(name) for name in PARTS) or demo.poll() is not None)
            demo.stdout.close()
            demo.send_signal(signal.SIGINT)
            code = demo.wait(PATIENCE)
            complaints = demo.stderr.read()
        finally:
            demo.terminate()

    assert [name for name in PARTS if clone.part(name)] == []
    assert (code, complaints) == (0, b"")


def test_under_nohup_the_end_of_the_terminal_is_no_reason_to_stop_and_being_told_to_is(clone: Clone):
    with clone.started("start.sh", "--demo", under=("nohup",)) as demo:
        demo.until_it_says("the database is up")
        demo.process.send_signal(signal.SIGHUP)
        demo.until_it_says("the API is up")
        demo.process.send_signal(signal.SIGTERM)
        code = demo.code()

    assert code == 0
    assert [name for name in PARTS if clone.part(name)] == []
    assert "everything is stopped" in demo.said


def test_the_demo_takes_nothing_from_the_settings_but_where_it_listens_and_to_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / ".env").write_text(
        "TRACKER_BIND=127.0.0.1:9000\nTRACKER_API_KEYS=the-first-of-two-keys,the-second-of-two-keys\nTRACKER_DATABASE_URL=postgresql://prod/candles\n"
        "TRACKER_NOTIFY=json://example.org\nTRACKER_RULES_FILE=rules.toml\n"
    )
    (tmp_path / "tracker.toml").write_text('heartbeat_url = "https://example.org/alive"\nlog_format = "json"\n')
    monkeypatch.chdir(tmp_path)
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    secrets = {
        "TRACKER_PUSHOVER_TOKEN": "t" * 30,
        "tracker_pushover_user": "u" * 30,
        "TRACKER_REDIS_URL": "redis://prod",
    }

    with mock.patch.dict(os.environ, ours | secrets, clear=True):
        ignored = list_ignored_settings()
        settings = read_settings(demo=True)

    assert ignored == [
        "TRACKER_DATABASE_URL",
        "TRACKER_HEARTBEAT_URL",
        "TRACKER_NOTIFY",
        "TRACKER_PUSHOVER_TOKEN",
        "TRACKER_PUSHOVER_USER",
        "TRACKER_REDIS_URL",
        "TRACKER_RULES_FILE",
    ]

    usual = {name: field.get_default() for name, field in WorkerSettings.model_fields.items()}
    assert {name: value for name, value in settings if value != usual[name]} == {
        "bind": "127.0.0.1:9000",
        "api_keys": ("the-first-of-two-keys", "the-second-of-two-keys"),
        "log_format": "json",
        "sources": ("simulated",),
        "metrics": ("SIMULATED:*",),
        "data_dir": Path("data/demo"),
        "redis_url": settings.redis_url,
    }
    assert str(settings.redis_url).endswith("/data/demo/redis.sock")


def test_the_demo_never_touches_the_redis_of_the_settings(clone: Clone):
    with clone.started("start.sh", "--demo", TRACKER_REDIS_URL="redis://127.0.0.1:1/0", TRACKER_INTERVAL="60") as demo:
        said = demo.until_it_says("the database is up")

    assert said.startswith(
        "the demo does not use TRACKER_REDIS_URL: it has its own market, database and rules, and sends nothing\n"
    )


@pytest.mark.parametrize(
    "script, words",
    [
        ("start.sh", ()),
        ("start-db.sh", ()),
        ("start-worker.sh", ()),
        ("start-api.sh", ()),
        ("backup.sh", ("nowhere",)),
        ("restore.sh", ("nowhere",)),
    ],
)
def test_wrong_settings_stop_every_script_with_a_line_each(clone: Clone, script: str, words: Sequence[str]):
    wrong = {
        "TRACKER_DATABASE_URL": "postgresql://me:s3cret@host:port/database",
        "TRACKER_INTERVAL": "7",
        "TRACKER_LOG_LEVEL": "loud",
        "TRACKER_REDIS_URL": "redis://me:s3cret@host/0?socket_timeout=soon",
    }

    tried = clone.run(script, *words, **wrong)

    told = [line for line in tried.stderr.splitlines() if line.startswith("TRACKER_")]
    assert tried.returncode == 2
    assert sorted(line.split(":")[0] for line in told) == sorted(wrong)
    assert "s3cret" not in tried.stderr
    assert "Traceback" not in tried.stderr


# ---- start-db.sh ------------------------------------------------------------------------------------------


def test_the_database_is_started_once_and_keeps_what_it_has_when_killed(clone: Clone):
    path = clone.folder / "data" / "redis.sock"
    with clone.started("start-db.sh") as first:
        until(lambda: is_answering(path))
        second = clone.run("start-db.sh")
        with Redis(unix_socket_path=str(path)) as client:
            client.set("kept", "yes", ex=1000)
        first.process.kill()
    with clone.started("start-db.sh") as third:
        until(lambda: is_answering(path))
        with Redis(unix_socket_path=str(path)) as client:
            kept = client.get("kept")
        third.process.terminate()
        code = third.code()

    assert second.returncode == 0
    assert f"already running on {clone.folder}/data (process {first.process.pid})" in second.stderr
    assert kept == b"yes"
    assert code == 0


def test_a_redis_of_ones_own_is_used_and_what_it_lacks_is_said(clone: Clone, tmp_path: Path):
    lacking = ["--maxmemory-policy", "allkeys-lru", "--zset-max-listpack-value", "64", "--appendonly", "no"]
    with servers.running(servers.embedded(), tmp_path, *lacking) as address:
        looked = clone.run("start-db.sh", TRACKER_REDIS_URL=address)

    warnings = re.findall(r"^warning: (\S+) is (\S+), and should be (\S+): ", looked.stderr, re.MULTILINE)
    assert looked.returncode == 0
    assert warnings == [
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
        ("zset-max-listpack-value", "64", "256"),
        ("appendonly", "no", "yes"),
    ]


def test_a_redis_of_ones_own_that_is_away_is_told_without_its_password(clone: Clone):
    looked = clone.run("start-db.sh", TRACKER_REDIS_URL="redis://me:secret@127.0.0.1:1/0")

    assert looked.returncode == 1
    assert "redis://127.0.0.1:1/0 is used" in looked.stderr
    assert "Redis is away" in looked.stderr
    assert "secret" not in looked.stderr


@pytest.mark.parametrize("script", ["start.sh", "start-db.sh"])
def test_a_data_directory_too_deep_for_a_socket_is_told(clone: Clone, script: str):
    tried = clone.run(script, TRACKER_DATA_DIR="deep/" * 20)

    assert tried.returncode == 2
    assert re.match(r"TRACKER_DATA_DIR: .* choose a shorter folder", tried.stderr)


# ---- the others -------------------------------------------------------------------------------------------


def test_an_unknown_version_is_told_with_those_that_exist(clone: Clone):
    tried = clone.run("start-api.sh", "v7")

    assert tried.returncode == 2
    assert tried.stderr == "there is no version 'v7' here, only: v1\n"


def test_a_script_runs_from_anywhere_and_through_a_link(clone: Clone, tmp_path: Path):
    (tmp_path / "start-api.sh").symlink_to(clone.folder / "scripts" / "start-api.sh")

    with clone.started("start-api.sh", cwd=tmp_path) as api:
        said = api.until_it_says("/docs")

    assert "serving v1" in said


@pytest.mark.parametrize(
    "words, looked_at",
    [
        pytest.param("replay ./recorded", "recorded", id="replay a path"),
        pytest.param("replay recorded", "recorded", id="replay a word"),
        pytest.param("replay .", ".", id="replay what is here"),
        pytest.param("rules backtest wrong.toml", "wrong.toml", id="backtest"),
        pytest.param("rules backtest good.toml --recording=./recorded", "recorded", id="backtest on a path"),
        pytest.param("rules backtest good.toml --recording recorded", "recorded", id="backtest on a word"),
        pytest.param("rules test none.toml", "none.toml", id="test"),
    ],
)
def test_a_path_means_what_it_meant_where_it_was_typed(clone: Clone, tmp_path: Path, words: str, looked_at: str):
    (tmp_path / "recorded").mkdir()
    (tmp_path / "wrong.toml").write_text("wrong")
    (tmp_path / "good.toml").write_text('[[rules]]\nid = "much"\nkind = "ratio"\nfactor = 3\n')

    tried = clone.run("start-worker.sh", *words.split(), cwd=tmp_path)

    assert tried.returncode == 2
    assert str(tmp_path / looked_at) in tried.stderr


def test_the_tests_run_from_anywhere(clone: Clone, tmp_path: Path):
    listed = clone.run("run-tests.sh", "--collect-only", "--quiet", "tests/test_latest.py", cwd=tmp_path)

    assert listed.returncode == 0, listed.stdout
    assert "tests/test_latest.py::" in listed.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_is_plain_sh_and_says_what_it_does(script: Path):
    text = script.read_text()

    assert subprocess.run(["sh", "-n", script]).returncode == 0
    if script.name != "environment.sh":  # which is not run, but sourced
        assert text.startswith("#!/bin/sh -e\n# ")
        assert os.access(script, os.X_OK)
        assert '\n. "$(dirname "$(readlink -f "$0")")/environment.sh"\n' in text


WITHOUT_HELP = "environment.sh"
TYPED = [script.name for script in SCRIPTS if script.name != WITHOUT_HELP]


@pytest.mark.parametrize("word", ["--help", "-h"])
@pytest.mark.parametrize("script", TYPED)
def test_every_script_says_at_once_how_it_is_used_by_the_name_that_was_typed(clone: Clone, script: str, word: str):
    none = clone.folder / "none"

    asked = [
        clone.run(script, word, VENV=str(none), PYTHON="false"),
        subprocess.run([f"./{script}", word], cwd=clone.folder / "scripts", capture_output=True, text=True),
    ]

    names = [str(clone.folder / "scripts" / script), f"./{script}"]
    for answer, name in zip(asked, names, strict=True):
        usage, empty, first, *_ = answer.stdout.splitlines()
        assert (answer.returncode, answer.stderr, empty) == (0, "", "")
        assert usage.startswith(f"usage: {name}")
        assert re.match("[A-Z].+[.:]", first)
    assert not none.exists()


@pytest.mark.parametrize(
    "script", [name for name in TYPED if name not in ("run-tests.sh", "coverage.sh", "start-worker.sh")]
)
def test_an_unknown_option_is_told_before_anything_is_installed(clone: Clone, script: str):
    tried = clone.run(script, "--nonsense", VENV=str(clone.folder / "none"), PYTHON="false")

    first, usage = tried.stderr.splitlines()
    name = clone.folder / "scripts" / script
    assert tried.returncode == 2
    assert first.startswith(f"{name}: there is no option '--nonsense'; accepted: ")
    assert first.endswith("--help")
    assert usage.startswith(f"usage: {name}")


@pytest.mark.parametrize("script, words", [("start.sh", "now"), ("start-api.sh", "v1 v1"), ("backup.sh", "a b")])
def test_a_word_too_many_is_told(clone: Clone, script: str, words: str):
    tried = clone.run(script, *words.split())

    assert tried.returncode == 2
    assert "is one word too many" in tried.stderr


@pytest.mark.parametrize("script", ["backup.sh", "restore.sh"])
def test_a_folder_that_is_missing_is_told(clone: Clone, script: str):
    tried = clone.run(script)

    assert tried.returncode == 2
    assert tried.stderr.startswith(f"{clone.folder}/scripts/{script}: FOLDER is missing\n")


def test_the_help_of_the_worker_names_all_of_its_commands_and_each_has_its_own_by_the_same_name(clone: Clone):
    helped = clone.run("start-worker.sh", "--help").stdout
    command = typer.main.get_group(worker.app)
    name = clone.folder / "scripts" / "start-worker.sh"

    own = clone.run("start-worker.sh", "replay", "--help")
    wrong = clone.run("start-worker.sh", "--nonsense")
    early = clone.run("start-worker.sh", "replay", "--help", VENV=str(clone.folder / "none"), PYTHON="false")

    assert set(re.findall(r"^  ([\w-]+) ", helped, re.MULTILINE)) == set(command.commands)
    assert own.stdout.startswith(f"Usage: {name} replay ")
    assert wrong.returncode == 2
    assert f"Usage: {name}" in wrong.stderr
    assert "No such option: --nonsense" in wrong.stderr
    assert early.stdout == helped


def test_the_help_of_the_measurements_names_all_of_them(clone: Clone):
    helped = clone.run("bench.sh", "--help").stdout

    assert set(NAMES) <= set(helped.split())


# ---- the environment --------------------------------------------------------------------------------------


def test_a_machine_with_old_pythons_only_is_told_which(clone: Clone, tmp_path: Path):
    for tool in ("dirname", "readlink", "cmp"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or tool)
    for name, version in (("python3", "3.9.2"), ("python3.10", "3.10.1"), ("python3.11", "3.11.0, without venv")):
        (tmp_path / name).write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "Python {version}"\n')
        (tmp_path / name).chmod(0o755)

    tried = clone.run("start.sh", PATH=str(tmp_path), VENV=str(tmp_path / "none"))

    assert tried.returncode == 1
    assert "needs Python 3.11 or later" in tried.stderr
    assert tried.stderr.endswith("\n  python3 is Python 3.9.2\n  python3.11 is Python 3.11.0, without venv\n")


def test_a_folder_that_is_no_environment_is_left_alone(tmp_path: Path):
    (tmp_path / "thesis.txt").touch()

    with pytest.raises(SystemExit, match="neither empty nor a Python environment"):
        environment.prepare(tmp_path)

    assert (tmp_path / "thesis.txt").exists()


def test_an_environment_whose_making_was_interrupted_is_made_anew(tmp_path: Path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "pyvenv.cfg").touch()
    (tmp_path / environment.UNFINISHED).touch()

    environment.prepare(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [environment.UNFINISHED]


def test_a_whole_environment_is_built_upon(tmp_path: Path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "pyvenv.cfg").touch()

    environment.prepare(tmp_path)

    assert (tmp_path / "bin" / "python").exists()


def test_an_environment_has_no_installer_in_it_not_even_one_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(
        environment, "install", lambda _, tools, __: installers.append((tools / "bin" / "pip").exists())
    )
    installers: list[bool] = []
    venv.create(tmp_path, with_pip=True)

    environment.make(tmp_path, environment.RUNTIME)

    assert installers == [True]
    assert [path.name for path in tmp_path.glob("lib/python*/site-packages/*")] == []
    assert environment.is_ready(tmp_path, environment.RUNTIME)


@pytest.mark.parametrize("lock", sorted(ROOT.glob("requirements*.txt")), ids=lambda path: path.name)
def test_every_locked_requirement_has_a_hash_and_no_address(lock: Path):
    requirements = lock.read_text().replace("\\\n", "").splitlines()

    assert requirements
    assert all(re.match(r"[\w.-]+==\S+( ; .+?)? +--hash=sha256:", line) for line in requirements)
    assert "://" not in lock.read_text()


def read_pins(name: str) -> set[str]:
    return set(re.findall(r"^([\w.-]+==\S+)", (ROOT / name).read_text(), re.MULTILINE))


def test_the_lock_of_development_holds_the_runtime_to_the_same_digit():
    assert read_pins(environment.RUNTIME) <= read_pins(environment.DEVELOPMENT)


def test_the_lock_of_an_extra_adds_to_the_runtime_what_is_tested():
    assert read_pins(environment.RUNTIME) < read_pins("requirements-ccxt.txt") <= read_pins(environment.DEVELOPMENT)


# ---- claims -----------------------------------------------------------------------------------------------


def test_a_claim_ends_with_the_last_process_that_holds_it(tmp_path: Path):
    path = tmp_path / "claimed"
    descriptor = lock_pid_file(path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[descriptor]) as heir:
        write_pid(descriptor, heir.pid)
        os.close(descriptor)

        with pytest.raises(AlreadyRunning) as refused:
            lock_pid_file(path)

        evicted = stop_holder(path)
        os.close(lock_pid_file(path))

    assert refused.value.process == heir.pid
    assert evicted


def test_an_environment_that_tests_borrow_is_used_and_what_is_installed_in_it_stays_there(tmp_path: Path):
    folder = make_environment(tmp_path / "venv")
    show = "import json, redis, sysconfig; print(json.dumps([redis.__file__, sysconfig.get_path('purelib')]))"

    said = subprocess.run([folder / "bin" / "python", "-c", show], capture_output=True, text=True, check=True).stdout
    found, installs_into = json.loads(said)

    assert all(environment.is_ready(folder, lock) for lock in (environment.RUNTIME, environment.DEVELOPMENT))
    assert Path(found).is_relative_to(sys.prefix)
    assert Path(installs_into).resolve().is_relative_to(tmp_path.resolve())


# ---- the tests themselves ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ci", ["1", ""])
def test_a_skip_is_a_failure_in_ci_and_only_there(tmp_path: Path, ci: str):
    (tmp_path / "test_one.py").write_text("import pytest\ndef test_it():\n    pytest.skip('no')\n")
    (tmp_path / "test_all.py").write_text("import pytest\npytest.skip('no', allow_module_level=True)\n")
    words = ["-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    words += ["--continue-on-collection-errors", str(tmp_path)]

    told = {**os.environ, "CI": ci, missing.VARIABLE: ""}
    ran = subprocess.run([sys.executable, *words], cwd=ROOT, env=told, capture_output=True, text=True)

    assert ("2 skipped" in ran.stdout) == (not ci), ran.stdout
    assert ("1 failed, 1 error" in ran.stdout) == bool(ci), ran.stdout
    assert ("skipped, and in CI nothing may be" in ran.stdout) == bool(ci)
    assert ran.returncode == (1 if ci else 0)


@pytest.mark.parametrize(
    "lacks, outcome",
    [
        pytest.param("", "2 failed", id="nothing is allowed"),
        pytest.param("chromium", "1 failed, 1 skipped", id="one of them is"),
        pytest.param("chromium,postgresql", "2 skipped", id="both are"),
    ],
)
def test_in_ci_only_what_it_was_told_to_do_without_may_be_skipped(tmp_path: Path, lacks: str, outcome: str):
    (tmp_path / "test_one.py").write_text(
        "from tests.support import missing\n"
        "def test_page():\n    missing.skip('chromium')\n"
        "def test_archive():\n    missing.skip('postgresql')\n"
    )
    words = [
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]

    told = {**os.environ, "CI": "1", missing.VARIABLE: lacks}
    ran = subprocess.run([sys.executable, *words], cwd=ROOT, env=told, capture_output=True, text=True)

    assert outcome in ran.stdout.splitlines()[-1]


@pytest.mark.parametrize("lacks, is_allowed", [("", False), ("npm", False), ("npm,package-index", True)])
def test_in_ci_packages_must_be_installed_unless_it_was_told_that_there_is_no_index(
    monkeypatch: pytest.MonkeyPatch, lacks: str, is_allowed: bool
):
    monkeypatch.setenv(missing.VARIABLE, lacks)

    with pytest.raises(pytest.skip.Exception) as skipped:
        missing.skip_without_packages("requirements.txt", "no route to host")

    assert missing.is_allowed(str(skipped.value)) == is_allowed


def test_what_is_hidden_is_not_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(missing.VARIABLE, ",".join(missing.PARTS))

    assert servers.debian() is postgres.debian() is missing.program("chromium") is None


def test_one_line_says_what_was_skipped_and_how_to_get_it():
    reasons = [
        *["Skipped: needs Debian's redis-server"] * 3,
        "Skipped: needs Debian's chromium",
        "Skipped: real data is missing: /x (DATA_TRACKER_SHARED says where it is)",
        "Skipped: it is Sunday",
    ]

    assert missing.told([]) == ""
    assert missing.told(reasons) == (
        "skipped tests: 1 that need chromium, 3 that need redis-server, "
        "1 that need the recordings (DATA_TRACKER_SHARED names their folder), 1 for another reason (it is Sunday); "
        "to get them: sudo apt-get install chromium redis-server"
    )
