"""`doctor`: what it finds of everything that the settings name, what it advises, and that it ends in time."""

import asyncio
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import web

from tests.support.loopback import ASKED, FAULTS, serving
from tests.support.loopback.faults import says
from tests.support.loopback.pushover import TOKEN, USER, Pushover
from tests.support.loopback.streams import KrakenStreams
from tests.worker.test_commands import NOWHERE, Start, address, redis, start
from v1.archive.engine import connect_archive
from v1.archive.migrate import migrate
from v1.settings.redaction import redact
from v1.store import ApiKeyStore, KeyScope, Lease, connect, keys
from v1.store.server_report import list_failures, read_server_report
from worker.cli.doctor import checks as checks_module
from worker.cli.doctor.checks import HealthCheck, run_checks, run_in_thread
from worker.cli.doctor.command import check_all, find_next, judge_clock
from worker.cli.doctor.files import check_disk, check_rules_file
from worker.cli.doctor.findings import (
    Finding,
    FindingLevel,
    find_worst,
    format_document,
    format_findings,
    make_ok,
    make_problem,
    make_warning,
)
from worker.cli.doctor.stored import judge_archive, judge_server, judge_ticks
from worker.latest import DAY
from worker.latest.archive import ArchiveReport
from worker.latest.store import ServerReport
from worker.settings import WorkerSettings

__all__ = ["address", "redis", "start"]  # fixtures of the worker's processes

NOON = 1621252800
LONG = 120.0
"""Seconds that nothing takes here; a process of tests may be held up."""
OK, WARNING, PROBLEM = FindingLevel.OK, FindingLevel.WARNING, FindingLevel.PROBLEM


pytestmark = pytest.mark.usefixtures("nothing_is_set")


async def look(seconds: float = LONG, **settings: object) -> dict[str, Finding]:
    """Return what is found with some settings, by name; of several of one name the worst."""
    run = await check_all(WorkerSettings.load(**settings), seconds)
    order = [*FindingLevel]
    return {each.name: each for each in sorted(run.findings, key=lambda each: order.index(each.level))}


# ---- providers ---------------------------------------------------------------------------------------------------


async def test_every_source_and_provider_is_asked_for_next_to_nothing(base: str):
    found = await look(
        sources="kraken,binance,coinbase,cryptowatch",
        metrics="*",
        kraken_url=base,
        binance_url=base,
        coinbase_url=base,
        cryptowatch_url=base,
        coinmarketcap_url=base,
        coinmarketcap_api_key="a-key-of-ours",
        cryptocompare_url=base,
        cryptocompare_api_key="another-key",
    )

    assert found["kraken"] == make_ok("kraken", "it says that it is online")
    assert found["binance"] == make_ok("binance", "1 of 6,000 of this minute's weight is used by this address")
    assert found["coinbase"].text == "it answers; 108 markets at most are asked for at this interval"
    assert found["cryptowatch"].level is OK
    assert found["cryptowatch"].text.endswith(" credits of the allowance are left")
    assert found["coinmarketcap"].text == "the key is accepted; 10,000 of 10,000 credits of this month are left"
    assert found["cryptocompare"].text == "the key is accepted; 11,000 calls of this month are left"
    assert found["clock"].level is not PROBLEM
    assert "127.0.0.1" in found["clock"].text


async def test_a_provider_that_refuses_us_is_a_problem_with_what_to_do(exchange: web.Application, base: str):
    exchange[FAULTS]["/0/public/SystemStatus"] = says({"error": ["EService:Unavailable"]})
    exchange[FAULTS]["/api/v3/time"] = says({"code": -1003, "msg": "banned"}, 418, Retry_After="120")

    found = await look(
        sources="kraken,binance", metrics="KRAKEN:BTCUSD,BINANCE:BTCUSDT", kraken_url=base, binance_url=base
    )

    assert found["kraken"].level is PROBLEM
    assert "EService:Unavailable" in found["kraken"].text
    assert "TRACKER_KRAKEN_URL" in found["kraken"].advice
    assert found["binance"].level is PROBLEM
    assert found["binance"].text == "binance answered 418 to time: banned (-1003)"
    assert found["binance"].advice.startswith("wait; ")


async def test_a_provider_that_is_not_reached_is_a_problem():
    found = await look(kraken_url="http://127.0.0.1:9")

    assert found["kraken"].level is PROBLEM
    assert "network, DNS, proxy, firewall" in found["kraken"].advice
    assert found["clock"] == make_warning("clock", "no provider said what time it is", "see why they do not answer")


