"""No answer and no log line holds a secret of the settings; no answer a path of this machine or a stack trace."""

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.questions import questions
from tests.support.servers import free_port
from tests.support.serving import raw, serving
from tests.v1.server.test_app import ROOT, running
from v1.settings import Settings
from v1.store import Reader

SECRETS = {
    "api_keys": "a-key-that-nobody-may-see",
    "redis_url": "the-password-of-redis",
    "database_url": "the-password-of-sql",
}
"""By the setting that holds it."""
KEY = {"Authorization": f"Bearer {SECRETS['api_keys']}"}
NAMES = {"metric": ["KRAKEN:BTCUSD"], "id": ["nothing"], "source": ["kraken"]}


class Told(NamedTuple):
    """What one request was answered."""

    what: str
    status: int
    text: str
    """Its headers and its body."""


def test_every_secret_setting_is_looked_for():
    assert SECRETS.keys() == Settings.secret_names


def ask(port: int, method: str, path: str, body: str | None = None, **headers: str) -> Told:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    answer = connection.getresponse()
    text = f"{answer.getheaders()}\n{answer.read().decode(errors='replace')}"
    connection.close()
    return Told(f"{method} {path} {headers.keys()}", answer.status, text)


def send(port: int, request: bytes) -> Told:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        text = b"".join(iter(lambda: client.recv(65536), b"")).decode(errors="replace")
    return Told(repr(request[:60]), int(text.split()[1]), text)


def ask_everything(port: int) -> Iterator[Told]:
    document = ask(port, "GET", "/openapi.json", **KEY)
    yield document
    for path in questions(json.loads(document.text.partition("\n")[2]), NAMES):
        yield ask(port, "GET", path, **KEY)
    for path in (
        "/",
        "/docs",
        "/redoc",
        "/page/main.js",
        "/page/../../pyproject.toml",
        "/page/",
        "/metrics",
        "/v1/whoami",
    ):
        yield ask(port, "GET", path, **KEY)
        yield ask(port, "GET", path)
    rules = {"Content-Type": "application/json"} | KEY
    for method, path, body, headers in (
        ("GET", "/v1/ranks", None, KEY | {"Host": "evil.example"}),
        ("POST", "/v1/rules", "{}", rules | {"Origin": "http://evil.example"}),
        ("POST", "/v1/rules", "{}", rules),
        ("POST", "/v1/rules", "{", rules),
        ("POST", "/v1/rules", "x" * 70_000, rules),
        ("POST", "/v1/rules/backtest", "{}", KEY | {"Content-Type": "text/plain"}),
        ("POST", "/v1/rules/backtest", '{"rules": []}', rules),
        ("DELETE", "/v1/ranks", None, KEY),
        ("GET", "/v1/ranks", None, KEY | {"Accept-Encoding": "identity;q=0"}),
        ("GET", "/v1/ranks?by=size", None, KEY),
        ("GET", "/v1/ranks", None, {"X-API-Key": "dt_00000000_00000000000000000000000000000000"}),
        ("GET", "/v1/ranks", None, {"Authorization": "Basic !!"}),
    ):
        yield ask(port, method, path, body, **headers)
    for request in (
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
    ):
        yield send(port, request)


def test_no_secret_no_path_and_no_trace_is_told(tmp_path: Path):
    nobody = free_port()
    settings = {
        "API_KEYS": SECRETS["api_keys"],
        "REDIS_URL": f"redis://user:{SECRETS['redis_url']}@127.0.0.1:{nobody}/0",
        "DATABASE_URL": f"postgresql+asyncpg://user:{SECRETS['database_url']}@127.0.0.1:{nobody}/base",
        "LOG_LEVEL": "debug",
        "RATE_LIMIT": "1000000/hour",
    }
    with running(tmp_path, **settings) as api:
        told = [*ask_everything(int(api.url.rpartition(":")[2]))]
        api.process.terminate()
        printed, log = api.process.communicate(timeout=60)

    assert {200, 400, 401, 403, 404, 405, 406, 413, 415, 421, 422, 431, 503, 505} <= {each.status for each in told}
    assert log
    for secret in SECRETS.values():
        assert [each.what for each in told if secret in each.text] == []
        assert secret not in api.greeting + printed + log
    for private in (str(ROOT), str(tmp_path), "Traceback", "site-packages", ".py", str(nobody)):
        assert [each.what for each in told if private in each.text and "/docs/parts" not in each.what] == []
    assert "Traceback" not in log


@pytest.mark.filterwarnings("default")
async def test_an_error_of_ours_says_nothing_of_its_inside(server, clock, monkeypatch):
    async def fail(*_: object) -> None:
        raise RuntimeError(f"{SECRETS['redis_url']} in {ROOT}")

    monkeypatch.setattr(Reader, "read_ranking", fail)
    async with serving(clock, server) as api:
        answer = await raw(api, b"GET /v1/ranks HTTP/1.1\r\nHost: localhost")

    assert answer.status == 500
    assert answer.json["detail"] == "an error of ours; the log has the reason"
    assert SECRETS["redis_url"] not in str(answer)
    assert str(ROOT) not in str(answer)


async def test_the_page_and_the_documentation_run_no_script_but_ours(api):
    policies = {path: (await api.get(path)).headers["Content-Security-Policy"] for path in ("/", "/docs", "/redoc")}

    assert not any("'unsafe-eval'" in policy or "http" in policy or "*" in policy for policy in policies.values())
    scripts = {path: policy.split("script-src ")[1].split(";")[0] for path, policy in policies.items()}
    assert scripts["/"] == scripts["/redoc"] == "'self'"
    assert scripts["/docs"].startswith("'self' 'sha256-")
    assert "unsafe-inline" not in policies["/"]


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/metrics", "/nothing", "/health/live"])
async def test_every_answer_forbids_what_no_page_of_ours_uses(api, path):
    permissions = (await api.get(path)).headers["Permissions-Policy"]

    assert "camera=()" in permissions
    assert "geolocation=()" in permissions
