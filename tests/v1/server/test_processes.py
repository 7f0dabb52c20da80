"""Several server processes at one port: who answers, who is started again, and that nobody who has connected is lost."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

import pytest

from tests.support.forked_server import FAILURE
from v1.server.configuration import make_limits
from v1.server.sockets import NoSharedPorts, listen, listen_together
from v1.settings import InvalidSettings, Settings

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 60.0
"""How long is waited for what must come; a busy machine takes its time."""


class Served(NamedTuple):
    """A running server of several processes."""

    supervisor: int
    folder: Path
    port: int

    @property
    def children(self) -> set[int]:
        return children_of(self.supervisor)

    def ask(self, path: str = "/") -> int:
        """Return the process that answers."""
        return answer_of(self.connect(path))

    def connect(self, path: str = "/") -> socket.socket:
        """Connect, and send a request."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return connection

    def find_answering(self, count: int) -> set[int]:
        """Return the processes that answer, as soon as there are so many of them."""
        found = {self.ask()}
        deadline = time.monotonic() + SECONDS
        while len(found) < count:
            assert time.monotonic() < deadline, f"only {found} answer"
            found.add(self.ask())
        return found

    def find_log(self) -> str:
        return (self.folder / "log").read_text()


def children_of(pid: int) -> set[int]:
    """Return the processes that a process has started, without those that have ended and were not waited for yet."""
    return {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if is_alive(int(word))}


def answer_of(connection: socket.socket) -> int:
    with connection:
        parts = []
        while part := connection.recv(4096):
            parts.append(part)
    return int(b"".join(parts).partition(b"\r\n\r\n")[2])


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def is_over(pid: int) -> bool:
    return not is_alive(pid)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def program() -> Iterator[IO[str]]:
    """What starts servers; one program for all of them, because Python takes long to start."""
    words = [sys.executable, "-m", "tests.support.forked_server"]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin
        yield process.stdin


@contextmanager
def serving_in(folder: Path, program: IO[str], count: int = 2, *waits: float) -> Iterator[Served]:
    """Serve in several processes, which all listen when this begins."""
    start(folder, program, count, *waits)
    until((folder / "port").exists)
    supervisor, port = map(int, (folder / "port").read_text().split())
    served = Served(supervisor, folder, port)
    try:
        yield served
    finally:
        with suppress(ProcessLookupError):
            os.kill(supervisor, signal.SIGKILL)


def start(folder: Path, program: IO[str], count: int, *waits: float) -> None:
    program.write(f"{folder} {count} {' '.join(map(str, waits))}\n")
    program.flush()


def read_code(folder: Path) -> int:
    """Return the exit code of a server, when it has ended."""
    until((folder / "code").exists)
    return int((folder / "code").read_text())


@pytest.fixture
def served(tmp_path: Path, program: IO[str]) -> Iterator[Served]:
    with serving_in(tmp_path, program) as running:
        yield running


def test_every_process_answers_at_the_one_port_and_a_signal_that_is_passed_on_reaches_all(served: Served):
    answering = served.find_answering(2)

    os.kill(served.supervisor, signal.SIGHUP)

    until(lambda: all((served.folder / f"told.{pid}").exists() for pid in answering))
    assert served.children == answering


def test_a_process_that_is_killed_is_replaced_and_answers_those_who_had_connected_to_it(served: Served):
    before = served.children
    for pid in before:
        os.kill(pid, signal.SIGSTOP)
    waiting = [served.connect() for _ in range(40)]
    killed, other = before

    os.kill(killed, signal.SIGKILL)
    os.kill(other, signal.SIGCONT)
    answers = {answer_of(connection) for connection in waiting}

    # Of 40 connections none at one of two sockets is less likely than a broken machine.
    assert answers == served.children
    assert killed not in answers
    assert other in answers
    assert 'reason="ended by SIGKILL"' in served.find_log()


def test_a_process_that_is_told_to_stop_answers_what_it_has_while_another_has_taken_its_place(served: Served):
    slow = served.connect("/slow")
    until(lambda: list(served.folder.glob("slow.*")))
    (stopping,) = [int(path.suffix[1:]) for path in served.folder.glob("slow.*")]

    os.kill(stopping, signal.SIGTERM)
    until(lambda: len(served.children) == 3)
    # What has connected before it closed its socket, it answers.
    until(lambda: stopping not in {served.ask() for _ in range(20)})
    answers = {served.ask() for _ in range(40)}
    (served.folder / "go").touch()

    assert answer_of(slow) == stopping
    assert answers == served.children - {stopping}
    until(lambda: not is_alive(stopping))
    assert "ended" not in served.find_log()


