"""
Backs up what the embedded default keeps: a snapshot of Redis and a copy of the SQLite archive, both of one instant,
each read back before it counts. It takes them while everything runs; where nothing does, the embedded server runs for
as long as it takes.
"""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, NamedTuple

from scripts import backups
from scripts.backups import ARCHIVE, SNAPSHOT, Archived, Manifest
from scripts.claims import Claimed, claim, sign
from scripts.database import SOCKET, answers
from scripts.embedded import LOG, base_of, reached, serving
from scripts.saying import say, typed_as
from scripts.telling import Pace, Refused, finish
from worker.latest import Begun, Held, Saver, Settings, __version__, connect, copies

TRIES = 5
NAME = "data-tracker-backup"


class Torn(Exception):
    """What was taken does not belong together, as can happen while everything runs; the message says why."""


class HalfTick(Torn):
    """The snapshot was begun while a tick was committed."""

    def __init__(self, after: int | None) -> None:
        super().__init__("the snapshot was cut inside a tick")
        self.after = after


class Taken(NamedTuple):
    """What is in a backup."""

    held: Held
    contents: copies.Contents | None
    """Nothing where the archive is elsewhere."""
    server: str


def main() -> int:
    parser = argparse.ArgumentParser(
        typed_as("scripts/backup.sh"), description="Back up the embedded database and the archive."
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="where to; it must not be there yet, or be empty")
    parser.add_argument("--typed-in", type=Path, default=Path(), help=argparse.SUPPRESS)
    given = parser.parse_args()
    now = datetime.fromtimestamp(int(time.time()), UTC)
    return finish(lambda: back_up((given.typed_in / given.folder).resolve(), now))


async def back_up(target: Path, now: datetime) -> None:
    settings = backups.embedded_settings()
    folder, archive = settings.data_dir.absolute(), copies.file_of(settings.archive_address)
    see_what_there_is(folder, archive)
    with backups.making(target) as unfinished, one_at_a_time(folder):
        say(f"backing up {folder}")
        pace = Pace()
        taken = await taken_whole(folder, archive, unfinished, pace)
        names = backups.names(has_archive=archive is not None)
        manifest = Manifest(
            product="data-tracker",
            format=backups.FORMAT,
            version=__version__,
            feeds=backups.version_fed(),
            made=now.isoformat(),
            server=taken.server,
            tick=taken.held.tick,
            keys=taken.held.keys,
            archive=Archived.of(taken.contents) if taken.contents else None,
            files={name: backups.part(unfinished / name, pace.of(f"measuring {name}")) for name in names},
        )
        backups.write(unfinished, manifest)
    say_what_it_is(target, manifest, settings)


def see_what_there_is(folder: Path, archive: Path | None) -> None:
    if not answers(folder / SOCKET) and not (folder / LOG).is_dir():
        raise Refused(f"there is no database in {folder} (TRACKER_DATA_DIR): nothing to back up")
    if archive and not archive.is_file():
        raise Refused(f"there is no archive at {archive}: the worker makes it when it starts (scripts/start.sh)")


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    try:
        claimed = claim(folder / "run" / "backup.pid")
    except Claimed as error:
        raise Refused(f"process {error.process} is backing up {folder} just now") from error
    sign(claimed, os.getpid())
    try:
        yield
    finally:
        os.close(claimed)


async def taken_whole(folder: Path, archive: Path | None, to: Path, pace: Pace) -> Taken:
    """Take both until they belong together. Raises `Refused` where they never do."""
    async with reached(folder, pace.of("the database reads its log")) as address, connect(address, NAME) as redis:
        saver, goes_on = Saver(redis), True
        for number in range(1, TRIES + 1):
            try:
                return await _take(saver, archive, to, pace, goes_on=goes_on)
            except HalfTick as torn:
                say(f"  {torn}; taking it again when that is over")
                goes_on = await saver.goes_on(torn.after)
                if not goes_on:
                    say("  nobody finishes that tick; it is taken as it is, and the worker's next start finishes it")
            except Torn as torn:
                say(f"  {torn}; taking it again")
                if number == TRIES:
                    raise Refused(f"{torn}, {TRIES} times in a row; try again when less is written") from torn
    raise Refused(f"the snapshot was cut inside a tick, {TRIES} times in a row; try again when less is written")


