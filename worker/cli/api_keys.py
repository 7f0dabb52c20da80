"""The commands about keys of the API: make one, list them, revoke one."""

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import typer

from worker.cli.process import exit_with, read_settings, run_until_done
from worker.cli.reset import reach_redis
from worker.cli.times import TEN_DIGITS, parse_instant
from worker.latest import DAY, HOUR, format_iso
from worker.latest.store import ApiKey, ApiKeyStore, KeyScope, LimitReached, connect
from worker.reporting.steps import CommandRefused
from worker.reporting.terminal import print_line
from worker.settings import WorkerSettings

app = typer.Typer(help="Make, list and revoke keys of the API.")

LONGEST_NAME = 64
_LENGTH = re.compile(r"\+([1-9][0-9]{0,4})([hd])")
_KEY_ID = re.compile(r"(?:dt_)?([0-9a-f]{8})(?:_[0-9a-f]{32})?")


@app.command("make")
def make_command(
    name: Annotated[str, typer.Argument(help="Whose key it is: a person, a program.", show_default=False)],
    scope: Annotated[
        KeyScope,
        typer.Option(help="read: everything that changes nothing; rules: rules, silences and alerts, too; admin: all."),
    ] = KeyScope.READ,
    until: Annotated[
        str | None, typer.Option(help="When it ends: ISO 8601, unix seconds, or +90d, +12h from now. Else never.")
    ] = None,
) -> None:
    """Make a key, and print it. It is shown this once: Redis has its SHA-256 alone."""
    settings, now = read_settings(), int(time.time())
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        exit_with(f"NAME: {name[:100]!r} is not accepted; accepted: 1 to {LONGEST_NAME} printable characters", 2)
    try:
        end = None if until is None else parse_end(until, now)
    except ValueError as error:
        exit_with(str(error), 2)
    run_until_done(_make(settings, name, scope, now, end))


@app.command("list")
def list_command() -> None:
    """List the keys: id, scope, name, when each was made and last used, and when it ends."""
    run_until_done(_list(read_settings()))


@app.command("revoke")
def revoke_command(
    key: Annotated[str, typer.Argument(metavar="ID", help="Its id, or the whole key.", show_default=False)],
) -> None:
    """Revoke a key. Within a second it is not accepted any more, by any process of the API."""
    settings, found = read_settings(), _KEY_ID.fullmatch(key)
    if not found:
        # It may be another secret, so it is not shown.
        exit_with("ID: what is given is no id of a key; accepted: 8 hexadecimal digits, as `list` shows them", 2)
    run_until_done(_revoke(settings, found[1]))


def parse_end(text: str, now: int) -> int:
    """Return when a key ends, unix seconds. Raises `ValueError`."""
    if found := _LENGTH.fullmatch(text):
        end = now + int(found[1]) * {"h": HOUR, "d": DAY}[found[2]]
        if end >= TEN_DIGITS:
            raise ValueError(f"--until: {text!r} is after the year 2286")
        return end
    end = parse_instant(text)
    if end <= now:
        raise ValueError(f"--until: {text!r} is not after now, {format_iso(now)}")
    return end


async def _make(settings: WorkerSettings, name: str, scope: KeyScope, now: int, until: int | None) -> None:
    async with _open_store(settings) as store:
        try:
            text, made = await store.add_key(name, scope, now, until)
        except LimitReached as error:
            raise CommandRefused(str(error)) from error
    print_line(text)
    end = format_iso(until) if until else "it is revoked"
    typer.echo(f"this key is shown once; its id is {made.id}, its scope {scope}, and it holds until {end}", err=True)
    if not settings.is_guarded:
        typer.echo("by its settings the API asks nobody for a key: set TRACKER_KEYS_REQUIRED=yes for it", err=True)


async def _list(settings: WorkerSettings) -> None:
    async with _open_store(settings) as store:
        made, uses = await store.read_keys(), await store.read_uses()
    if not made:
        print_line("there are no keys; the command `make NAME` makes one")
        return
    now = int(time.time())
    rows: list[tuple[str, ...]] = [("ID", "SCOPE", "MADE", "LAST USED", "UNTIL", "NAME")]
    rows += [_describe_key(key, uses.get(key.id), now) for key in sorted(made.values(), key=lambda key: key.made_at)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        print_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _describe_key(key: ApiKey, used_at: int | None, now: int) -> tuple[str, ...]:
    end = "-" if key.until is None else "ended" if key.until <= now else format_iso(key.until)
    used = format_iso(used_at) if used_at else "never"
    return key.id, key.scope, format_iso(key.made_at), used, end, key.name


async def _revoke(settings: WorkerSettings, key_id: str) -> None:
    async with _open_store(settings) as store:
        if not await store.revoke_key(key_id):
            raise CommandRefused(f"there is no key {key_id}; the command `list` shows those there are")
    print_line(f"revoked {key_id}")


@asynccontextmanager
async def _open_store(settings: WorkerSettings) -> AsyncIterator[ApiKeyStore]:
    async with reach_redis(settings) as address, connect(address, "data-tracker-keys") as redis:
        yield ApiKeyStore(redis)
