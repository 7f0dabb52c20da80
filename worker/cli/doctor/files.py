"""Looks at the disk: the data directory, its free space, ticks that wait in it, and the rules file."""

import errno
import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from worker.cli.doctor.findings import AGAIN, Finding, make_ok, make_problem, make_warning
from worker.latest.rules import LARGEST_FILE, InvalidFile, read_rules_file
from worker.settings import WorkerSettings

DISK, JOURNAL, RULES = "disk", "journal", "rules file"
LEAST_BYTES, FEW_BYTES = 128 * 1024**2, 1024**3
"""Free bytes below which nothing goes on for long, and below which there is a warning."""
FEW_FILES = 1000
"""Further files that a file system takes, below which there is a warning."""
PROBE_BYTES = 4096
MEGABYTE = 1_000_000


def check_disk(settings: WorkerSettings, journal: Path) -> Sequence[Finding]:
    """Write into the data directory, see what is free there, and count the ticks that wait in files."""
    folder = settings.data_dir.absolute()
    try:
        nearest = _find_nearest(folder)
        if nearest == folder:
            _write_probe(folder)
        elif not os.access(nearest, os.W_OK | os.X_OK):
            return [make_problem(DISK, f"{folder} cannot be made in {nearest}", "change TRACKER_DATA_DIR or its owner")]
        return [_judge_space(folder, nearest), _judge_journal(journal)]
    except OSError as error:
        text = f"{error.filename or folder} cannot be used: {error.strerror or error}"
        return [make_problem(DISK, text, "change TRACKER_DATA_DIR, its owner, or what fills the disk")]


def _find_nearest(folder: Path) -> Path:
    """Return the folder, or the nearest above it that is there. Raises `OSError` where that is none."""
    nearest = next(each for each in (folder, *folder.parents) if each.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))
    return nearest


def _write_probe(folder: Path) -> None:
    """Write a file, down to the disk, and remove it. Raises `OSError`."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
        file.write(b"\0" * PROBE_BYTES)
        file.flush()
        os.fsync(file.fileno())


def _judge_space(folder: Path, nearest: Path) -> Finding:
    free = shutil.disk_usage(nearest).free
    system = os.statvfs(nearest)
    is_there = "takes writes" if nearest == folder else "is not there yet, and can be made"
    text = f"{folder} {is_there}, {free // MEGABYTE:,} MB free"
    if free < LEAST_BYTES:
        return make_problem(DISK, text, "make room: the database and the archive stop when it is full")
    if free < FEW_BYTES:
        return make_warning(DISK, text, "make room before it is full")
    # Some file systems count no files.
    if system.f_files > 0 and system.f_favail < FEW_FILES:
        return make_warning(DISK, f"{text}, but only {system.f_favail} further files", "remove files")
    return make_ok(DISK, text)


def _judge_journal(journal: Path) -> Finding:
    sizes = [size for size in map(_find_size, journal.glob("*.journal")) if size is not None]
    if not sizes:
        return make_ok(JOURNAL, "no ticks wait in files")
    text = f"{sum(sizes) / MEGABYTE:,.1f} MB of ticks wait in {journal} for Redis"
    return make_warning(JOURNAL, text, "the worker commits them when Redis answers")


def _find_size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None  # committed meanwhile


def check_rules_file(path: Path | None, interval: int, channels: Collection[str] | None) -> Sequence[Finding]:
    """Read the rules file as the worker does; `channels` are those that rules may name, `None` where that is not known."""
    if path is None:
        return [make_ok(RULES, "TRACKER_RULES_FILE names none")]
    mend = f"type {AGAIN} again when it is corrected; until then the rules before stay"
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            return [make_problem(RULES, f"{path} has {size} bytes; accepted: {LARGEST_FILE} at most", mend)]
        rules = read_rules_file(path.read_text(encoding="utf-8"), interval, channels)
    except (OSError, UnicodeDecodeError) as error:
        return [make_problem(RULES, f"{path} cannot be read: {error}", "change TRACKER_RULES_FILE, or its owner")]
    except InvalidFile as error:
        return [make_problem(RULES, _join_lines(path, str(error).splitlines()), mend)]
    return [make_ok(RULES, f"{path} has {len(rules)} {'rule' if len(rules) == 1 else 'rules'}")]


def _join_lines(path: Path, lines: Iterable[str]) -> str:
    return f"{path}: {'; '.join(lines)}"