def test_told_to_stop_all_answer_what_they_have_and_those_who_have_connected_and_leave_the_port(served: Served):
    before = served.find_answering(2)
    slow = []
    while len(list(served.folder.glob("slow.*"))) < 2:
        slow.append(served.connect("/slow"))
        time.sleep(0.01)
    for pid in before:
        os.kill(pid, signal.SIGSTOP)
    waiting = [served.connect() for _ in range(20)]

    os.kill(served.supervisor, signal.SIGTERM)
    until(lambda: not is_listening_in(served.supervisor))
    for pid in before:
        os.kill(pid, signal.SIGCONT)
    answers = {answer_of(connection) for connection in waiting}
    (served.folder / "go").touch()

    assert answers | {answer_of(connection) for connection in slow} == before
    assert read_code(served.folder) == 0
    assert not any(map(is_alive, before))
    with pytest.raises(ConnectionRefusedError):
        served.connect()


def is_listening_in(pid: int) -> bool:
    """Return whether a process has more sockets open than the pair that wakes it up."""
    links = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # of one that it closes meanwhile
            links.append(str(path.readlink()))
    return len([link for link in links if link.startswith("socket:")]) > 2


def test_when_the_supervisor_is_killed_its_processes_end_and_leave_the_port(served: Served):
    before = served.children

    os.kill(served.supervisor, signal.SIGKILL)

    until(lambda: not any(map(is_alive, before)))
    with pytest.raises(ConnectionRefusedError):
        served.connect()


def test_while_a_process_is_not_started_again_the_others_get_its_connections(tmp_path: Path, program: IO[str]):
    with serving_in(tmp_path, program, 2, 0, 3600) as served:
        stays, *_ = served.children
        for _ in range(2):
            until(lambda: len(served.children) == 2)
            (killed,) = served.children - {stays}
            os.kill(killed, signal.SIGKILL)
            until(partial(is_over, killed))
        until(lambda: "in_seconds=3600.0" in served.find_log())

        assert {served.ask() for _ in range(40)} == {stays}


def test_a_process_that_fails_at_the_first_start_is_not_started_again(tmp_path: Path, program: IO[str]):
    (tmp_path / "fail").touch()

    start(tmp_path, program, 2)

    assert read_code(tmp_path) == FAILURE
    log = (tmp_path / "log").read_text()
    assert "is not started again" in log
    assert "starting it again" not in log


def test_where_no_process_can_be_kept_up_all_end_after_the_last_wait(tmp_path: Path, program: IO[str]):
    with serving_in(tmp_path, program, 2, 0, 0.01, 0.02) as served:
        (tmp_path / "fail").touch()
        for pid in served.children:
            os.kill(pid, signal.SIGKILL)

        assert read_code(served.folder) == FAILURE

    log = served.find_log()
    assert re.findall(r"in_seconds=([0-9.]+)", log).count("0.02") >= 1
    assert "is not started again" in log


# ---- sockets and settings ----------------------------------------------------------------------------------


def test_sockets_of_one_port_are_made_where_nobody_listens_and_nowhere_else():
    together = listen_together("127.0.0.1:0", 3)
    (port,) = {listener.getsockname()[1] for listener in together}

    with pytest.raises(OSError, match="in use"):
        listen_together(f"127.0.0.1:{port}", 2)
    with pytest.raises(OSError, match="in use"):
        listen(f"127.0.0.1:{port}")
    for listener in together:
        listener.close()


def test_where_a_port_cannot_be_shared_only_one_process_listens(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(socket, "SO_REUSEPORT")

    with pytest.raises(NoSharedPorts):
        listen_together("127.0.0.1:0", 2)
    (alone,) = listen_together("127.0.0.1:0", 1)
    alone.close()


@pytest.mark.parametrize("count", ["0", "-1", "65", "many"])
def test_a_number_of_processes_is_at_least_one(count: str):
    with pytest.raises(InvalidSettings, match=f"TRACKER_API_PROCESSES: '{count}' is not accepted"):
        Settings.load(api_processes=count)


def test_the_limits_of_connections_are_divided_among_the_processes():
    limits = [make_limits(Settings.load(api_processes=count, connections=90)) for count in (1, 4, 64)]

    assert [(each.connections, each.client_connections) for each in limits] == [(90, 128), (22, 32), (1, 2)]
