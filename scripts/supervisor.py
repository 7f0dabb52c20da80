"""
Brings up all parts of the tracker, says where they are, keeps watch, and takes them down again: the last one
up is the first one down. A part that ends is started again (`restarts`); where that does not help, all go.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from errno import EADDRINUSE
from pathlib import Path
from urllib.parse import quote

from aiohttp import ClientSession, ClientTimeout, TCPConnector

from scripts.address import ApiAddress
from scripts.parts import PartEnded, list_leftovers, stop_leftover
from scripts.restarts import SupervisedPart
from scripts.watching import Health, HealthWatch, compute_percent
from worker.embedded import server
from worker.embedded.pidlock import AlreadyRunning, lock_pid_file, read_holder, write_pid
from worker.latest.settings import PREFIX, WITHOUT_FILES, InvalidSettings, list_written, name_file_setting
from worker.reporting.terminal import get_typed_name, print_line
from worker.settings import WorkerSettings

DEMO = Path("data/demo")
DEMO_SAYS = {
    f"{PREFIX}SOURCES": "simulated",
    f"{PREFIX}METRICS": "SIMULATED:*",
    f"{PREFIX}DATA_DIR": str(DEMO),
    f"{PREFIX}REDIS_URL": f"unix://{quote(str((DEMO / server.SOCKET).absolute()))}",
}
DEMO_TAKES = (
    *("bind", "open", "api_keys", "cors_origins", "hosts", "public_url", "interval", "log_level", "log_format"),
    *("connections", "client_connections", "idle_seconds", "request_seconds", "head_bytes"),
    *("api_processes", "tls_cert", "tls_key"),
)
"""The settings that hold for the demo too: where it listens and to whom, how often it samples, how it logs."""
PartStarter = Callable[..., Awaitable[SupervisedPart]]
"""Starts a part by its name and the words of its module, and has it kept up."""
StoreStarter = Callable[[PartStarter], Awaitable[None]]
"""Starts what keeps the data, by a `PartStarter`, and returns when it answers."""

LOADING_SECONDS = 300.0
"""A database answers when it has read its whole log."""
START_SECONDS = 60.0
SHARING_SECONDS = 30.0
"""How long workers may take at the start to share the data among them before it is told."""
NO_WORKER = " no worker: "
"""In what health says while parts of the data have none."""


class CannotRunHere(Exception):
    """It cannot run here and now; the message says why and what would help."""


def main() -> int:
    parser = argparse.ArgumentParser(
        get_typed_name("scripts/start.sh"), description="Start the database, the worker and the API."
    )
    parser.add_argument("--demo", action="store_true", help=f"a simulated market in {DEMO}: no network, no keys")
    demo = parser.parse_args().demo
    try:
        if demo and (ignored := list_ignored_settings()):
            print_line(
                f"the demo does not use {', '.join(ignored)}: it has its own market, database and rules, and sends nothing"
            )
        settings = read_settings(demo)
        if not demo and settings.redis_url and server.check_own_redis(settings):
            return 1
        server.check_socket_length(settings.data_dir.absolute())
        lock_data_dir(settings.data_dir)
        check_port(settings.bind)
        return asyncio.run(run_until_stopped(settings, choose_store(settings, embedded=demo or not settings.redis_url)))
    except (InvalidSettings, server.UnusableFolder) as error:
        print(error, file=sys.stderr)
        return 2
    except CannotRunHere as error:
        print(error, file=sys.stderr)
        return 1


def choose_store(settings: WorkerSettings, *, embedded: bool) -> StoreStarter:
    """Return what starts the database: nothing does where it is somebody else's."""

    async def start_store(start: PartStarter) -> None:
        if embedded:
            await start_database(settings.data_dir.absolute(), start)

    return start_store