@pytest.mark.parametrize(
    "path, answer, name, text",
    [
        (
            "/0/public/SystemStatus",
            {"error": [], "result": {"status": "maintenance"}},
            "kraken",
            "it says that it is maintenance",
        ),
        (
            "/v1/key/info",
            {
                "status": {"error_code": 0},
                "data": {"plan": {"credit_limit_monthly": 1000}, "usage": {"current_month": {"credits_left": 50}}},
            },
            "coinmarketcap",
            "the key is accepted; 50 of 1,000 credits of this month are left",
        ),
    ],
)
async def test_what_will_soon_be_in_the_way_is_a_warning(
    exchange: web.Application, base: str, path: str, answer: object, name: str, text: str
):
    exchange[FAULTS][path] = says(answer)

    found = await look(
        kraken_url=base,
        coinmarketcap_url=base,
        coinmarketcap_api_key="a-key",
        cryptocompare_url=base,
        cryptocompare_api_key="a-key",
    )

    assert found[name].level is WARNING
    assert found[name].text == text
    assert found[name].advice


async def test_a_key_that_a_provider_does_not_accept_is_named_by_its_setting(base: str):
    found = await look(
        kraken_url=base,
        coinmarketcap_url=base,
        coinmarketcap_api_key="wrong",
        cryptocompare_url=base,
        cryptocompare_api_key="wrong",
    )

    assert found["coinmarketcap"].level is PROBLEM
    assert found["coinmarketcap"].text.endswith("This API Key is invalid.; see TRACKER_COINMARKETCAP_API_KEY")
    assert found["cryptocompare"].level is PROBLEM
    assert found["cryptocompare"].text.endswith("see TRACKER_CRYPTOCOMPARE_API_KEY")


async def test_without_keys_there_is_no_top_list_and_that_is_said():
    found = await look(sources="simulated", metrics="SIMULATED:*", coinmarketcap_api_key="a-key")

    assert found["simulated"].level is OK
    assert found["clock"] == make_ok("clock", "there is no provider whose time it could be compared with")


@pytest.mark.parametrize(
    "seconds, level, text",
    [
        (0.3, OK, "as that of b"),
        (2.0, OK, "2 s ahead of b"),
        (-90.0, WARNING, "90 s behind b"),
        (200.0, PROBLEM, "200 s ahead of b: nothing is sampled"),
    ],
)
def test_the_clock_is_held_beside_the_host_that_is_nearest(seconds: float, level: FindingLevel, text: str):
    (found,) = judge_clock({"a": 1000.0, "b": seconds, "c": -1000.0}, is_asked=True)

    assert (found.level, found.text) == (level, text)


# ---- channels ----------------------------------------------------------------------------------------------------


async def test_channels_are_checked_without_a_message(base: str):
    pushover = Pushover()
    async with serving(pushover.application()) as address:
        found = await look(
            kraken_url=base,
            pushover_url=address,
            pushover_token=TOKEN,
            pushover_user=USER,
            webhook_secret="a secret of both ends",
            webhook_private=True,
            notify=f"webhook+{base}/in,desk={base.replace('http', 'json')}",
            heartbeat_url=f"{base}/ping/1234567890",
        )

    assert found["channel pushover"] == make_ok(
        "channel pushover", "token and user are valid, 1 device, 7,496 of 10,000 messages left"
    )
    assert found["channel webhook"] == make_ok("channel webhook", "its host answers")
    assert found["channel desk"].level is OK
    assert found["heartbeat"] == make_ok("heartbeat", "its host answers")
    assert pushover.asked == []


async def test_a_heartbeat_that_is_not_reached_and_messages_that_are_used_up_are_problems():
    async with serving(Pushover(remaining=0).application()) as address:
        found = await look(
            sources="simulated",
            metrics="*",
            heartbeat_url="http://127.0.0.1:9/ping/1234567890",
            pushover_url=address,
            pushover_token=TOKEN,
            pushover_user=USER,
        )

    assert found["heartbeat"].level is PROBLEM
    assert found["heartbeat"].text.startswith("the heartbeat's host did not answer: ")
    assert "1234567890" not in found["heartbeat"].text
    assert found["channel pushover"].level is PROBLEM
    assert found["channel pushover"].advice == "no message is accepted before the month is over"


