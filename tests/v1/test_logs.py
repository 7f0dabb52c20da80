"""What stands in the log of a real process, and what never does: a secret of the settings, a variable's value."""

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.v1.server.test_app import environment, running
from v1.settings.redaction import redact
from worker.delivery.notify.base import NotifyRefused, summarize
from worker.settings import WorkerSettings
from worker.sources.errors import InvalidResponse

KEY = "Zq7caller0bearer1key2Zq7"
SECRETS = {
    "API_KEYS": f"{KEY},Zq7second0key1Zq7",
    "REDIS_URL": "redis://:Zq7redis%40pass%2Fword@cache.internal:6379/0",
    "DATABASE_URL": "postgresql+asyncpg://me:Zq7data@base@base.internal/archive?password=Zq7other0password",
    "CRYPTOWATCH_API_KEY": "Zq7cryptowatch0Zq7",
    "PROXY": "http://me:Zq7proxy0pass0Zq7@proxy.internal:3128",
    "PUSHOVER_TOKEN": "Zq7pushover0token0Zq7aaaaaaaaa",
    "PUSHOVER_USER": "Zq7pushover0user00Zq7aaaaaaaaa",
    "NOTIFY": "mailto://me:Zq7mail0pass@example.org, webhook+https://hooks.example.org/Zq7hook0path",
    "WEBHOOK_SECRET": "Zq7webhook0secret0Zq7",
    "HEARTBEAT_URL": "https://beats.example.org/Zq7heartbeat0path",
    "COINMARKETCAP_API_KEY": "Zq7coinmarketcap0Zq7",
    "CRYPTOCOMPARE_API_KEY": "Zq7cryptocompare0Zq7",
}
HIDDEN = "Zq7"
"""In every secret above, and in nothing else."""

BROKEN_API = """
import sys
import v1.server.process as main

make = main.create_app

def make_broken(settings, **given):
    app = make(settings, **given)

    async def broken(request):
        key, known, everything = request.headers["authorization"], settings.secrets, settings
        raise RuntimeError(f"not foreseen: {settings.redis_url} {settings.archive_address} {key}")

    app.add_route("/broken", broken)
    return app

main.create_app = make_broken
sys.exit(main.main())
"""
BROKEN_WORKER = """
import logging, threading
import structlog
from worker.cli.process import read_settings
from worker.settings import WorkerSettings

settings = read_settings()
secrets, shown = settings.secrets, " ".join(sorted(settings.secrets))

def fail(text):
    local = text
    raise RuntimeError(f"not foreseen: {local} {settings.heartbeat_url} {[target.url for target in settings.notify_targets]}")

try:
    fail(shown)
except RuntimeError:
    structlog.get_logger().exception("it failed", known=shown, each=sorted(secrets), settings=settings)
    logging.getLogger("a.library").exception("said %s", shown)
thread = threading.Thread(target=fail, args=(shown,))
thread.start()
thread.join()
fail(shown)
"""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> WorkerSettings:
    for name, value in SECRETS.items():
        monkeypatch.setenv(f"TRACKER_{name}", value)
    return WorkerSettings.load(_env_file=None)


def test_every_setting_that_is_secret_is_known_to_be(told):
    secret = {name for name in WorkerSettings.model_fields if isinstance(getattr(told, name), SecretStr)}

    assert {name.upper() for name in secret} < set(SECRETS), "give the new one a value here"
    for text in (
        KEY,
        "Zq7redis%40pass%2Fword",
        "Zq7data@base",
        "Zq7other0password",
        "Zq7hook0path",
        "Zq7heartbeat0path",
    ):
        assert any(text in known or known in text for known in told.secrets), text