def read_settings(demo: bool, demo_says: Mapping[str, str] = DEMO_SAYS) -> WorkerSettings:
    """
    Read the settings of all parts. Raises `WrongSettings`.

    The demo has a market, a database and an archive of its own, whatever they say, and tells nobody of its alerts:
    all that the environment and the files say otherwise is kept from its parts.
    """
    if not demo:
        return WorkerSettings.load()
    os.environ |= demo_says
    own = WorkerSettings.load()
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        del os.environ[name]
    os.environ[WITHOUT_FILES] = "yes"
    os.environ |= {**demo_says, **{f"{PREFIX}{name.upper()}": _write_value(getattr(own, name)) for name in DEMO_TAKES}}
    return WorkerSettings.load()


def list_ignored_settings(demo_says: Mapping[str, str] = DEMO_SAYS) -> list[str]:
    """Return the names of what is set and would have another effect without `--demo`. Raises `WrongSettings`."""
    taken = {*DEMO_TAKES, *map(name_file_setting, DEMO_TAKES)}
    return sorted(
        {
            f"{PREFIX}{name.upper()}"
            for _, given in list_written(WorkerSettings)
            for name, value in given.items()
            if value not in ("", demo_says.get(f"{PREFIX}{name.upper()}")) and name not in taken and _is_setting(name)
        }
    )


def _is_setting(name: str) -> bool:
    return name in WorkerSettings.model_fields or name in map(name_file_setting, WorkerSettings.secret_names)