async def test_the_heartbeats_own_address_is_not_asked(exchange: web.Application, base: str):
    await look(kraken_url=base, heartbeat_url=f"{base}/ping/1234567890")

    assert [request.path for request in exchange[ASKED] if "ping" in request.path] == []


async def test_credentials_that_pushover_does_not_know_are_a_problem_and_are_not_shown():
    async with serving(Pushover().application()) as address:
        found = await look(
            sources="simulated", metrics="*", pushover_url=address, pushover_token="x" * 30, pushover_user=USER
        )

    assert found["channel pushover"].level is PROBLEM
    assert found["channel pushover"].text.startswith("400 application token is invalid")


async def test_a_webhook_in_a_private_network_is_refused_as_when_it_is_sent(base: str):
    found = await look(
        sources="simulated", metrics="*", webhook_secret="a secret of both ends", notify=f"webhook+{base}/in"
    )

    assert found["channel webhook"].level is PROBLEM
    assert "TRACKER_WEBHOOK_PRIVATE=yes allows it" in found["channel webhook"].text


async def test_a_channel_that_means_nothing_is_a_problem_and_none_is_a_warning():
    wrong = await look(sources="simulated", metrics="*", notify="chat=nonsense://secret")
    none = await look(sources="simulated", metrics="*")

    assert wrong["channels"].level is PROBLEM
    assert none["channels"].level is WARNING
    assert "TRACKER_NOTIFY" in none["channels"].advice


# ---- what is stored ----------------------------------------------------------------------------------------------


async def test_a_redis_that_works_is_said_to_with_its_version(address: str):
    found = await look(sources="simulated", metrics="*", redis_url=address)

    assert found["redis"].level is not PROBLEM
    assert found["ticks"].text.startswith("no tick is kept, and no worker feeds this Redis")


@pytest.mark.parametrize("command", ["info", "config", "time"])
async def test_what_a_user_may_not_ask_a_redis_stops_nothing(address: str, command: str):
    async with connect(address, "tests") as client:
        await client.execute_command("ACL", "SETUSER", "limited", "on", "nopass", "~*", "&*", "+@all", f"-{command}")
        try:
            report = await read_server_report(address.replace("unix://", "unix://limited:any@"))
        finally:
            await client.execute_command("ACL", "DELUSER", "limited")

    assert bool(report.version) == (command != "info")
    assert len(report.lacks) == (command != "time")
    assert report.failures == []


REPORT = ServerReport("9.1.2", 50_000_000, 0, 0.1, [], [], "host:1", NOON, is_replayed=False)


@pytest.mark.parametrize(
    "report, level, text",
    [
        (REPORT, OK, "version 9.1.2, 50 MB used"),
        (REPORT._replace(limit_bytes=100_000_000), OK, "version 9.1.2, 50 of 100 MB used"),
        (REPORT._replace(limit_bytes=55_000_000), WARNING, "its memory is nearly full, 50 of 55 MB used"),
        (REPORT._replace(ahead_seconds=-20.0), WARNING, "this machine's clock is 20 s behind that of Redis"),
        (REPORT._replace(lacks=["appendonly is no"]), WARNING, "appendonly is no"),
        (REPORT._replace(failures=["its snapshots fail"]), PROBLEM, "its snapshots fail"),
        (REPORT._replace(version=""), OK, "version unknown"),
    ],
)
def test_a_server_is_judged_by_what_it_says(report: ServerReport, level: FindingLevel, text: str):
    (found,) = judge_server(report)

    assert (found.level, found.text) == (level, text)


@pytest.mark.parametrize(
    "report, level, text",
    [
        (
            REPORT._replace(holder=None),
            OK,
            "the newest tick is of 2021-05-17T12:00:00Z, and no worker feeds this Redis",
        ),
        (REPORT._replace(newest=None), WARNING, "host:1 feeds this Redis, and has kept no tick yet"),
        (REPORT._replace(newest=NOON - 900), PROBLEM, "host:1 feeds this Redis, and its newest tick is 930 s old"),
        (REPORT._replace(newest=NOON - 900, is_replayed=True), OK, "host:1 plays a recording"),
        (REPORT, OK, "the newest tick is 30 s old"),
    ],
)
def test_ticks_are_judged_by_their_age(report: ServerReport, level: FindingLevel, text: str):
    found = judge_ticks(report, 60, NOON + 30)

    assert found.level is level
    assert found.text.startswith(text)


