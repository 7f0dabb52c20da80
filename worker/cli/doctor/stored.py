"""Looks at what keeps our data: Redis and what is in it, the keys of the API, the archive."""

import time
from collections.abc import Iterable, Sequence

from worker.cli.doctor.findings import KEYS as KEYS_COMMAND
from worker.cli.doctor.findings import START, WORKER, Finding, make_ok, make_problem, make_warning
from worker.embedded.server import SOCKET, check_socket_length, is_answering
from worker.latest import DAY, MINUTE, format_iso
from worker.latest.archive import ArchiveError, ArchiveReport, read_archive_report
from worker.latest.sharing import describe_own_interval, describe_slow_failover, list_disagreements, list_free
from worker.latest.store import (
    ApiKey,
    ApiKeyStore,
    OtherFormat,
    OtherPartitions,
    ServerReport,
    StoreError,
    connect,
    read_server_report,
)
from worker.reporting.steps import CommandRefused
from worker.settings import WorkerSettings

REDIS, TICKS, WORKERS, KEYS, ARCHIVE = "redis", "ticks", "workers", "api keys", "archive"
CLOCK_SECONDS = 3.0
"""A difference between two clocks that is worth a word: answers take a while, and some are a second coarse."""
LATE_INTERVALS = 3
"""As `/v1/metrics` calls a metric stale."""
FULL = (9, 10)
"""The part of its memory from which on a server is nearly full."""
SOON_SECONDS = 7 * DAY
"""A key that ends so soon is named."""
MEGABYTE = 1_000_000


async def check_redis(settings: WorkerSettings) -> Sequence[Finding]:
    """Look at the server, the ticks in it, and the keys of the API."""
    folder = settings.data_dir.absolute()
    if settings.redis_url is None:
        try:
            check_socket_length(folder)
        except CommandRefused as error:
            return [make_problem(REDIS, str(error), "name another TRACKER_DATA_DIR")]
        if not is_answering(folder / SOCKET):
            return [make_warning(REDIS, f"the embedded server is not running on {folder}", f"{START} starts it", START)]
    try:
        report = await read_server_report(settings.redis_address, settings.partitions)
        async with connect(settings.redis_address, "data-tracker-doctor") as redis:
            keys = await ApiKeyStore(redis).read_keys()
    except OtherFormat as error:
        mend = f"{WORKER} reset --yes"
        return [
            make_problem(REDIS, str(error), f"{mend} deletes the day and the alerts, and keeps rules and archive", mend)
        ]
    except OtherPartitions as error:
        return [make_problem(REDIS, str(error), "correct TRACKER_PARTITIONS")]
    except StoreError as error:
        is_own = settings.redis_url is not None
        return [make_problem(REDIS, str(error), "see what answers at TRACKER_REDIS_URL" if is_own else f"type {START}")]
    now = time.time()
    return [
        *judge_server(report),
        judge_ticks(report, settings.interval, now),
        *judge_sharing(report, settings),
        judge_keys(settings, keys.values(), now),
    ]


def judge_server(report: ServerReport) -> Sequence[Finding]:
    """Return what is wrong with a server; one finding that says how it is where nothing is."""
    limit = f" of {report.limit_bytes // MEGABYTE:,}" if report.limit_bytes else ""
    used = f", {report.used_bytes // MEGABYTE:,}{limit} MB used" if report.version else ""
    found = [make_problem(REDIS, sentence, "see its log, its disk and its memory") for sentence in report.failures]
    found += [make_warning(REDIS, sentence, "change its configuration") for sentence in report.lacks]
    part, whole = FULL
    if report.limit_bytes and report.used_bytes * whole >= report.limit_bytes * part:
        found.append(
            make_warning(REDIS, f"its memory is nearly full{used}", "raise maxmemory, or sample fewer metrics")
        )
    if abs(report.ahead_seconds) > CLOCK_SECONDS:
        found.append(
            make_warning(
                REDIS,
                f"this machine's clock is {format_difference(report.ahead_seconds)} that of Redis",
                "set both clocks by NTP: what is kept ends by the clock of Redis",
            )
        )
    return found or [make_ok(REDIS, f"version {report.version or 'unknown'}{used}")]


