"""`notify test` and `notify dead`, as a person types them."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
import typer

from tests.support.alerts import TICK, alert, commit
from tests.support.loopback import serving
from tests.support.loopback.pushover import TOKEN, USER, Pushover
from tests.worker.delivery.notify.conftest import End, says
from v1.store import DeliveryStatus, Disposition, Outbox, connect
from worker.cli.commands import _notify_dead, _notify_test
from worker.delivery.channels import InvalidNotifyUrl
from worker.delivery.messages import MessageOptions, make_message
from worker.settings import WorkerSettings

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the environment of whoever runs this, nor files beside him."""
    for name in WorkerSettings.model_fields:
        monkeypatch.delenv(f"TRACKER_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]):
    def lines() -> list[str]:
        return capsys.readouterr().out.splitlines()

    return lines


async def typed(*words: str, **settings: str) -> tuple[int, list[str], str]:
    """Run a command in a process of its own; return its exit code, what it prints, and what it says beside."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "worker", "notify", *words),
        env=os.environ | {"PYTHONPATH": str(ROOT)} | {f"TRACKER_{name}": value for name, value in settings.items()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    lines, said = await process.communicate()
    assert b"Traceback" not in said, said.decode()
    return process.returncode or 0, lines.decode().splitlines(), said.decode()


async def test_a_test_message_goes_through_each_channel_and_its_answer_is_printed(end: End, base: str, printed):
    server = Pushover()
    async with serving(server.application()) as pushover:
        settings = WorkerSettings.load(
            pushover_token=TOKEN,
            pushover_user=USER,
            pushover_url=pushover,
            webhook_secret="a secret of both ends",
            webhook_private=True,
            notify=f"desk={base.replace('http', 'json')},webhook+{base}/in",
        )
        await _notify_test(settings)

    lines = printed()
    assert lines[0].startswith("pushover: sent: 200 request ")
    assert lines[0].endswith(", 7495 of 10000 messages left")
    assert lines[1:] == ["desk: sent: accepted", "webhook: sent: 200 fine"]
    assert len(end.asked) == 2
    assert server.taken[0]["title"] == "data-tracker: a test"


async def test_a_failure_is_printed_in_the_providers_words_and_the_other_channels_are_tried(end: End, base: str):
    end.says = says(500, "not today")
    async with serving(Pushover().application()) as pushover:
        code, lines, said = await typed(
            "test",
            PUSHOVER_TOKEN="x" * 30,
            PUSHOVER_USER=USER,
            PUSHOVER_URL=pushover,
            WEBHOOK_SECRET="a secret of both ends",
            NOTIFY=f"webhook+{base}/in,desk={base.replace('http', 'json')}",
        )

    assert code == 1
    assert lines[0] == "pushover: not sent: 400 application token is invalid, see https://pushover.net/api"
    assert lines[1] == ("webhook: not sent: 127.0.0.1 is not on the internet; TRACKER_WEBHOOK_PRIVATE=yes allows it")
    assert lines[2].startswith("desk: not sent: Failed to send JSON POST notification: Internal server error")
    assert "x" * 30 not in "".join(lines) + said


async def test_without_a_channel_the_command_says_how_to_configure_one(printed):
    with pytest.raises(typer.Exit) as ended:
        await _notify_test(WorkerSettings.load())

    assert ended.value.exit_code == 1
    assert printed() == ["there is no channel: set TRACKER_PUSHOVER_TOKEN and TRACKER_PUSHOVER_USER, or TRACKER_NOTIFY"]


async def test_a_url_that_means_nothing_stops_it(printed):
    with pytest.raises(InvalidNotifyUrl, match="chat: Apprise does not accept this nonsense:// URL"):
        await _notify_test(WorkerSettings.load(notify="chat=nonsense://secret"))

    assert printed() == []


async def test_messages_that_are_not_sent_are_listed_with_the_reason(server: str, printed):
    async with connect(server, "tests") as redis:
        await redis.hset("v1:channels", "phone", "pushover")
        outbox = Outbox(redis, "phone", 3600)
        await outbox.open()
        await commit(redis, [alert("A:B")])
        (entry,) = await outbox.read_entries()
        queued = make_message(entry, entry.alert, MessageOptions("", 60))
        await outbox.record(queued, Disposition(DeliveryStatus.REFUSED, "400 no"), "", TICK + 0.5)
    settings = WorkerSettings.load(redis_url=server)

    await _notify_dead(settings, None, 100)
    await _notify_dead(settings, "phone", 100)
    await _notify_dead(settings, "hook", 100)

    line = f"2021-05-17T14:05:00Z phone {alert('A:B').id}: 400 no"
    assert printed() == [line, line, "none: every message was sent, or is still tried"]