@pytest.mark.parametrize(
    "report, level, text",
    [
        (ArchiveReport("sqlite", None, True, "0002", False), OK, "sqlite, not there yet: the worker makes it"),
        (
            ArchiveReport("sqlite", "0001", True, "0002", False),
            OK,
            "sqlite, schema 0001, which the worker brings to 0002",
        ),
        (ArchiveReport("postgresql", "0009", False, "0002", False), PROBLEM, "its schema is '0009', made by a newer"),
        (ArchiveReport("postgresql", "0002", True, "0002", True), PROBLEM, "the database takes no writes"),
    ],
)
def test_an_archive_is_judged_by_its_schema(report: ArchiveReport, level: FindingLevel, text: str):
    found = judge_archive(report)

    assert found.level is level
    assert found.text.startswith(text)


async def test_a_folder_whose_name_is_too_long_for_a_socket_is_a_problem(tmp_path: Path):
    found = await look(sources="simulated", metrics="*", data_dir=tmp_path / ("x" * 120))

    assert found["redis"].level is PROBLEM
    assert "TRACKER_DATA_DIR" in found["redis"].advice


async def test_a_redis_that_is_away_is_a_problem_and_the_embedded_one_is_started(tmp_path: Path):
    away = await look(sources="simulated", metrics="*", redis_url=NOWHERE)
    embedded = await look(sources="simulated", metrics="*", data_dir=tmp_path / "none")

    assert away["redis"].level is PROBLEM
    assert "TRACKER_REDIS_URL" in away["redis"].advice
    assert embedded["redis"].level is WARNING
    assert embedded["redis"].next_command == "scripts/start.sh"


async def test_data_of_another_format_is_named_with_the_command_that_deletes_it(address: str):
    async with connect(address, "tests") as client:
        await client.set(keys.FORMAT, "999")

    found = await look(sources="simulated", metrics="*", redis_url=address)

    assert found["redis"].level is PROBLEM
    assert found["redis"].next_command == "scripts/start-worker.sh reset --yes"


async def test_a_worker_that_feeds_and_keeps_no_tick_is_a_problem(address: str):
    async with connect(address, "tests") as client:
        await client.set(keys.FORMAT, keys.FORMAT_NUMBER)
        await Lease(client).take_or_keep("host:1")
        await client.set(keys.TICK, str(int(time.time()) - 3600))

        found = await look(sources="simulated", metrics="*", redis_url=address)

    assert found["ticks"].level is PROBLEM
    assert found["ticks"].text.startswith("host:1 feeds this Redis, and its newest tick is 36")


@pytest.mark.parametrize(
    "about, said",
    [
        ({}, []),
        ({"rdb_last_bgsave_status": "err"}, ["its snapshots fail"]),
        ({"aof_last_write_status": "err"}, ["its log cannot be written"]),
        ({"loading": 1}, ["it is still loading its data"]),
        ({"role": "slave"}, ["it is a replica, which takes no writes"]),
    ],
)
def test_what_a_redis_cannot_do_is_read_of_what_it_says(about: dict[str, object], said: list[str]):
    assert list_failures(about) == said


async def test_keys_that_end_soon_and_keys_that_are_missing_are_named(address: str):
    now = int(time.time())
    none = await look(sources="simulated", metrics="*", redis_url=address, keys_required=True)
    async with connect(address, "tests") as client:
        store = ApiKeyStore(client)
        text, made = await store.add_key("grafana", KeyScope.READ, now, now + DAY)
        ending = await look(sources="simulated", metrics="*", redis_url=address, keys_required=True)
        await store.add_key("a program", KeyScope.READ, now, None)
        await store.revoke_key(made.id)
        lasting = await look(sources="simulated", metrics="*", redis_url=address, keys_required=True)

    assert none["api keys"].level is PROBLEM
    assert none["api keys"].next_command == "scripts/keys.sh make NAME"
    assert ending["api keys"].level is WARNING
    assert f"{made.id} of grafana ends " in ending["api keys"].text
    assert text not in ending["api keys"].text
    assert lasting["api keys"] == make_ok("api keys", "0 in TRACKER_API_KEYS, 1 made by command")


