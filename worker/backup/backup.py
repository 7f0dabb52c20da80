"""
Backs up the embedded database and the SQLite archive: a snapshot and a copy of the same instant, both read back before
the backup counts. Works while everything runs; where nothing runs, the embedded server is started for the backup.
"""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, NamedTuple

from worker.backup import manifests
from worker.backup.manifests import ARCHIVE, SNAPSHOT, Manifest
from worker.embedded.pidlock import AlreadyRunning, lock_pid_file, write_pid
from worker.embedded.server import SOCKET, is_answering
from worker.embedded.temporary import LOG, make_log_folder, reach_server, run_server
from worker.latest import __version__, copies, format_iso
from worker.latest.settings import Settings
from worker.latest.store import LoadedSnapshot, SnapshotClient, SnapshotStart, connect
from worker.reporting.steps import CommandRefused, StepProgress
from worker.reporting.terminal import name_command, print_line

TRIES = 5
NAME = "data-tracker-backup"


class TornBackup(Exception):
    """Snapshot and archive are not of one instant, as can happen while everything runs; the message says why."""


class SnapshotInsideTick(TornBackup):
    """The snapshot began while a tick was committed."""

    def __init__(self, after: int | None) -> None:
        super().__init__("the snapshot began inside a tick")
        self.after = after


class BackupContents(NamedTuple):
    """What is in a backup."""

    held: LoadedSnapshot
    contents: copies.Contents | None
    """Nothing where the archive is elsewhere."""
    server: str


async def back_up(target: Path, now: datetime) -> None:
    """Make a backup in `target`. Raises `CommandRefused`."""
    settings = manifests.read_embedded_settings()
    folder, archive = settings.data_dir.absolute(), copies.find_archive_file(settings.archive_address)
    check_what_there_is(folder, archive)
    with manifests.open_unfinished(target) as unfinished, lock_backup(folder):
        print_line(f"backing up {folder}")
        pace = StepProgress()
        taken = await take_whole(folder, archive, unfinished, pace)
        names = manifests.list_names(has_archive=archive is not None)
        manifest = Manifest(
            product="data-tracker",
            format=manifests.FORMAT,
            version=__version__,
            feeds=manifests.find_version_fed(),
            made=now.isoformat(),
            server=taken.server,
            tick=taken.held.tick,
            keys=taken.held.keys,
            archive=manifests.describe_archive(taken.contents) if taken.contents else None,
            files={
                name: manifests.measure_file(unfinished / name, pace.report_step(f"measuring {name}")) for name in names
            },
        )
        manifests.write_manifest(unfinished, manifest)
    report_backup(target, manifest, settings)


def check_what_there_is(folder: Path, archive: Path | None) -> None:
    if not is_answering(folder / SOCKET) and not (folder / LOG).is_dir():
        raise CommandRefused(f"there is no database in {folder} (TRACKER_DATA_DIR): nothing to back up")
    if archive and not archive.is_file():
        raise CommandRefused(f"there is no archive at {archive}: the worker makes it when it starts (scripts/start.sh)")


@contextmanager
def lock_backup(folder: Path) -> Iterator[None]:
    try:
        claimed = lock_pid_file(folder / "run" / "backup.pid")
    except AlreadyRunning as error:
        raise CommandRefused(f"process {error.process} is backing up {folder} just now") from error
    write_pid(claimed, os.getpid())
    try:
        yield
    finally:
        os.close(claimed)


async def take_whole(folder: Path, archive: Path | None, to: Path, pace: StepProgress) -> BackupContents:
    """Take snapshot and archive until both are of one instant. Raises `CommandRefused` after `TRIES`."""
    async with (
        reach_server(folder, pace.report_step("the database reads its log")) as address,
        connect(address, NAME) as redis,
    ):
        saver, goes_on = SnapshotClient(redis), True
        for number in range(1, TRIES + 1):
            try:
                return await _take(saver, archive, to, pace, goes_on=goes_on)
            except SnapshotInsideTick as torn:
                print_line(f"  {torn}; trying again when the tick is complete")
                goes_on = await saver.wait_for_next_tick(torn.after)
                if not goes_on:
                    print_line(
                        "  no process completes that tick: it is backed up as it is, and the worker completes it when it starts"
                    )
            except TornBackup as torn:
                print_line(f"  {torn}; trying again")
                if number == TRIES:
                    raise CommandRefused(f"{torn}, {TRIES} times in a row; try again when less is written") from torn
    raise CommandRefused(f"the snapshot began inside a tick, {TRIES} times in a row; try again when less is written")


