"""
A backup: a folder with these files, which appears whole or not at all. Reads, checks and writes its manifest.

    manifest.json   what is in the others
    redis.rdb       a snapshot of Redis
    archive.db      the archive of the same instant, where it is in SQLite
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from worker.embedded.pidlock import AlreadyRunning, lock_pid_file, write_pid
from worker.latest import copies
from worker.latest.settings import Settings
from worker.reporting.steps import MISUSED, CommandRefused, Seen, report_file_errors

Name = Literal["redis.rdb", "archive.db"]
MANIFEST = "manifest.json"
SNAPSHOT: Final = "redis.rdb"
ARCHIVE: Final = "archive.db"
UNFINISHED = ".unfinished"
"""The end of the name of a folder that is not complete."""
MAKING = "made-by.pid"
OURS = (MANIFEST, SNAPSHOT, ARCHIVE, f"{ARCHIVE}-journal", MAKING)
FORMAT = 1
PIECE = 1 << 22

Document = TypeVar("Document", bound=BaseModel)
Count = Annotated[int, Field(ge=0)]


class BackupFile(BaseModel):
    """A file of a backup."""

    model_config = ConfigDict(frozen=True)

    size: Count
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class ArchiveContents(BaseModel):
    """What the archive holds."""

    model_config = ConfigDict(frozen=True)

    revision: str
    """Of the schema."""
    candles: Count
    rows: dict[str, Count]
    """By table."""


class ManifestHead(BaseModel):
    """The fields of a manifest that every format has."""

    model_config = ConfigDict(frozen=True)

    product: Literal["data-tracker"]
    format: Annotated[int, Field(ge=1)]


class Manifest(ManifestHead):
    """What a backup holds."""

    version: str
    """Of the product."""
    feeds: str
    """The version whose data it is: `v1`."""
    made: str
    """When the backup was made, ISO 8601."""
    server: str
    """Kind and version of the Redis."""
    tick: int | None
    """The newest tick, unix seconds."""
    keys: Count
    archive: ArchiveContents | None
    """`None` where the archive is in PostgreSQL, and so not in the backup."""
    files: dict[Name, BackupFile]

    @model_validator(mode="after")
    def _names_its_files(self) -> Self:
        wanted = list_names(has_archive=self.archive is not None)
        if sorted(self.files) != sorted(wanted):
            raise ValueError(f"the files must be {' and '.join(wanted)}")
        return self


def describe_archive(contents: copies.Contents) -> ArchiveContents:
    return ArchiveContents(revision=contents.schema, candles=contents.candles, rows=dict(contents.rows))


def list_names(*, has_archive: bool) -> list[Name]:
    """Return the names of the files beside the manifest."""
    return [SNAPSHOT, ARCHIVE] if has_archive else [SNAPSHOT]


def read_embedded_settings() -> Settings:
    """Read the settings; raises `CommandRefused` where Redis is not the embedded one."""
    settings = Settings.load()
    if settings.redis_url and "," in settings.redis_address:
        raise CommandRefused(
            "TRACKER_REDIS_URL names a cluster, of which no snapshot is one instant: its replicas keep the data, samples "
            "and ranks come back from the exchanges and the archive, and rules, silences and alerts are kept as files: "
            "see docs/how-to/backup-and-restore.md#a-cluster",
            MISUSED,
        )
    if settings.redis_url:
        raise CommandRefused(
            "TRACKER_REDIS_URL is set, and this is for the embedded database: "
            "see docs/how-to/backup-and-restore.md for a Redis of your own",
            MISUSED,
        )
    return settings


def find_version_fed() -> str:
    return Settings.__module__.partition(".")[0]


@contextmanager
def open_unfinished(target: Path) -> Iterator[Path]:
    """Yield a folder to fill, which is renamed to `target` at the end, and removed after an error."""
    _check_is_free(target)
    unfinished = target.with_name(target.name + UNFINISHED)
    with report_file_errors(target):
        unfinished.mkdir(parents=True, exist_ok=True)
        claimed = _claim(unfinished)
        try:
            _clear(unfinished)
            yield unfinished
            (unfinished / MAKING).unlink()
            sync_to_disk(unfinished)
            unfinished.replace(target)
            sync_to_disk(target.parent)
        except BaseException:
            _clear(unfinished)
            (unfinished / MAKING).unlink(missing_ok=True)
            unfinished.rmdir()
            raise
        finally:
            os.close(claimed)


def _check_is_free(target: Path) -> None:
    with report_file_errors(target):
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            what = "not empty" if target.is_dir() else "a file"
            raise CommandRefused(f"{target} is {what}: name a folder that is not there yet", MISUSED)


def _claim(unfinished: Path) -> int:
    others = sorted(path.name for path in unfinished.iterdir() if path.name not in OURS)
    if others:
        raise CommandRefused(
            f"{unfinished} holds files that no backup has ({', '.join(others)}): name another folder", MISUSED
        )
    try:
        claimed = lock_pid_file(unfinished / MAKING)
    except AlreadyRunning as error:
        raise CommandRefused(f"process {error.process} is writing to {unfinished}") from error
    write_pid(claimed, os.getpid())
    return claimed


def _clear(unfinished: Path) -> None:
    """Remove the files of a backup, of this run or of one that was killed."""
    for name in OURS:
        if name != MAKING:
            (unfinished / name).unlink(missing_ok=True)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    path = folder / MANIFEST
    path.write_text(f"{manifest.model_dump_json(indent=2)}\n", encoding="utf-8")
    sync_to_disk(path)


def measure_file(path: Path, seen: Seen) -> BackupFile:
    """Sync a file to disk, and return its size and checksum."""
    sync_to_disk(path)
    digest, done, size = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
            done += len(piece)
            seen(done, size)
    return BackupFile(size=done, sha256=digest.hexdigest())


def sync_to_disk(path: Path) -> None:
    """Flush to disk what was written: the bytes of a file, the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a backup; raises `CommandRefused` where this version cannot restore it."""
    path = folder / MANIFEST
    held = _parse(path, ManifestHead).format
    if held != FORMAT:
        raise CommandRefused(
            f"{path} has format {held}, and this version reads {FORMAT}: restore it with a newer version"
        )
    manifest = _parse(path, Manifest)
    if manifest.feeds != find_version_fed():
        raise CommandRefused(f"{folder} holds data of {manifest.feeds}, and this worker feeds {find_version_fed()}")
    if manifest.archive and not copies.is_known_schema(manifest.archive.revision):
        raise CommandRefused(
            f"{folder} holds an archive with schema {manifest.archive.revision!r}, which this version does not know: "
            f"restore it with data-tracker {manifest.version} or later"
        )
    return manifest


def _parse(path: Path, kind: type[Document]) -> Document:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CommandRefused(f"{path.parent} is no backup: there is no {path.name} in it", MISUSED) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CommandRefused(f"{path} is damaged: {f'{where}: ' if where else ''}{first['msg']}") from error


def check_files(folder: Path, files: Mapping[Name, BackupFile], seen: Seen) -> None:
    """Check that the files are those of the manifest; raises `CommandRefused`."""
    for name, wanted in files.items():
        path = folder / name
        if not path.is_file():
            raise CommandRefused(f"{path} is missing: the backup is damaged")
        if path.stat().st_size != wanted.size:
            raise CommandRefused(
                f"{path} has {path.stat().st_size} bytes and should have {wanted.size}: the backup is damaged"
            )
        if measure_file(path, seen).sha256 != wanted.sha256:
            raise CommandRefused(f"{path} has another sha256 than {MANIFEST} says: the backup is damaged")