async def _take(saver: Saver, archive: Path | None, to: Path, pace: Pace, *, goes_on: bool) -> Taken:
    looking = pace.of("looking through the archive")
    await saver.idle()
    with copies.view(archive, looking) if archive else nullcontext() as view:
        begun = await saver.begin()
        if view and not view.is_newest():
            raise Torn("the archive was written to while the snapshot began")
        await _keep(saver, begun, to / SNAPSHOT, pace)
        held = await _read_back(to / SNAPSHOT, pace)
        if (held.keys, held.tick) != (begun.keys, begun.tick):
            raise Torn(f"the snapshot holds {held.keys:,} keys, and the database held {begun.keys:,}")
        if goes_on and not held.is_whole:
            raise HalfTick(held.tick)
        contents = None
        if view:
            contents = view.contents()
            (to / ARCHIVE).unlink(missing_ok=True)
            view.copy(to / ARCHIVE, pace.of("copying the archive"))
            if copies.read(to / ARCHIVE, looking) != contents:
                raise Torn("the copy of the archive does not hold what the archive held")
    return Taken(held, contents, await saver.version())


async def _keep(saver: Saver, begun: Begun, to: Path, pace: Pace) -> None:
    """Take hold of the very file that was begun."""
    saved = await saver.finished(begun, pace.of("the snapshot is written"))
    with saved.open("rb") as file:
        if not await saver.is_newest(begun):
            raise Torn("somebody else had a snapshot written, too")
        hold(saved, file, to, pace)


def hold(path: Path, file: BinaryIO, to: Path, pace: Pace) -> None:
    """Give an open file another name, or copy it where that cannot be: onto another disk. The first name is let go of."""
    to.unlink(missing_ok=True)
    try:
        os.link(path, to)
        is_it = os.path.samestat(to.stat(), os.fstat(file.fileno()))
    except OSError:
        is_it = False
    if not is_it:
        to.unlink(missing_ok=True)
        size, seen = os.fstat(file.fileno()).st_size, pace.of("copying the snapshot")
        with to.open("wb") as copy:
            while piece := file.read(backups.PIECE):
                copy.write(piece)
                seen(copy.tell(), size)
    if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
        path.unlink()


async def _read_back(snapshot: Path, pace: Pace) -> Held:
    """Load it as a restore would, and say what is in it."""
    with TemporaryDirectory(prefix="data-tracker-") as here:
        base_of(Path(here)).symlink_to(snapshot)
        seen = pace.of("reading the snapshot back")
        async with serving(Path(here), seen) as address, connect(address, NAME) as redis:
            return await Saver(redis).held()


def say_what_it_is(target: Path, manifest: Manifest, settings: Settings) -> None:
    size = sum(part.size for part in manifest.files.values())
    tick = "none" if manifest.tick is None else datetime.fromtimestamp(manifest.tick, UTC).isoformat()
    candles = f", {manifest.archive.candles:,} candles" if manifest.archive else ""
    say(f"backed up and read back: newest tick {tick}, {manifest.keys:,} keys{candles}, {size / 1e6:.1f} MB")
    say("not included: .env, tracker.toml, and the file that TRACKER_RULES_FILE names")
    if not manifest.archive:
        file = shlex.quote(f"{target / 'archive.dump'}")
        dump = copies.command("pg_dump", settings.archive_address)
        say(f"nor the archive, which is in PostgreSQL; back it up now: {dump} --format=custom --file={file}")
    say(f"next, should you need it: scripts/restore.sh {shlex.quote(str(target))}")


if __name__ == "__main__":
    sys.exit(main())