async def _take(
    saver: SnapshotClient, archive: Path | None, to: Path, pace: StepProgress, *, goes_on: bool
) -> BackupContents:
    looking = pace.report_step("looking through the archive")
    await saver.wait_until_idle()
    with copies.open_view(archive, looking) if archive else nullcontext() as view:
        begun = await saver.start_snapshot()
        if view and not view.is_newest():
            raise TornBackup("the archive was written to while the snapshot began")
        await _keep(saver, begun, to / SNAPSHOT, pace)
        held = await _read_back(to / SNAPSHOT, pace)
        if (held.keys, held.tick) != (begun.keys, begun.tick):
            raise TornBackup(f"the snapshot holds {held.keys:,} keys, and the database held {begun.keys:,}")
        if goes_on and not held.is_whole:
            raise SnapshotInsideTick(held.tick)
        contents = None
        if view:
            contents = view.read_contents()
            (to / ARCHIVE).unlink(missing_ok=True)
            view.copy(to / ARCHIVE, pace.report_step("copying the archive"))
            if copies.read_copy(to / ARCHIVE, looking) != contents:
                raise TornBackup("the copy of the archive does not hold what the archive held")
    return BackupContents(held, contents, await saver.read_version())


async def _keep(saver: SnapshotClient, begun: SnapshotStart, to: Path, pace: StepProgress) -> None:
    """Wait for the file of this very snapshot, and keep it."""
    saved = await saver.wait_for_file(begun, pace.report_step("the snapshot is written"))
    with saved.open("rb") as file:
        if not await saver.is_newest(begun):
            raise TornBackup("another process wrote a snapshot at the same time")
        keep_file(saved, file, to, pace)


def keep_file(path: Path, file: BinaryIO, to: Path, pace: StepProgress) -> None:
    """Move an open file to another name: by a hard link, or by copying where that fails, as onto another disk."""
    to.unlink(missing_ok=True)
    try:
        os.link(path, to)
        is_it = os.path.samestat(to.stat(), os.fstat(file.fileno()))
    except OSError:
        is_it = False
    if not is_it:
        to.unlink(missing_ok=True)
        size, seen = os.fstat(file.fileno()).st_size, pace.report_step("copying the snapshot")
        with to.open("wb") as copy:
            while piece := file.read(manifests.PIECE):
                copy.write(piece)
                seen(copy.tell(), size)
    if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
        path.unlink()


async def _read_back(snapshot: Path, pace: StepProgress) -> LoadedSnapshot:
    """Load the snapshot as a restore does, and return what it holds."""
    with TemporaryDirectory(prefix="data-tracker-") as here:
        make_log_folder(Path(here)).symlink_to(snapshot)
        seen = pace.report_step("reading the snapshot back")
        async with run_server(Path(here), seen) as address, connect(address, NAME) as redis:
            return await SnapshotClient(redis).read_loaded()


def report_backup(target: Path, manifest: Manifest, settings: Settings) -> None:
    size = sum(part.size for part in manifest.files.values())
    tick = "none" if manifest.tick is None else format_iso(manifest.tick)
    candles = f", {manifest.archive.candles:,} candles" if manifest.archive else ""
    print_line(f"backed up and read back: newest tick {tick}, {manifest.keys:,} keys{candles}, {size / 1e6:.1f} MB")
    print_line("not included: .env, tracker.toml, and the file that TRACKER_RULES_FILE names")
    if not manifest.archive:
        file = shlex.quote(f"{target / 'archive.dump'}")
        dump = copies.format_tool_command("pg_dump", settings.archive_address)
        print_line(f"nor the archive, which is in PostgreSQL; back it up now: {dump} --format=custom --file={file}")
    print_line(f"next, should you need it: {name_command('restore')} {shlex.quote(str(target))}")
