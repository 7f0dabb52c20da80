"""
Several server processes on one port, each with a listening socket of its own (`SO_REUSEPORT`), and their supervisor.

The supervisor forks them, says when all of them listen, and starts again whichever ends. It keeps every listening
socket open: connections that wait for a process that was killed are accepted by the next one. When the supervisor ends,
however it ends, its processes end: each watches a pipe whose other end nobody else holds.

    supervisor ── fork ──▶ process ── LISTENING ──▶ serves ── STOPPING ──▶ answers what it has, and ends
                                                                 │
                                        its successor is forked ◀┘  and takes the same socket
"""

import asyncio
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

import structlog

LISTENING = b"+"
STOPPING = b"-"
STOP_SECONDS = 8.0
"""How long all processes may take to end before they are killed; longer than the grace time of their answers."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
FAILED = 1

log = structlog.get_logger()


class RestartDelays(NamedTuple):
    """When a process is started again."""

    waits: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
    """Seconds before each start of one that ends soon again and again; the last one repeats while others serve."""
    settled: float = 60.0
    """Seconds after which a process counts as one that works: the next wait is the first again."""


class ForkedProcess(NamedTuple):
    """A server process, seen from inside."""

    number: int
    """From 1."""
    listener: socket.socket
    reports: int
    """The descriptor that the supervisor reads."""
    parent: int
    """The descriptor that ends when the supervisor has gone."""

    async def report_until(self, stop: asyncio.Event) -> None:
        """Report that it listens, wait until it is told to stop or the supervisor has gone, and report that."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self.parent, stop.set)
        self._report(LISTENING)
        await stop.wait()
        loop.remove_reader(self.parent)
        self._report(STOPPING)

    def _report(self, word: bytes) -> None:
        with suppress(BrokenPipeError):
            os.write(self.reports, word)


class _Process:
    """A server process, seen from the supervisor."""

    def __init__(self, pid: int, reports: int, began: float) -> None:
        self.pid = pid
        self.reports = reports
        self.began = began
        self.is_listening = False


class _Place:
    """One of the numbered places for a process: its socket, and who is there now."""

    def __init__(self, number: int, listener: socket.socket) -> None:
        self.number = number
        self.listener: socket.socket | None = listener
        self.process: _Process | None = None
        self.due: float | None = 0.0
        """When its next process is to be started; `None`: there is one, or will be none."""
        self.failures = 0
        """How many of its processes, the last ones in a row, ended before they counted as ones that work."""


class ProcessGroup:
    """The server processes of one port, and when each is to be started and stopped."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        reopen: Callable[[], socket.socket],
        announce: Callable[[], None],
        delays: RestartDelays | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Know the `listeners`, one for each process, and how to `reopen` one of them.

        `announce` is called once, when all processes listen.
        """
        self._places = [_Place(number, listener) for number, listener in enumerate(listeners, 1)]
        self._reopen = reopen
        self._announce = announce
        self._delays = delays or RestartDelays()
        self._clock = clock
        self._running: dict[int, tuple[_Place, _Process]] = {}
        """By the descriptor of their reports; among them those that have a successor already."""
        self._selector = selectors.DefaultSelector()
        self._has_announced = False
        self._deadline: float | None = None
        """When processes that were told to stop are killed."""
        self.code = 0
        """The exit code: 0 when told to stop."""

    @property
    def is_stopping(self) -> bool:
        return self._deadline is not None

    @property
    def pids(self) -> list[int]:
        return [process.pid for _, process in self._running.values()]

    def watch(self, descriptor: int) -> None:
        """Wake up when there is something to read."""
        self._selector.register(descriptor, selectors.EVENT_READ)

    def wait(self) -> Collection[int]:
        """Wait for a report, for a process that is due, or for the descriptor of `watch`; return what can be read."""
        dues = [place.due for place in self._places if place.due is not None]
        times = [*dues, *([] if self._deadline is None else [self._deadline])]
        timeout = max(0.0, min(times) - self._clock()) if times else None
        found = [key.fd for key, _ in self._selector.select(timeout)]
        for reports in [each for each in found if each in self._running]:
            self._read_reports(reports)
        if self._deadline is not None and self._clock() >= self._deadline:
            self._kill()
        return found

    def has_ended(self) -> bool:
        return self.is_stopping and not self._running

    def pick_due(self) -> _Place | None:
        """Return a place whose process is to be started now, with its socket open."""
        for place in self._places:
            if place.due is not None and place.due <= self._clock() and self._has_socket(place):
                return place
        return None

    def add(self, place: _Place, pid: int, reports: int) -> None:
        """Remember a process that was just started at a place."""
        place.process, place.due = _Process(pid, reports, self._clock()), None
        self._running[reports] = place, place.process
        self._selector.register(reports, selectors.EVENT_READ)

    def close_others(self, own: _Place) -> None:
        """Close in a forked process what is the supervisor's, all but the socket of its `own` place."""
        self._selector.close()
        for reports in self._running:
            os.close(reports)
        for place in self._places:
            if place is not own and place.listener:
                place.listener.close()

    def send(self, number: signal.Signals) -> None:
        for pid in self.pids:
            # It may have ended, and is waited for when its report has been read.
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, code: int = 0) -> None:
        """Tell every process to stop; the sockets are theirs alone from now on."""
        if self.is_stopping:
            return
        self._deadline, self.code = self._clock() + STOP_SECONDS, code
        for place in self._places:
            place.due = None
            self._close(place)
        self.send(signal.SIGTERM)

    def _kill(self) -> None:
        log.error("API processes do not stop; killing them", pids=self.pids)
        self._deadline = self._clock() + STOP_SECONDS
        self.send(signal.SIGKILL)

    def _read_reports(self, reports: int) -> None:
        place, process = self._running[reports]
        words = os.read(reports, 16)
        if LISTENING in words:
            process.is_listening = True
            self._announce_once()
        if STOPPING in words and not self.is_stopping and place.process is process:
            log.info("an API process stops; starting another", number=place.number, pid=process.pid)
            place.process, place.due = None, self._clock()
        if not words:
            self._remove(place, process)

    def _announce_once(self) -> None:
        if not self._has_announced and all(place.process and place.process.is_listening for place in self._places):
            self._has_announced = True
            self._announce()

    def _remove(self, place: _Place, process: _Process) -> None:
        """Take leave of a process that has ended, and plan its successor where it has none."""
        self._selector.unregister(process.reports)
        del self._running[process.reports]
        os.close(process.reports)
        _, status = os.waitpid(process.pid, 0)
        if place.process is process and not self.is_stopping:
            place.process = None
            code = os.waitstatus_to_exitcode(status)
            lasted = self._clock() - process.began
            self._plan(place, lasted, pid=process.pid, reason=_describe_end(code), code=code)

    def _plan(self, place: _Place, lasted: float, *, pid: int | None, reason: str, code: int = FAILED) -> None:
        """Decide when a place gets its next process, after the last one `lasted` so many seconds."""
        place.failures = 1 if lasted >= self._delays.settled else place.failures + 1
        is_served = any(each.process and each.process.is_listening for each in self._places)
        has_never_worked = not self._has_announced and code > 0
        if has_never_worked or (place.failures > len(self._delays.waits) and not is_served):
            log.error("an API process ended and is not started again", number=place.number, pid=pid, reason=reason)
            self.stop(code if code > 0 else FAILED)
            return
        wait = self._delays.waits[min(place.failures, len(self._delays.waits)) - 1]
        event = "an API process ended; starting it again"
        log.error(event, number=place.number, pid=pid, reason=reason, in_seconds=wait)
        if wait:
            # Nobody would accept what connects meanwhile; closed, the system gives it to the others.
            self._close(place)
        place.due = self._clock() + wait

    def _has_socket(self, place: _Place) -> bool:
        """Return whether a place has its socket, after opening it again where it was closed."""
        if place.listener is None:
            try:
                place.listener = self._reopen()
            except OSError as error:
                self._plan(place, 0.0, pid=None, reason=f"it cannot listen: {error.strerror}")
        return place.listener is not None

    def _close(self, place: _Place) -> None:
        if place.listener:
            place.listener.close()
            place.listener = None


