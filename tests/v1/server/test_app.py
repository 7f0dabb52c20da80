"""The process: how it starts, what it prints, how it ends, and where `latest` leads."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[3]
SOCKET = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


class Running(NamedTuple):
    process: subprocess.Popen[str]
    greeting: str
    url: str


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """
    Return our environment without our own settings, and with those of a test.

    The process runs in a folder of the test, so that an `.env` of the checkout does not count.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    told = {"TRACKER_REDIS_URL": f"unix://{folder}/nobody.sock", "TRACKER_BIND": "127.0.0.1:0"}
    named = {f"TRACKER_{name}": value for name, value in settings.items()}
    return {"PYTHONPATH": str(ROOT)} | inherited | told | named


@contextmanager
def running(folder: Path, module: str = "v1", **settings: str) -> Iterator[Running]:
    """Run the API in a folder without an `.env`, until it has said where it listens."""
    with subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=folder,
        env=environment(folder, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        greeting = "".join(process.stdout.readline() for _ in range(4))
        try:
            yield Running(process, greeting, greeting.split()[2].rstrip("/"))
        finally:
            process.kill()


def refused(folder: Path, **settings: str) -> tuple[int, list[str]]:
    """Run the API where it cannot start; return its exit code and what it says of that."""
    ended = subprocess.run(
        [sys.executable, "-m", "v1"],
        cwd=folder,
        env=environment(folder, **settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.stdout == ""
    return ended.returncode, ended.stderr.splitlines()


def get(url: str) -> object:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


def test_it_says_what_to_type_next_and_ends_well_when_told_to(tmp_path):
    for told in (signal.SIGTERM, signal.SIGINT):
        with running(tmp_path) as api, socket.create_connection(("127.0.0.1", int(api.url.rpartition(":")[2]))):
            live = get(f"{api.url}/health/live")
            api.process.send_signal(told)
            _, log = api.process.communicate(timeout=60)

        assert live == {"status": "live"}
        assert api.process.returncode == 0
        assert f"{api.url}/docs" in api.greeting
        assert f"curl '{api.url}/v1/ranks?limit=5'" in api.greeting
        assert "Traceback" not in log


@pytest.mark.parametrize("has_redis", [True, False], ids=["redis", "redis away"])
def test_every_one_of_twenty_streams_is_ended_when_the_process_is_told_to_stop(tmp_path, server, has_redis):
    settings = {"REDIS_URL": server} if has_redis else {}
    with running(tmp_path, **settings) as api, contextlib.ExitStack() as opened:
        port = int(api.url.rpartition(":")[2])
        streams = [opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)) for _ in range(20)]
        for place, stream in enumerate(streams):
            head = SOCKET if place % 2 else ""
            path = "ws" if place % 2 else "stream"
            stream.sendall(f"GET /v1/{path} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n".encode())
        begun = [read_until(stream, b"tick" if has_redis else b"away") for stream in streams]
        api.process.send_signal(signal.SIGTERM)
        ends = [b"".join(iter(lambda stream=stream: stream.recv(65536), b"")) for stream in streams]
        _, log = api.process.communicate(timeout=60)

    assert api.process.returncode == 0
    assert all(begun)
    assert all(end.endswith(b"\x88\x02\x03\xe9" if place % 2 else b"0\r\n\r\n") for place, end in enumerate(ends))
    assert "Traceback" not in log


def read_until(stream: socket.socket, word: bytes) -> bytes:
    """Return what came until some word was in it."""
    read = b""
    while word not in read:
        more = stream.recv(65536)
        assert more, read
        read += more
    return read


def test_the_log_is_written_for_machines_where_the_settings_say_so(tmp_path):
    with running(tmp_path, LOG_FORMAT="json", LOG_FILE="api.log") as api:
        with pytest.raises(urllib.error.HTTPError):
            get(f"{api.url}/v1/ranks")
        api.process.terminate()
        _, said = api.process.communicate(timeout=60)

    events = [json.loads(line) for line in (tmp_path / "api.log").read_text().splitlines()]
    assert [event["event"] for event in events] == [
        "serving",
        "changes of the data are not heard, so no answer is kept",
        "the store is away",
        "stopped",
    ]
    assert said == ""


def test_a_port_that_is_taken_is_said_in_one_line_that_names_the_setting(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"

        code, lines = refused(tmp_path, BIND=bind)

    assert code == 1
    assert lines == [f"TRACKER_BIND: cannot listen on '{bind}': Address already in use; name another host:port"]


@pytest.mark.parametrize(
    "settings, code, start",
    [
        pytest.param({"INTERVAL": "7"}, 2, "TRACKER_INTERVAL: '7' is not accepted", id="a wrong setting"),
        pytest.param({"BIND": "nowhere"}, 2, "TRACKER_BIND: 'nowhere' is not accepted", id="no port"),
        pytest.param({"BIND": "0.0.0.0:0"}, 2, "TRACKER_BIND: '0.0.0.0:0' listens beyond", id="open to everybody"),
        pytest.param({"BIND": "127.0.0.1:99999"}, 2, "TRACKER_BIND: '127.0.0.1:99999' is not", id="no such port"),
        pytest.param({"LOG_FILE": "no/such/folder"}, 2, "TRACKER_LOG_FILE: /", id="no log"),
    ],
)
def test_what_it_cannot_start_with_is_said_in_one_line(tmp_path, settings, code, start):
    ended, lines = refused(tmp_path, **settings)

    assert ended == code
    assert len(lines) == 1
    assert lines[0].startswith(start)


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """A checkout with two versions: a copy of v1 by another name, untouched."""
    for version in ("v1", "v2"):
        shutil.copytree(ROOT / "v1", tmp_path / version, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_a_version_serves_latest_only_where_latest_leads_to_it(second):
    (second / "latest").symlink_to("v2")

    for version, expected in (("v1", 404), ("v2", 503)):
        with running(second, version) as api:
            for path, status in ((f"/{version}/ranks", 503), ("/latest/ranks", expected)):
                with pytest.raises(urllib.error.HTTPError) as answer:
                    get(f"{api.url}{path}")
                assert answer.value.code == status
                answer.value.close()
            api.process.terminate()
            api.process.communicate(timeout=60)


def test_a_copy_of_the_version_speaks_of_itself_everywhere(second):
    with running(second, "v2") as api:
        document = get(f"{api.url}/openapi.json")
        with urllib.request.urlopen(f"{api.url}/", timeout=60) as page:
            html = page.read().decode()
        api.process.terminate()
        api.process.communicate(timeout=60)

    assert isinstance(document, dict)
    assert {path for path in document["paths"] if path.startswith("/v1")} == set()
    assert "/v2/ranks" in document["paths"]
    assert 'data-api="v2"' in html
