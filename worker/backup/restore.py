"""
Restores a backup into a data directory that holds no database: checks the backup, builds the files beside, loads them
with the embedded server, and only then puts them in place.
"""

import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.backup import manifests
from worker.backup.manifests import ARCHIVE, SNAPSHOT, UNFINISHED, Manifest
from worker.embedded.pidlock import AlreadyRunning
from worker.embedded.server import SOCKET, check_socket_length, is_answering
from worker.embedded.temporary import LOG, hold_folder, make_log_folder, run_server
from worker.latest import copies, format_iso
from worker.latest.settings import Settings
from worker.latest.store import DataFormat, OtherFormat, SnapshotClient, connect
from worker.reporting.steps import MISUSED, CommandRefused, Seen, StepProgress, report_file_errors
from worker.reporting.terminal import name_command, print_line

NAME = "data-tracker-restore"
BUILDING = f"restore{UNFINISHED}"
HELD = (LOG, "appendonly.aof", "dump.rdb")
"""The files of a Redis in its folder."""


async def restore(backup: Path) -> None:
    """Restore a backup into the data directory of the settings. Raises `CommandRefused`."""
    settings = manifests.read_embedded_settings()
    folder, archive, pace = (
        settings.data_dir.absolute(),
        copies.find_archive_file(settings.archive_address),
        StepProgress(),
    )
    manifest = manifests.read_manifest(backup)
    check_they_match(manifest, archive)
    check_socket_length(folder)
    print_line(f"checking {backup}, made {manifest.made} by data-tracker {manifest.version}")
    manifests.check_files(backup, manifest.files, pace.report_step("checking"))
    try:
        if is_answering(folder / SOCKET):
            raise CommandRefused(f"a server runs on {folder}: stop it first; {describe_move(folder)}")
        with report_file_errors(folder), hold_folder(folder):
            check_is_free(folder, archive)
            print_line(f"restoring into {folder}")
            with open_building(folder / BUILDING, archive) as staged:
                await build(backup, manifest, folder / BUILDING, pace)
                if archive and staged:
                    build_archive(backup, manifest, staged, pace)
                put_in_place(folder, archive, staged)
    except AlreadyRunning as error:
        raise CommandRefused(
            f"process {error.process} runs on {folder}: stop it first; {describe_move(folder)}"
        ) from error
    report_restore(manifest, settings)


def check_they_match(manifest: Manifest, archive: Path | None) -> None:
    if manifest.archive and not archive:
        raise CommandRefused(
            "the backup holds an archive in SQLite, and TRACKER_DATABASE_URL names PostgreSQL: unset it", MISUSED
        )
    if archive and not manifest.archive:
        raise CommandRefused(
            "the backup's archive is in PostgreSQL, and not in the backup: set TRACKER_DATABASE_URL to it", MISUSED
        )


def check_is_free(folder: Path, archive: Path | None) -> None:
    held = [folder / name for name in HELD]
    if archive:
        held += [archive, *[archive.with_name(archive.name + end) for end in copies.BESIDE]]
    there = [path for path in held if path.exists()]
    if there:
        aside = folder if folder in there[0].parents else there[0]
        raise CommandRefused(f"there is a database already: {', '.join(map(str, there))}; {describe_move(aside)}")


def describe_move(path: Path) -> str:
    return f"to move it aside: mv {shlex.quote(str(path))} {shlex.quote(f'{path}.before')}"


@contextmanager
def open_building(work: Path, archive: Path | None) -> Iterator[Path | None]:
    """Yield the path where the archive is built; remove at the end what was not put in place."""
    staged = archive.with_name(archive.name + UNFINISHED) if archive else None

    def clear() -> None:
        shutil.rmtree(work, ignore_errors=True)
        for end in ("", *copies.BESIDE):
            if staged:
                staged.with_name(staged.name + end).unlink(missing_ok=True)

    clear()
    try:
        yield staged
    finally:
        clear()


async def build(backup: Path, manifest: Manifest, work: Path, pace: StepProgress) -> None:
    """Build a folder from which the embedded server loads the snapshot, and check what it loads."""
    base = make_log_folder(work)
    copy(backup / SNAPSHOT, base, pace.report_step("copying the snapshot"))
    async with run_server(work, pace.report_step("loading the snapshot")) as address, connect(address, NAME) as redis:
        try:
            await DataFormat(redis).check()
        except OtherFormat as error:
            raise CommandRefused(describe_format(backup, manifest, error)) from error
        held = await SnapshotClient(redis).read_loaded()
    if (held.keys, held.tick) != (manifest.keys, manifest.tick):
        raise CommandRefused(
            f"the snapshot has {held.keys:,} keys and tick {held.tick}, and should give {manifest.keys:,} keys and "
            f"tick {manifest.tick}: nothing was restored"
        )


def describe_format(backup: Path, manifest: Manifest, error: OtherFormat) -> str:
    """Say that a backup holds data of another format, and how its archive can be used."""
    archive = shlex.quote(str(backup / ARCHIVE))
    use = (
        f"; to start anew with its archive, copy {archive} to archive.db in TRACKER_DATA_DIR"
        if manifest.archive
        else ""
    )
    return f"{backup} {error.contents}: nothing was restored{use}"


def build_archive(backup: Path, manifest: Manifest, staged: Path, pace: StepProgress) -> None:
    staged.parent.mkdir(parents=True, exist_ok=True)
    copy(backup / ARCHIVE, staged, pace.report_step("copying the archive"))
    if (
        manifests.describe_archive(copies.read_copy(staged, pace.report_step("reading the archive")))
        != manifest.archive
    ):
        raise CommandRefused(f"{backup / ARCHIVE} does not hold what the manifest says: nothing was restored")


def copy(source: Path, to: Path, seen: Seen) -> None:
    """Copy a file, and sync the copy to disk."""
    size = source.stat().st_size
    with source.open("rb") as file, to.open("wb") as copied:
        while piece := file.read(manifests.PIECE):
            copied.write(piece)
            seen(copied.tell(), size)
    manifests.sync_to_disk(to)


def put_in_place(folder: Path, archive: Path | None, staged: Path | None) -> None:
    """Put both in place, the archive first: a Redis that begins empty is filled again from it."""
    if archive and staged:
        staged.rename(archive)
        manifests.sync_to_disk(archive.parent)
    try:
        (folder / BUILDING / LOG).rename(folder / LOG)
    except OSError:
        if archive and staged:
            archive.rename(staged)
        raise
    manifests.sync_to_disk(folder)


def report_restore(manifest: Manifest, settings: Settings) -> None:
    tick = "none" if manifest.tick is None else format_iso(manifest.tick)
    candles = f", {manifest.archive.candles:,} candles" if manifest.archive else ""
    print_line(f"restored and read back: newest tick {tick}, {manifest.keys:,} keys{candles}")
    if not manifest.archive:
        load = copies.format_tool_command("pg_restore", settings.archive_address)
        print_line(f"the archive is in PostgreSQL; where it is lost, too: {load} --clean --if-exists archive.dump")
    print_line(f"next: {name_command('start')}")