@pytest.mark.parametrize("written", ["console", "json"])
def test_an_unexpected_error_of_the_api_is_one_plain_traceback_without_a_secret(tmp_path: Path, written: str):
    named = SECRETS | {"LOG_FORMAT": written, "BIND": "127.0.0.1:0", "LOG_FILE": "log"}
    with subprocess.Popen(
        [sys.executable, "-c", BROKEN_API],
        cwd=tmp_path,
        env=environment(tmp_path, **named),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        url = "".join(process.stdout.readline() for _ in range(4)).split()[2]
        request = urllib.request.Request(f"{url}broken", headers={"Authorization": f"Bearer {KEY}"})
        with pytest.raises(urllib.error.HTTPError) as answer:
            urllib.request.urlopen(request, timeout=60)
        problem = json.loads(answer.value.read())
        answer.value.close()
        process.send_signal(signal.SIGTERM)
        said = "".join(process.communicate(timeout=60))

    log = (tmp_path / "log").read_text()
    assert (answer.value.code, problem["detail"]) == (500, "an error of ours; the log has the reason")
    assert log.count("RuntimeError: not foreseen: redis://:***@cache.internal") == 1
    assert len(log) < 20_000
    assert HIDDEN not in log + said + json.dumps(problem)


@pytest.mark.parametrize("written, file", [("console", ""), ("json", "log")])
def test_nothing_that_the_worker_logs_or_dies_of_shows_a_secret(tmp_path: Path, written: str, file: str):
    named = SECRETS | {"LOG_FORMAT": written, "LOG_FILE": file}
    ended = subprocess.run(
        [sys.executable, "-c", BROKEN_WORKER],
        cwd=tmp_path,
        env=environment(tmp_path, **named),
        capture_output=True,
        text=True,
        timeout=60,
    )

    log = (tmp_path / file).read_text() if file else ended.stderr
    assert ended.returncode == 1
    assert log.count("RuntimeError: not foreseen: ") == 4
    assert "an unexpected error ends the process" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1 or not file
    assert HIDDEN not in log + ended.stderr + ended.stdout
    assert "***" in log
    assert "local =" not in log
    if written == "json":
        assert len([json.loads(line) for line in log.splitlines()]) == 4


def test_a_long_event_is_cut_and_still_a_line_of_json(tmp_path: Path):
    code = (
        "import structlog; from worker.cli.process import read_settings; read_settings();"
        "structlog.get_logger().warning('long', reason='x' * 900_000 + 'end')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(tmp_path, LOG_FORMAT="json"),
        capture_output=True,
        text=True,
        timeout=60,
    )

    reason = json.loads(ended.stderr)["reason"]
    assert len(reason) < 20_000
    assert reason.endswith("end")
    assert "884003 characters left out" in reason


def test_what_a_provider_echoes_is_kept_without_the_secret_in_it(told):
    redact.remember(told.secrets)
    echo = f"you sent token={SECRETS['PUSHOVER_TOKEN']} and X-CMC_PRO_API_KEY: {SECRETS['COINMARKETCAP_API_KEY']}"
    cut = "x" * (300 - len("you sent token=Zq7pu")) + echo

    assert HIDDEN not in summarize(cut)
    for said in (summarize(echo), str(NotifyRefused(echo)), str(InvalidResponse(f"it sent something else: {echo}"))):
        assert HIDDEN not in said
        assert said.count("***") == 2


def test_who_has_no_key_is_not_told_where_our_servers_are(tmp_path: Path):
    address = {"REDIS_URL": "redis://:Zq7p%40ss@127.0.0.1:1/0", "API_KEYS": KEY}
    with running(tmp_path, **address) as api:
        with pytest.raises(urllib.error.HTTPError) as answer:
            urllib.request.urlopen(f"{api.url}/health/ready", timeout=60)
        known = json.loads(answer.value.read())
        answer.value.close()

    assert known["status"] == "unready"
    assert "Redis is away" in known["store"]
    for secret in ("127.0.0.1", ":1", HIDDEN):
        assert secret not in json.dumps({name: known[name] for name in ("store", "reasons")})


def test_a_stranger_who_sends_nonsense_and_waits_costs_a_line_and_nobody_else_an_answer(tmp_path: Path):
    with running(tmp_path, CLIENT_CONNECTIONS="20", REQUEST_SECONDS="2") as api:
        host, port = api.url.removeprefix("http://").split(":")
        sent = (
            b"",
            b"GET / HT",
            b"POST /v1/rules HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\5\2\0\0\0\0\1\0\0\0\0\0" * 1500,
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n\r\n\xff",
        )
        with ExitStack() as kept:
            for index in range(100):
                connection = kept.enter_context(socket.create_connection((host, int(port)), timeout=60))
                with suppress(ConnectionError):
                    connection.sendall(sent[index % len(sent)])
                if index % 2:
                    connection.close()
            with urllib.request.urlopen(f"{api.url}/health/live", timeout=60) as live:
                assert live.status == 200
        api.process.terminate()
        _, log = api.process.communicate(timeout=60)

    # There is no Redis here, which is said once.
    ours = ("serving", "stopped", "changes of the data are not heard")
    lines = [line for line in log.splitlines() if not any(words in line for words in ours)]
    assert "Traceback" not in log
    assert len(lines) == 1
    assert "connection limit of a client reached" in lines[0]