def _write_value(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else "" if value is None else str(value)


def lock_data_dir(data_dir: Path) -> None:
    """Claim the data directory, until this process ends however it ends, and stop what a killed run left behind."""
    try:
        write_pid(lock_pid_file(data_dir / "run" / "start.pid"), os.getpid())
    except AlreadyRunning as claimed:
        raise CannotRunHere(
            f"it is up already: process {claimed.process} runs it on {data_dir}; "
            f"Ctrl-C there or kill {claimed.process} stops it"
        ) from claimed
    except OSError as error:
        raise CannotRunHere(f"TRACKER_DATA_DIR: {str(data_dir)!r} cannot be used: {error.strerror}") from error
    for name in list_leftovers(data_dir):
        if stop_leftover(name, data_dir):
            print_line(f"stopped the {name} that a killed run had left behind")


def check_port(bind: str) -> None:
    """Raise `CannotRunHere` where the API cannot listen."""
    if reason := find_obstacle(bind):
        raise CannotRunHere(
            f"TRACKER_BIND: cannot listen on {bind}: {reason}; "
            f"choose another: TRACKER_BIND=127.0.0.1:8001 {get_typed_name('scripts/start.sh')}"
        )


def find_obstacle(bind: str) -> object:
    """Return why nobody can listen at `host:port`; `None` where one can."""
    host, _, port = bind.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    try:
        socket.create_server((host.strip("[]"), int(port)), family=family).close()
    except (OSError, OverflowError) as error:
        # Python adds the address to its reason; a name that is no host has none of the system's.
        return os.strerror(EADDRINUSE) if getattr(error, "errno", None) == EADDRINUSE else error
    return None


async def run_until_stopped(
    settings: WorkerSettings, start_store: StoreStarter, workers: Sequence[str] = ("worker",), more: str = ""
) -> int:
    """
    Run everything until a signal comes (0) or a part cannot be kept up (1).

    `workers` are the names of the workers; `more` is said when all is up.
    """
    code = 0
    ourselves = asyncio.current_task()
    assert ourselves is not None  # noqa: S101  # what runs is a task
    # Under nohup the end of the terminal is nothing to stop for.
    is_kept = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    for number in (signal.SIGINT, signal.SIGTERM, *(() if is_kept else (signal.SIGHUP,))):
        asyncio.get_running_loop().add_signal_handler(number, ourselves.cancel)
    try:
        async with AsyncExitStack() as running:
            await start_all(settings, running, start_store, workers, more)
    except* PartEnded as fallen:
        print(*fallen.exceptions, sep="\n", file=sys.stderr)
        code = 1
    except* asyncio.CancelledError:
        print_line("everything is stopped and the data is kept; next: the same again")
    return code


async def start_all(
    settings: WorkerSettings, running: AsyncExitStack, start_store: StoreStarter, workers: Sequence[str], more: str
) -> None:
    """Start every part, say where it all is, and keep each up."""
    version = find_version()
    async with asyncio.TaskGroup() as watch:

        async def start(name: str, *module: str) -> SupervisedPart:
            print_line(f"starting the {name}")
            part = await SupervisedPart.start(name, [sys.executable, "-u", "-m", *module], settings.data_dir)
            running.push_async_callback(part.stop)
            watch.create_task(part.watch())
            return part

        await start_store(start)
        for name in workers:
            await start(name, "worker")
        api = await start("API", version)
        # Our own certificate need not name the address by which we ask ourselves.
        connector = TCPConnector(ssl=settings.tls_cert is None)
        async with ClientSession(connector=connector, timeout=ClientTimeout(total=5)) as session:
            address = ApiAddress(settings, version, session)
            await wait_until(address.is_live, START_SECONDS, api)
            print_line("waiting for the first samples")
            question = await address.find_example()
            health, watch_over = await wait_for_workers(address.fetch_health), HealthWatch()
            print_line(describe(settings, address, question, health) + more)
            watch_over.keep(health or {"reasons": []})
            await watch_over.run(address.fetch_health)


async def wait_for_workers(fetch: Callable[[], Awaitable[Health | None]]) -> Health | None:
    """Return what health says once all parts of the data have a worker, or have had none for `SHARING_SECONDS`."""
    began = time.monotonic()
    while True:
        health = await fetch()
        is_waiting = health is not None and any(NO_WORKER in reason for reason in health["reasons"])
        if not is_waiting or time.monotonic() - began > SHARING_SECONDS:
            return health
        await asyncio.sleep(0.5)


def find_version() -> str:
    """Return the name of the newest version, whose API is started."""
    return Path("latest").resolve().name


def describe(settings: WorkerSettings, address: ApiAddress, question: str, health: Health | None) -> str:
    """Say where everything is, with an example that has an answer, and what is not well."""
    filled = compute_percent(health)
    day = "" if filled is None else f"\n  day     the past day is being filled: {filled} %"
    wrong = [f"\n  {health['status']}: {reason}" for reason in health["reasons"]] if health else []
    well = f", and this is not well:{''.join(wrong)}" if wrong else ""
    key = " -H 'Authorization: Bearer KEY'" if settings.is_guarded else ""
    return f"""
data-tracker is up, with its data in {settings.data_dir}/{well}
  page    {address.base}/
  docs    {address.base}/docs
  ask it  curl{key} '{address.base}{question}'{day}
  logs    {settings.data_dir}/logs/
  stop    Ctrl-C, or: kill {os.getpid()}"""


async def start_database(folder: Path, start: PartStarter) -> None:
    if holder := read_holder(folder / server.LOCK):
        print_line(f"the database is already running (process {holder}); it is used, and left running at the end")
        return
    part = await start("database", "worker.embedded.server", "--embedded")

    async def answers() -> bool:
        return server.is_answering(folder / server.SOCKET)

    await wait_until(answers, LOADING_SECONDS, part)


async def wait_until(is_ready: Callable[[], Awaitable[bool]], seconds: float, part: SupervisedPart) -> None:
    """Wait for a part to answer; raises `Fell` when it does not in time."""
    began = time.monotonic()
    while not await is_ready():
        if time.monotonic() - began > seconds:
            raise PartEnded(f"the {part.name} does not answer after {seconds:.0f} s; {part.read_last_lines()}")
        await asyncio.sleep(0.05)
    print_line(f"the {part.name} is up ({time.monotonic() - began:.1f} s)")


if __name__ == "__main__":
    sys.exit(main())
