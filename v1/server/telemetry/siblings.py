"""
The processes of one API, where several share its port: whichever is asked for its metrics asks the others for theirs.

Each takes the lowest number that is free, and keeps it by a lock that the system lets go of when it ends; so one that
is started again has the number, and the label, of the one before. Each listens at a Unix socket beside its lock. The
folder is the user's own, below the system's folder for temporary files: nothing of it outlasts the processes, and it
works while Redis is away, when it is wanted most.
"""

import asyncio
import fcntl
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from stat import S_IMODE

import structlog

from .exposition import merge_texts, write_siblings

ANSWER_SECONDS = 2.0
"""How long another process may take: one that is that busy is left out, and said to be down."""
MOST_PROCESSES = 256

log = structlog.get_logger()


def find_folder(port: int) -> Path:
    """Return where the processes that share a port of this machine find each other."""
    return Path(tempfile.gettempdir()) / f"data-tracker-{os.getuid()}-{port}"


class ApiSiblings:
    """This process's number, and the way to the others. Without a folder there are no others."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self.number = 0

    @asynccontextmanager
    async def open(self, write_own: Callable[[], str]) -> AsyncIterator[None]:
        """Take a number, and answer the others by `write_own` until the end; go without them where there is no folder."""
        try:
            lock = self._take_number()
        except OSError as error:
            log.warning("the metrics of each process are its own", reason=str(error))
            self._folder = None
            lock = None
        if self._folder is None or lock is None:
            yield
            return
        path = self._find_socket(self.number)
        path.unlink(missing_ok=True)
        try:
            async with await asyncio.start_unix_server(_make_answerer(write_own), path):
                yield
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)
                self._find_lock(self.number).unlink(missing_ok=True)
                self._folder.rmdir()
            os.close(lock)

    async def collect(self, own: str) -> str:
        """Return the metrics of every process, `own` those of this one."""
        if self._folder is None:
            return own + write_siblings({self.number: True})
        others = [number for number in self._list_running() if number != self.number]
        texts = dict(zip(others, await asyncio.gather(*[self._ask(number) for number in others]), strict=True))
        is_up = {self.number: True} | {number: text is not None for number, text in texts.items()}
        return merge_texts([own, *filter(None, texts.values())]) + write_siblings(is_up)

    def _take_number(self) -> int | None:
        """Take the lowest free number; return the lock that keeps it, or `None` without a folder. Raises `OSError`."""
        if self._folder is None:
            return None
        self._folder.mkdir(mode=0o700, exist_ok=True)
        known = self._folder.lstat()
        if known.st_uid != os.getuid() or S_IMODE(known.st_mode) & 0o077:
            raise PermissionError(f"{self._folder} belongs to somebody else, or lets others in")
        for number in range(MOST_PROCESSES):
            lock = _take_lock(self._find_lock(number))
            if lock is not None:
                self.number = number
                return lock
        raise OSError(f"{MOST_PROCESSES} processes have a number in {self._folder} already")

    def _list_running(self) -> list[int]:
        """Return the numbers that are taken."""
        assert self._folder is not None  # noqa: S101  # its caller looks
        numbers = sorted(int(path.stem) for path in self._folder.glob("*.lock") if path.stem.isdecimal())
        return [number for number in numbers if self._is_taken(number)]

    def _is_taken(self, number: int) -> bool:
        if number == self.number:
            return True
        try:
            lock = os.open(self._find_lock(number), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            # A shared one, so that two that look at once do not see each other.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    async def _ask(self, number: int) -> str | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._find_socket(number))
                try:
                    return (await reader.read(-1)).decode()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return None

    def _find_lock(self, number: int) -> Path:
        return Path(self._folder or "") / f"{number}.lock"

    def _find_socket(self, number: int) -> Path:
        return Path(self._folder or "") / f"{number}.sock"


def _take_lock(path: Path) -> int | None:
    """Return the lock of a file, which holds until it is closed or the process ends; `None` where another has it."""
    while True:
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        if _is_same_file(lock, path):
            return lock
        # Whoever had it removed the file, after it was opened here.
        os.close(lock)


def _is_same_file(lock: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), path.stat())
    except FileNotFoundError:
        return False


def _make_answerer(
    write_own: Callable[[], str],
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
    def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(write_own().encode())
        writer.close()

    return answer