def run_processes(
    group: ProcessGroup, serve: Callable[[ForkedProcess], int], passed_on: Collection[signal.Signals] = ()
) -> int:
    """
    Run the processes of a group until a signal says to stop, and return the exit code.

    It returns in every one of them: in a forked process with what `serve` returned there. Signals of `passed_on` are
    sent on to all processes.
    """
    alive, held = os.pipe()
    with _signals_as_bytes([*STOP_SIGNALS, *passed_on]) as signals:
        group.watch(signals.fileno())
        own = _supervise(group, signals, (alive, held), passed_on)
    return serve(own) if own else group.code


def _supervise(
    group: ProcessGroup, signals: socket.socket, pipe: tuple[int, int], passed_on: Collection[signal.Signals]
) -> ForkedProcess | None:
    """Start what is due until all have ended; return at once in each process that is forked."""
    while not group.has_ended():
        while place := group.pick_due():
            if own := _fork(group, place, pipe):
                return own
        if signals.fileno() in group.wait():
            _obey(group, signals.recv(64), passed_on)
    return None


def _obey(group: ProcessGroup, received: bytes, passed_on: Collection[signal.Signals]) -> None:
    for number in received:
        if number in passed_on:
            group.send(signal.Signals(number))
        elif number in STOP_SIGNALS:
            group.stop()


def _fork(group: ProcessGroup, place: _Place, pipe: tuple[int, int]) -> ForkedProcess | None:
    """Start the process of a place; return it in that process, and `None` in the supervisor."""
    listener = place.listener
    assert listener is not None  # noqa: S101  # `pick_due` returns none without a socket
    reading, writing = os.pipe()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # A signal meant for the supervisor must not meet its handler in the new process, nor the reverse.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        os.close(writing)
        group.add(place, pid, reading)
        return None
    # A process group of its own: Ctrl-C in the terminal is for the supervisor.
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    group.close_others(place)
    alive, held = pipe
    os.close(held)
    os.close(reading)
    return ForkedProcess(place.number, listener, writing, alive)


@contextmanager
def _signals_as_bytes(numbers: Collection[signal.Signals]) -> Iterator[socket.socket]:
    """Return a socket from which the numbers of signals can be read as they come."""
    reading, writing = socket.socketpair()
    reading.setblocking(False)
    writing.setblocking(False)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    signal.set_wakeup_fd(writing.fileno())
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        reading.close()
        writing.close()


def _describe_end(code: int) -> str:
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended by itself with code {code}"
