"""What a process reads from its environment, and what it says of what it cannot mean."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from v1.settings import Settings, WrongSettings, words


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Neither the environment of whoever runs this, nor files beside him: an empty folder."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"TRACKER_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(f"TRACKER_{name}", value)
    return Settings.load()


def refused(monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[str]:
    """Give what is said of wrong settings, by line."""
    with pytest.raises(WrongSettings) as raised:
        loaded(monkeypatch, **environment)
    return str(raised.value).splitlines()


def test_without_any_the_tracker_stays_at_home_and_samples_every_minute(folder: Path):
    settings = Settings.load()

    assert settings.bind == "127.0.0.1:8000"
    assert settings.host == "127.0.0.1"
    assert settings.interval == 60
    assert settings.redis_address == f"unix://{folder / 'data' / 'redis.sock'}"
    assert settings.api_keys == settings.cors_origins == ()
    assert (settings.log_level, settings.log_format, settings.log_file) == ("info", "console", None)


def test_the_embedded_server_is_in_the_data_directory(monkeypatch: pytest.MonkeyPatch):
    assert loaded(monkeypatch, DATA_DIR="/somewhere/else").redis_address == "unix:///somewhere/else/redis.sock"


@pytest.mark.parametrize(
    "url", ["redis://localhost:6379/2", "rediss://:secret@example.org:6380/0", "unix:///run/redis/redis.sock"]
)
def test_a_redis_that_is_named_is_used(monkeypatch: pytest.MonkeyPatch, url: str):
    assert loaded(monkeypatch, REDIS_URL=url).redis_address == url


def test_the_environment_wins_over_dotenv_and_dotenv_over_toml(monkeypatch: pytest.MonkeyPatch, folder: Path):
    (folder / "tracker.toml").write_text('interval = 30\nlog_level = "debug"\nlog_format = "json"\n')
    (folder / ".env").write_text("TRACKER_INTERVAL=15\nTRACKER_LOG_LEVEL=error\n")

    settings = loaded(monkeypatch, INTERVAL="10")

    assert (settings.interval, settings.log_level, settings.log_format) == (10, "error", "json")


def test_an_empty_value_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch):
    assert loaded(monkeypatch, INTERVAL="", REDIS_URL="", BIND="", API_KEYS="", LOG_FILE="") == Settings()


def test_lists_are_written_with_commas_and_blanks_between_do_not_matter(monkeypatch: pytest.MonkeyPatch):
    settings = loaded(monkeypatch, API_KEYS=" one, two,", CORS_ORIGINS="https://a.example , *")

    assert settings.api_keys == ("one", "two")
    assert settings.cors_origins == ("https://a.example", "*")
    assert words(("a", "b")) == ("a", "b")


def test_settings_do_not_change_after_they_were_read():
    with pytest.raises(ValidationError, match="frozen"):
        Settings.load().interval = 5


@pytest.mark.parametrize("interval", ["1", "5", "60", "300", "3600"])
def test_an_interval_may_divide_the_hour(monkeypatch: pytest.MonkeyPatch, interval: str):
    assert loaded(monkeypatch, INTERVAL=interval).interval == int(interval)


@pytest.mark.parametrize(
    "name, value, reason",
    [
        pytest.param("INTERVAL", "0", "greater than or equal to 1", id="no interval"),
        pytest.param("INTERVAL", "7200", "less than or equal to 3600", id="an interval of two hours"),
        pytest.param("INTERVAL", "7", "must divide an hour: 1, 5, 10", id="an interval of seven seconds"),
        pytest.param("INTERVAL", "a minute", "valid integer", id="an interval in words"),
        pytest.param("BIND", "8000", "should match", id="a port without a host"),
        pytest.param("BIND", "localhost", "should match", id="a host without a port"),
        pytest.param("REDIS_URL", "http://localhost", "'redis', 'rediss' or 'unix'", id="a Redis that is none"),
        pytest.param("REDIS_URL", "localhost:6379", "'redis', 'rediss' or 'unix'", id="a Redis without a scheme"),
        pytest.param("DATABASE_URL", "mysql://localhost/a", "must be sqlite+aiosqlite://", id="another database"),
        pytest.param("DATABASE_URL", "sqlite+pysqlite:///a.db", "must be sqlite+aiosqlite://", id="another driver"),
        pytest.param("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'", id="an unknown level"),
        pytest.param("LOG_FORMAT", "xml", "'console' or 'json'", id="an unknown format"),
        pytest.param("OPEN", "perhaps", "valid boolean", id="neither yes nor no"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line_with_its_name_its_value_and_what_is_accepted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
):
    (line,) = refused(monkeypatch, **{name: value})

    assert line.startswith(f"TRACKER_{name}: {value!r} is not accepted: ")
    assert reason in line


def test_every_wrong_setting_has_its_line(monkeypatch: pytest.MonkeyPatch):
    lines = refused(monkeypatch, INTERVAL="7", LOG_LEVEL="loud", BIND="8000")

    assert sorted(line.partition(":")[0] for line in lines) == ["TRACKER_BIND", "TRACKER_INTERVAL", "TRACKER_LOG_LEVEL"]


def test_a_wrong_address_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch):
    (line,) = refused(monkeypatch, REDIS_URL="http://somebody:secret@example.org")

    assert "secret" not in line
    assert "somebody" in line


@pytest.mark.parametrize("bind", ["0.0.0.0:8000", "192.0.2.7:80", "[::]:8000", "example.org:8000"])
def test_nobody_listens_beyond_this_machine_without_keys(monkeypatch: pytest.MonkeyPatch, bind: str):
    (line,) = refused(monkeypatch, BIND=bind)

    assert line.startswith(f"TRACKER_BIND: {bind!r} listens beyond this machine; set TRACKER_API_KEYS, or TRACKER_OPEN")


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"BIND": "0.0.0.0:8000", "API_KEYS": "one"}, id="with a key"),
        pytest.param({"BIND": "0.0.0.0:8000", "OPEN": "yes"}, id="told that everybody may"),
        pytest.param({"BIND": "localhost:8000"}, id="by name"),
        pytest.param({"BIND": "[::1]:8000"}, id="over IPv6"),
        pytest.param({"BIND": "127.0.0.1:0"}, id="at any port"),
    ],
)
def test_who_has_keys_or_stays_at_home_may_listen(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]):
    assert loaded(monkeypatch, **environment).bind == environment["BIND"]


def test_a_settings_file_that_cannot_be_read_is_told(folder: Path):
    (folder / "tracker.toml").write_text("interval = = 60\n")

    with pytest.raises(WrongSettings, match="the settings cannot be read: "):
        Settings.load()


@pytest.mark.parametrize(
    "given, address",
    [
        pytest.param("sqlite:////a/b.db", "sqlite+aiosqlite:////a/b.db", id="SQLite without its driver"),
        pytest.param("postgres://me:p@h/d", "postgresql+asyncpg://me:p@h/d", id="PostgreSQL by its short name"),
        pytest.param("postgresql+asyncpg://h/d", "postgresql+asyncpg://h/d", id="PostgreSQL with its driver"),
    ],
)
def test_an_archive_that_is_named_is_used(monkeypatch: pytest.MonkeyPatch, given: str, address: str):
    assert loaded(monkeypatch, DATABASE_URL=given).archive_address == address


def test_without_a_name_the_archive_is_a_file_in_the_data_directory(monkeypatch: pytest.MonkeyPatch):
    settings = loaded(monkeypatch, DATA_DIR="/somewhere/with a blank")

    assert settings.archive_address == "sqlite+aiosqlite:////somewhere/with%20a%20blank/archive.db"
