"""
A backup: a folder with these files, which appears whole or not at all. Reads, checks and writes its manifest.

    manifest.json   what is in the others
    redis.rdb       a snapshot of Redis
    archive.db      the archive of the same instant, where it is in SQLite
"""

import hashlib
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from worker.embedded.pidlock import AlreadyRunning, lock_pid_file, write_pid
from worker.latest import Settings, copies
from worker.reporting.steps import MISUSED, CommandRefused, Seen, report_file_errors

Name = Literal["redis.rdb", "archive.db"]
MANIFEST = "manifest.json"
SNAPSHOT: Final = "redis.rdb"
ARCHIVE: Final = "archive.db"
UNFINISHED = ".unfinished"
"""What the name of a folder ends with while it is filled, and if that was cut off."""
MAKING = "made-by.pid"
OURS = (MANIFEST, SNAPSHOT, ARCHIVE, f"{ARCHIVE}-journal", MAKING)
FORMAT = 1
PIECE = 1 << 22
PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"

Said = TypeVar("Said", bound=BaseModel)
Count = Annotated[int, Field(ge=0)]


class BackupFile(BaseModel):
    """A file."""

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

    @classmethod
    def of(cls, contents: copies.Contents) -> "ArchiveContents":
        return cls(revision=contents.schema, candles=contents.candles, rows=dict(contents.rows))


class ManifestHead(BaseModel):
    """What every manifest says, whatever else there is to read in it."""

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
    """When, ISO 8601."""
    server: str
    """Kind and version of the Redis."""
    tick: int | None
    """The newest one."""
    keys: Count
    archive: ArchiveContents | None
    """Nothing where it is not in the backup, but in PostgreSQL."""
    files: dict[Name, BackupFile]

    @model_validator(mode="after")
    def _names_its_files(self) -> Self:
        wanted = list_names(has_archive=self.archive is not None)
        if sorted(self.files) != sorted(wanted):
            raise ValueError(f"the files must be {' and '.join(wanted)}")
        return self


def list_names(*, has_archive: bool) -> list[Name]:
    """Return the names of the files beside the manifest."""
    return [SNAPSHOT, ARCHIVE] if has_archive else [SNAPSHOT]


def read_embedded_settings() -> Settings:
    """Read the settings; raises `Refused` where Redis is not the embedded one."""
    settings = Settings.load()
    if settings.redis_url:
        raise CommandRefused(
            "TRACKER_REDIS_URL is set, and this is for the embedded database: "
            "see the section Backup in README.md for a Redis of your own",
            MISUSED,
        )
    return settings


def find_version_fed() -> str:
    return Settings.__module__.partition(".")[0]


def read_product_version() -> str:
    return str(tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["version"])


@contextmanager
def open_unfinished(target: Path) -> Iterator[Path]:
    """Return a folder to fill, which becomes `target` at the end; after an error there is none."""
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
            f"{unfinished} holds what is no backup's ({', '.join(others)}): name another folder", MISUSED
        )
    try:
        claimed = lock_pid_file(unfinished / MAKING)
    except AlreadyRunning as error:
        raise CommandRefused(f"process {error.process} is filling {unfinished} just now") from error
    write_pid(claimed, os.getpid())
    return claimed


def _clear(unfinished: Path) -> None:
    """Take away what was put there, now or by one that was killed."""
    for name in OURS:
        if name != MAKING:
            (unfinished / name).unlink(missing_ok=True)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    path = folder / MANIFEST
    path.write_text(f"{manifest.model_dump_json(indent=2)}\n", encoding="utf-8")
    sync_to_disk(path)


def measure_file(path: Path, seen: Seen) -> BackupFile:
    """Measure a file that is on the disk."""
    sync_to_disk(path)
    digest, done, size = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
            done += len(piece)
            seen(done, size)
    return BackupFile(size=done, sha256=digest.hexdigest())


def sync_to_disk(path: Path) -> None:
    """See that what was written is on the disk: the bytes of a file, the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_manifest(folder: Path) -> Manifest:
    """Read what a backup says of itself; raises `Refused` where this code cannot use it."""
    path = folder / MANIFEST
    held = _parse(path, ManifestHead).format
    if held != FORMAT:
        raise CommandRefused(f"{path} has format {held}, and this code knows {FORMAT}: restore it with newer code")
    manifest = _parse(path, Manifest)
    if manifest.feeds != find_version_fed():
        raise CommandRefused(f"{folder} holds data of {manifest.feeds}, and this code feeds {find_version_fed()}")
    if manifest.archive and not copies.is_known_schema(manifest.archive.revision):
        raise CommandRefused(
            f"{folder} holds an archive with schema {manifest.archive.revision!r}, which this code does not know: "
            f"restore it with data-tracker {manifest.version} or later"
        )
    return manifest


def _parse(path: Path, kind: type[Said]) -> Said:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CommandRefused(f"{path.parent} is no backup: there is no {path.name} in it", MISUSED) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CommandRefused(f"{path} is damaged: {f'{where}: ' if where else ''}{first['msg']}") from error


def check_files(folder: Path, files: Mapping[Name, BackupFile], seen: Seen) -> None:
    """See that the files are those of the manifest; raises `Refused`."""
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