async def test_an_archive_is_found_with_its_schema_or_is_not_there_yet(database: str):
    before = await look(sources="simulated", metrics="*", database_url=database)
    async with connect_archive(database, "tests", writes=True) as engine:
        await migrate(engine)
    after = await look(sources="simulated", metrics="*", database_url=database)

    assert before["archive"].text.endswith("not there yet: the worker makes it")
    assert after["archive"].level is OK
    assert ", schema 0" in after["archive"].text


async def test_an_archive_that_does_not_answer_is_a_problem():
    found = await look(sources="simulated", metrics="*", database_url="postgresql://me:a-password@127.0.0.1:9/archive")

    assert found["archive"].level is PROBLEM
    assert "TRACKER_DATABASE_URL" in found["archive"].advice
    assert "a-password" not in format_findings([*found.values()])[0]


# ---- files -------------------------------------------------------------------------------------------------------


def load(**settings: object) -> WorkerSettings:
    return WorkerSettings.load(sources="simulated", metrics="*", **settings)


def test_a_data_directory_takes_writes_and_keeps_nothing_of_the_check(tmp_path: Path):
    disk, journal = check_disk(load(data_dir=tmp_path), tmp_path / "waiting")

    assert disk.level is not PROBLEM
    assert f"{tmp_path} takes writes, " in disk.text
    assert journal == make_ok("journal", "no ticks wait in files")
    assert [*tmp_path.iterdir()] == []


def test_a_data_directory_below_a_file_cannot_be_used(tmp_path: Path):
    (tmp_path / "data").write_text("a file")

    (disk, *_) = check_disk(load(data_dir=tmp_path / "data"), tmp_path / "waiting")

    assert disk.level is PROBLEM
    assert disk.text == f"{tmp_path / 'data'} cannot be used: Not a directory"


def test_ticks_that_wait_are_counted(tmp_path: Path):
    (tmp_path / "ticks-1.journal").write_bytes(b"\0" * 2_500_000)

    (_, journal) = check_disk(load(data_dir=tmp_path), tmp_path)

    assert journal.level is WARNING
    assert journal.text.startswith("2.5 MB of ticks wait in ")


@pytest.mark.parametrize("free, level", [(50 * 1024**2, PROBLEM), (500 * 1024**2, WARNING), (5 * 1024**3, OK)])
def test_a_disk_that_is_nearly_full_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: FindingLevel
):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))

    disk, _ = check_disk(load(data_dir=tmp_path), tmp_path / "waiting")

    assert disk.level is level


def test_a_file_system_that_takes_few_further_files_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.statvfs", lambda _: SimpleNamespace(f_files=100_000, f_favail=7))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2**40))

    disk, _ = check_disk(load(data_dir=tmp_path), tmp_path / "waiting")

    assert disk.level is WARNING
    assert disk.text.endswith(", but only 7 further files")


def test_a_folder_that_takes_no_writes_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.access", lambda *_: False)

    (disk,) = check_disk(load(data_dir=tmp_path / "none"), tmp_path / "waiting")

    assert disk == make_problem(
        "disk", f"{tmp_path / 'none'} cannot be made in {tmp_path}", "change TRACKER_DATA_DIR or its owner"
    )


def test_a_rules_file_that_is_too_large_is_not_read(tmp_path: Path):
    (tmp_path / "rules.toml").write_bytes(b"#" * 1_000_001)

    (found,) = check_rules_file(tmp_path / "rules.toml", 60, None)

    assert found.level is PROBLEM
    assert "has 1000001 bytes; accepted: 1000000 at most" in found.text


def test_a_rules_file_is_read_as_the_worker_reads_it(tmp_path: Path):
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    rule = '[[rules]]\nid = "jump"\nkind = "ratio"\nmeasure = "interval_volume"\nfactor = 3\n'
    good.write_text(rule)
    bad.write_text(f'{rule}channels = ["nobody"]\nfaktor = 3\n')

    assert check_rules_file(None, 60, [])[0].level is OK
    assert check_rules_file(good, 60, [])[0] == make_ok("rules file", f"{good} has 1 rule")
    (wrong,) = check_rules_file(bad, 60, ["phone"])
    assert wrong.level is PROBLEM
    assert "faktor" in wrong.text
    assert check_rules_file(tmp_path / "none.toml", 60, [])[0].level is PROBLEM


# ---- as a whole --------------------------------------------------------------------------------------------------


