"""Channels as people set them: what is made of the environment, and what is said of what cannot be meant."""

from pathlib import Path

import pytest

from worker.delivery.channels import InvalidNotifyUrl, open_channels
from worker.latest.settings import InvalidSettings
from worker.settings import WorkerSettings

SECRET = "hidden-in-here-0123456789"


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the environment of whoever runs this, nor files beside him."""
    for name in WorkerSettings.model_fields:
        monkeypatch.delenv(f"TRACKER_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


def load(monkeypatch: pytest.MonkeyPatch, **environment: str) -> WorkerSettings:
    for name, value in environment.items():
        monkeypatch.setenv(f"TRACKER_{name}", value)
    return WorkerSettings.load()


def refused(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    with pytest.raises(InvalidSettings) as error:
        load(monkeypatch, **environment)
    return str(error.value)


async def made(settings: WorkerSettings) -> list[tuple[str, str]]:
    async with open_channels(settings) as notifiers:
        return [(each.name, each.kind) for each in notifiers]


async def test_without_any_there_is_none():
    assert await made(WorkerSettings.load()) == []


async def test_each_has_the_name_of_its_kind_or_the_one_it_is_given(monkeypatch: pytest.MonkeyPatch):
    settings = load(
        monkeypatch,
        PUSHOVER_TOKEN="t" * 30,
        PUSHOVER_USER="u" * 30,
        WEBHOOK_SECRET=SECRET,
        NOTIFY="json://127.0.0.1/x, desk=json://127.0.0.1/?a=1,2\n webhook+https://x.org/in,bot=webhook+http://y.org/",
    )

    assert await made(settings) == [
        ("pushover", "pushover"),
        ("json", "json"),
        ("desk", "json"),
        ("webhook", "webhook"),
        ("bot", "webhook"),
    ]
    assert [way.url for way in settings.notify_targets][1] == "json://127.0.0.1/?a=1,2"


async def test_how_many_messages_are_on_their_way_is_the_users_choice(monkeypatch: pytest.MonkeyPatch):
    settings = load(monkeypatch, PUSHOVER_TOKEN="t", PUSHOVER_USER="u", PUSHOVER_CONNECTIONS="2")
    async with open_channels(settings) as (pushover,):
        assert pushover.connections == 2
    assert "TRACKER_PUSHOVER_CONNECTIONS: '3'" in refused(monkeypatch, PUSHOVER_CONNECTIONS="3")


@pytest.mark.parametrize(
    "environment, line",
    [
        (
            {"PUSHOVER_TOKEN": SECRET},
            "TRACKER_PUSHOVER_TOKEN and TRACKER_PUSHOVER_USER go together, and one is missing",
        ),
        ({"NOTIFY": SECRET}, "TRACKER_NOTIFY: entry 1 is not [name=]scheme://..."),
        ({"NOTIFY": f"json:/x/{SECRET}"}, "TRACKER_NOTIFY: entry 1 is not [name=]scheme://..."),
        ({"NOTIFY": f"json://x, Desk!=json://{SECRET}"}, "TRACKER_NOTIFY: entry 1 is not [name=]scheme://..."),
        (
            {"NOTIFY": f"json://x,json://{SECRET}"},
            "TRACKER_NOTIFY: two channels are called 'json'; give one a name: other=json://...",
        ),
        (
            {"NOTIFY": f"pushover=json://{SECRET}", "PUSHOVER_TOKEN": "t", "PUSHOVER_USER": "u"},
            "TRACKER_NOTIFY: two channels are called 'pushover'; give one a name: other=pushover://...",
        ),
        (
            {"NOTIFY": f"webhook+https://x.org/{SECRET}"},
            "TRACKER_WEBHOOK_SECRET must have 16 characters or more, to sign webhooks",
        ),
        (
            {"NOTIFY": f"webhook+https://x.org/{SECRET}", "WEBHOOK_SECRET": "short"},
            "TRACKER_WEBHOOK_SECRET must have 16 characters or more, to sign webhooks",
        ),
        (
            {"NOTIFY": f"webhook+ftp://{SECRET}", "WEBHOOK_SECRET": SECRET},
            "TRACKER_NOTIFY: entry 1: a webhook is webhook+https://... or webhook+http://...",
        ),
    ],
)
def test_invalid_settings_are_one_line_that_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], line: str
):
    assert refused(monkeypatch, **environment) == line


async def test_a_url_that_apprise_does_not_know_stops_the_start(monkeypatch: pytest.MonkeyPatch):
    settings = load(monkeypatch, NOTIFY=f"chat=nonsense://{SECRET}")

    with pytest.raises(InvalidNotifyUrl, match="chat: Apprise does not accept this nonsense:// URL") as error:
        await made(settings)

    assert SECRET not in str(error.value)


def test_links_lead_to_the_public_address_or_else_to_where_the_page_listens(monkeypatch: pytest.MonkeyPatch):
    assert WorkerSettings.load().public_page == "http://127.0.0.1:8000"
    assert load(monkeypatch, PUBLIC_URL="https://tracker.example.org/t").public_page == "https://tracker.example.org/t"