def judge_ticks(report: ServerReport, interval: int, now: float) -> Finding:
    """Return which worker feeds a server, and whether ticks come."""
    if report.holder is None:
        what = "no tick is kept" if report.newest is None else f"the newest tick is of {format_iso(report.newest)}"
        return make_ok(TICKS, f"{what}, and no worker feeds this Redis: {START} starts one")
    if report.is_replayed:
        return make_ok(TICKS, f"{report.holder} plays a recording")
    if report.newest is None:
        return make_warning(TICKS, f"{report.holder} feeds this Redis, and has kept no tick yet", "see its log")
    age = now - report.newest
    if age > max(MINUTE, LATE_INTERVALS * interval):
        text = f"{report.holder} feeds this Redis, and its newest tick is {age:.0f} s old"
        return make_problem(TICKS, text, "see its log: what follows here may say why")
    return make_ok(TICKS, f"the newest tick is {max(0.0, age):.0f} s old")


def judge_sharing(report: ServerReport, settings: WorkerSettings) -> Sequence[Finding]:
    """Return how a cluster is fed, and whether its workers agree; nothing of one server."""
    if not report.partitions:
        return []
    alive = [each.note for each in report.workers]
    slow = describe_slow_failover(report.node_timeout_ms, settings.interval)
    sentences = [*list_disagreements(alive), describe_own_interval(settings.interval, alive)]
    advice = "start all workers with the same settings: GET /v1/workers shows those of each"
    found = [make_warning(REDIS, slow, "see docs/how-to/cluster.md")] if slow else []
    found += [make_warning(WORKERS, sentence, advice) for sentence in sentences if sentence]
    if free := list_free(report.partitions, report.workers):
        text = f"{len(free)} of {len(report.partitions)} partitions have no worker, and ticks wait"
        found.append(make_problem(WORKERS, text, "wait for three leases, then see the logs of the workers"))
    return found if any(each.name == WORKERS for each in found) else [*found, _describe_sharing(report)]


def _describe_sharing(report: ServerReport) -> Finding:
    count = len(report.partitions)
    if report.workers:
        who = "1 worker has" if len(report.workers) == 1 else f"{len(report.workers)} workers share"
        return make_ok(WORKERS, f"{who} the {count} partitions of the cluster")
    if report.holder is None:
        return make_ok(WORKERS, f"none: the cluster has {count} partitions, and nobody feeds them")
    return make_ok(WORKERS, f"{report.holder} feeds all {count} partitions; with TRACKER_SHARE=yes several share them")


def judge_keys(settings: WorkerSettings, made: Iterable[ApiKey], now: float) -> Finding:
    """Return how the keys of the API are: `made` are those that commands have made."""
    made = sorted(made, key=lambda key: key.until or 0)
    valid = [key for key in made if key.until is None or key.until > now]
    count = f"{len(settings.api_keys)} in TRACKER_API_KEYS, {len(valid)} made by command"
    make = f"{KEYS_COMMAND} make NAME"
    if not settings.is_guarded:
        hint = ": they are not asked for" if valid else ""
        return make_ok(KEYS, f"the API asks nobody for a key{hint}")
    if not settings.api_keys and not valid:
        return make_problem(KEYS, "the API asks for a key, and there is none", f"{make} makes one", make)
    ending = [key for key in valid if key.until is not None and key.until < now + SOON_SECONDS]
    if ending:
        first = ending[0]
        text = f"{count}; {first.id} of {first.name} ends {format_iso(first.until or 0)}"
        return make_warning(KEYS, text, f"{make} makes another")
    return make_ok(KEYS, count)


async def check_archive(settings: WorkerSettings) -> Sequence[Finding]:
    """Look at the database of the archive, and at its schema."""
    try:
        report = await read_archive_report(settings.archive_address)
    except ArchiveError as error:
        return [make_problem(ARCHIVE, str(error), "see what answers at TRACKER_DATABASE_URL, or its file")]
    return [judge_archive(report)]


def judge_archive(report: ArchiveReport) -> Finding:
    """Return whether an archive can be used."""
    if report.is_read_only:
        return make_problem(ARCHIVE, "the database takes no writes", "name the primary in TRACKER_DATABASE_URL")
    if not report.is_known:
        text = f"its schema is {report.revision!r}, made by a newer version; this one knows {report.newest!r}"
        return make_problem(ARCHIVE, text, "run the newer version, or name another TRACKER_DATABASE_URL")
    if report.revision is None:
        return make_ok(ARCHIVE, f"{report.database}, not there yet: the worker makes it")
    later = "" if report.revision == report.newest else f", which the worker brings to {report.newest}"
    return make_ok(ARCHIVE, f"{report.database}, schema {report.revision}{later}")


def format_difference(seconds: float) -> str:
    """Return how far a clock is off, in words."""
    return f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'}"