def test_lines_are_in_columns_on_one_line_each_and_hide_what_is_secret():
    redact.remember({"hunter22-hunter22"})
    lines = format_findings(
        [make_ok("a", "fine"), make_problem("longer", "two\nlines of hunter22-hunter22", "do this", "type this")]
    )

    assert lines == ["ok       a       fine", "problem  longer  two lines of ***; do this"]


def test_the_worst_finding_says_what_to_type_next():
    fine, soon = make_ok("a", "fine"), make_warning("b", "soon", "advice", "mend b")

    assert find_next([fine]) == "scripts/start.sh"
    assert find_next([fine, make_ok("ticks", "the newest tick is 3 s old")]) == "scripts/start-api.sh"
    assert find_next([fine, soon]) == "mend b"
    assert find_next([soon, make_problem("c", "bad", "advice")]) == "scripts/start-worker.sh doctor"
    assert find_next([soon, make_problem("c", "bad", "advice", "mend c")]) == "mend c"
    assert find_worst([]) is OK


def test_the_document_is_json_with_a_level_for_each_check():
    document = json.loads(format_document([make_warning("b", "soon", "advice")], "type this"))

    assert document == {
        "level": "warning",
        "checks": [{"name": "b", "level": "warning", "text": "soon", "advice": "advice"}],
        "next": "type this",
    }


async def test_a_check_that_does_not_end_is_a_finding_and_is_told_of_meanwhile(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checks_module, "QUIET_SECONDS", 0.2)
    told: list[Sequence[str]] = []

    async def hang() -> Sequence[Finding]:
        await asyncio.Event().wait()
        return []

    async def answer() -> Sequence[Finding]:
        return [make_ok("quick", "fine")]

    checks = [HealthCheck("stuck", hang), HealthCheck("quick", answer)]
    run = await run_checks(checks, 0.3, lambda names, _: told.append(names))

    assert [(each.name, each.level) for each in run.findings] == [("stuck", PROBLEM), ("quick", OK)]
    assert run.findings[0].text == "no answer in 0.3 s"
    assert run.unanswered == ["stuck"]
    assert told == [["stuck"]]


async def test_what_fails_in_a_thread_fails_where_it_is_waited_for():
    def fail() -> Sequence[Finding]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run_in_thread(fail)


async def test_a_disk_that_does_not_answer_does_not_keep_the_command(start: Start, address: str, tmp_path: Path):
    os.mkfifo(tmp_path / "rules.toml")
    worker = start(
        "doctor",
        "--json",
        "--timeout",
        "2",
        REDIS_URL=address,
        SOURCES="simulated",
        METRICS="*",
        RULES_FILE=str(tmp_path / "rules.toml"),
    )

    assert await worker.ended() == 1
    document = json.loads(worker.printed)
    stuck = next(check for check in document["checks"] if check["name"] == "rules file")
    assert stuck == {
        "name": "rules file",
        "level": "problem",
        "text": "no answer in 2 s",
        "advice": "look at what is between here and there",
    }


async def test_it_is_typed_and_ends_with_what_to_type_next(start: Start, address: str, base: str):
    worker = start("doctor", "--timeout", "60", REDIS_URL=address, KRAKEN_URL=base, METRICS="KRAKEN:BTCUSD")

    assert await worker.ended() == 0, worker.printed
    lines = worker.printed.splitlines()
    assert lines[0] == "ok       kraken      it says that it is online"
    assert lines[-1] == "next: scripts/start.sh"
    assert {line.split()[0] for line in lines[:-1]} <= {"ok", "warning"}


async def test_streams_are_opened_where_ticks_come_by_them(exchange: web.Application):
    server = KrakenStreams(time.time)
    exchange.add_routes(server.routes())
    async with serving(exchange) as base:
        given: dict[str, object] = {
            "sources": "kraken,binance",
            "metrics": "KRAKEN:BTCUSD",
            "kraken_url": base,
            "binance_url": base,
            "kraken_stream_url": f"{base.replace('http', 'ws')}/v2",
            "binance_stream_url": base.replace("http", "ws"),
        }
        found = await look(**given, source_streams="yes")
        without = await look(**given)

    assert found["kraken stream"] == make_ok("kraken stream", "it can be opened")
    assert found["binance stream"].level is WARNING
    assert "404" in found["binance stream"].text
    assert "TRACKER_BINANCE_STREAM_URL" in found["binance stream"].advice
    assert server.opened == 1
    assert not {"kraken stream", "binance stream"} & without.keys()
