"""What a process reads from its environment, and what it says of what it cannot mean."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from v1.settings import InvalidSettings, Settings, split_words

KEY = "a-key-of-16-or-more"


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
    """Return what is said of wrong settings, by line."""
    with pytest.raises(InvalidSettings) as raised:
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
    "url",
    [
        "redis://localhost:6379/2",
        "rediss://:secret@example.org:6380/0",
        "unix:///run/redis/redis.sock",
        "redis://:secret@10.0.0.1:7101,10.0.0.2:7101,[::1]:7101",
        "rediss://me:secret@a:1,b:2/0",
    ],
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
    settings = loaded(monkeypatch, API_KEYS=f" {KEY}1, {KEY}2,", CORS_ORIGINS="https://a.example , *")

    assert settings.api_keys == (f"{KEY}1", f"{KEY}2")
    assert settings.cors_origins == ("https://a.example", "*")
    assert split_words(("a", "b")) == ("a", "b")


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
        pytest.param("BIND", "8000", "must be host:port, as 127.0.0.1:8000", id="a port without a host"),
        pytest.param("BIND", "127.0.0.1", "must be host:port, as 127.0.0.1:8000", id="a host without a port"),
        pytest.param("BIND", "http://127.0.0.1:8000", "must be host:port", id="a URL instead of a host"),
        pytest.param("BIND", "my host:8000", "must be host:port", id="a host with a blank"),
        pytest.param("BIND", "127.0.0.1:65536", "a port is at most 65535", id="a port that none can be"),
        pytest.param("REDIS_URL", "http://localhost", "'redis', 'rediss' or 'unix'", id="a Redis that is none"),
        pytest.param("REDIS_URL", "localhost:6379", "'redis', 'rediss' or 'unix'", id="a Redis without a scheme"),
        pytest.param("DATABASE_URL", "mysql://localhost/a", "must be sqlite+aiosqlite://", id="another database"),
        pytest.param("DATABASE_URL", "sqlite+pysqlite:///a.db", "must be sqlite+aiosqlite://", id="another driver"),
        pytest.param("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'", id="an unknown level"),
        pytest.param("LOG_FORMAT", "xml", "'console' or 'json'", id="an unknown format"),
        pytest.param("OPEN", "perhaps", "valid boolean", id="neither yes nor no"),
        pytest.param(
            "RATE_LIMIT", "600", "a number and second, minute, hour or day, as 600/minute; or off", id="no time"
        ),
        pytest.param("TRUSTED_PROXIES", "10.0.0.0/40", "no address and no network: write 127.0.0.1,", id="no network"),
        pytest.param("TRUSTED_PROXIES", "proxy.example", "no address and no network", id="a name for an address"),
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

    assert line.startswith(
        f"TRACKER_BIND: {bind!r} listens beyond this machine; set TRACKER_API_KEYS or TRACKER_KEYS_REQUIRED=yes, or "
    )


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"BIND": "0.0.0.0:8000", "API_KEYS": KEY}, id="with a key"),
        pytest.param({"BIND": "0.0.0.0:8000", "OPEN": "yes"}, id="told that everybody may"),
        pytest.param({"BIND": "0.0.0.0:8000", "KEYS_REQUIRED": "yes"}, id="with keys that are made"),
        pytest.param({"BIND": "localhost:8000"}, id="by name"),
        pytest.param({"BIND": "[::1]:8000"}, id="over IPv6"),
        pytest.param({"BIND": "127.0.0.1:0"}, id="at any port"),
    ],
)
def test_who_has_keys_or_stays_at_home_may_listen(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]):
    assert loaded(monkeypatch, **environment).bind == environment["BIND"]


def test_a_settings_file_that_cannot_be_read_is_told(folder: Path):
    (folder / "tracker.toml").write_text("interval = = 60\n")

    with pytest.raises(InvalidSettings) as raised:
        Settings.load()

    assert str(raised.value).startswith(f"{folder}/tracker.toml cannot be read: Invalid value")


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


@pytest.mark.parametrize("file", [".env", "tracker.toml"])
def test_a_settings_file_in_another_encoding_is_told_with_its_folder(folder: Path, file: str):
    (folder / file).write_text("open = true", encoding="utf-16")

    with pytest.raises(InvalidSettings) as raised:
        Settings.load()

    assert str(raised.value) == f"{folder}/{file} cannot be read: it is not UTF-8"


@pytest.mark.parametrize("file, text", [(".env", "TRACKER_INTERVAL=5\n"), ("tracker.toml", "interval = 5\n")])
def test_a_settings_file_may_begin_with_a_byte_order_mark(folder: Path, file: str, text: str):
    (folder / file).write_text(text, encoding="utf-8-sig")

    assert Settings.load().interval == 5


@pytest.mark.parametrize("origin", ["https://example.org", "http://localhost:3000", "http://[::1]:8080", "*"])
def test_an_origin_is_written_as_browsers_send_it(monkeypatch: pytest.MonkeyPatch, origin: str):
    assert loaded(monkeypatch, CORS_ORIGINS=origin).cors_origins == (origin,)


@pytest.mark.parametrize(
    "origin, meant",
    [
        pytest.param("example.org", "write https://example.org", id="without a scheme"),
        pytest.param("https://example.org/", "write https://example.org", id="with a slash"),
        pytest.param("https://example.org/page?x=1", "write https://example.org", id="a page"),
        pytest.param("https://example.org:443", "write https://example.org", id="with the usual port"),
        pytest.param("https://bücher.example", "write https://xn--bcher-kva.example", id="beyond ASCII"),
        pytest.param(
            "ftp://example.org", "write https://example.org, http://localhost:3000, or *", id="not of the web"
        ),
        pytest.param("https://*.example.org", "write https://example.org, http://localhost:3000, or *", id="a pattern"),
        pytest.param("null", "write https://null", id="null"),
        pytest.param("https://example.org:99999", "or * for all", id="a port that none can be"),
    ],
)
def test_what_is_no_origin_is_refused_with_what_was_meant(monkeypatch: pytest.MonkeyPatch, origin: str, meant: str):
    (line,) = refused(monkeypatch, CORS_ORIGINS=f"https://good.example,{origin}")

    assert line.startswith("TRACKER_CORS_ORIGINS: ")
    assert f"{origin!r} is no origin: {meant}" in line or (f"{origin!r} is no origin: " in line and meant in line)


@pytest.mark.parametrize(
    "keys", ["x", "fifteen-letters", f"{KEY},short", "two words of more than sixteen", "tab\there-is-one-now"]
)
def test_a_key_that_is_short_or_has_blanks_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, keys: str):
    (line,) = refused(monkeypatch, API_KEYS=keys)

    assert line.startswith("TRACKER_API_KEYS: what is set is not accepted: ")
    assert keys not in line.replace("hex", "")


@pytest.mark.parametrize("around", ["{}\n", " {} ", "\t{}\r\n", "\ufeff{}"])
@pytest.mark.parametrize(
    "name, value",
    [("BIND", "127.0.0.1:9000"), ("API_KEYS", KEY), ("DATABASE_URL", "sqlite+aiosqlite:////a.db"), ("INTERVAL", "5")],
)
def test_blanks_and_line_ends_around_a_value_do_not_matter(
    monkeypatch: pytest.MonkeyPatch, around: str, name: str, value: str
):
    plain = getattr(loaded(monkeypatch, **{name: value}), name.lower())

    assert getattr(loaded(monkeypatch, **{name: around.format(value)}), name.lower()) == plain


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_a_value_of_blanks_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch, name: str):
    assert loaded(monkeypatch, **{name.upper(): " \n"}) == Settings()


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_quotes_around_a_value_are_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str, quote: str):
    (line,) = refused(monkeypatch, **{name.upper(): f"{quote}{KEY}{quote}"})

    assert line.startswith(f"TRACKER_{name.upper()}: ")
    assert line.endswith("there are quotes around it; write it without them")


@pytest.mark.parametrize(
    "address, reason",
    [
        pytest.param("redis://h/0?socket_timeout=abc", "the option 'socket_timeout' is not accepted", id="not ours"),
        pytest.param("redis://h/0?decode_responses=no", "the option 'decode_responses' is not", id="would break us"),
        pytest.param("redis://h/0?foo=bar", "the option 'foo' is not accepted; accepted: db, password", id="unknown"),
        pytest.param("redis://h/0?ssl_cert_reqs=none", "the option 'ssl_cert_reqs' is not", id="TLS without TLS"),
        pytest.param("rediss://h/0?ssl_cert_reqs=perhaps", "accepted: none, optional, required", id="unknown word"),
        pytest.param("rediss://h/0?ssl_ca_certs=/no/such.pem", "ssl_ca_certs: there is no /no/such.pem", id="no file"),
        pytest.param("redis://h/first", "'first' is none", id="a database without a number"),
        pytest.param("redis://h?db=first", "db=first is not the number of a database", id="the same as an option"),
        pytest.param("redis://a:1,b:2/3", "which has database 0 alone, and not 3", id="a database of a cluster"),
        pytest.param("redis://a:1,b:2?db=3", "which has database 0 alone, and not 3", id="the same of a cluster"),
        pytest.param("redis://a:1,,b:2", "empty host", id="a node without a name"),
        pytest.param("redis://a:1,me:s3cret@b:2", "name and password stand once", id="a password in the middle"),
        pytest.param("redis://h:port/0", "invalid port", id="a port in words"),
        pytest.param("unix://", "unix", id="a socket without a path"),
    ],
)
def test_a_redis_that_cannot_be_meant_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, address: str, reason: str):
    (line,) = refused(monkeypatch, REDIS_URL=address)

    assert line.startswith("TRACKER_REDIS_URL: ")
    assert reason in line


@pytest.mark.parametrize(
    "address, reason",
    [
        pytest.param("postgresql://me:s3cret@h:abc/d", "the port 'abc' is not a number from 1 to 65535", id="in words"),
        pytest.param("postgresql://me:s3cret@h:70000/d", "the port '70000' is not", id="too large"),
        pytest.param("postgresql://me:s3cret@[::1]:0/d", "the port '0' is not", id="none"),
        pytest.param("postgresql://me:s3cret@h/d?port=abc", "the port 'abc' is not", id="as an option"),
        pytest.param("postgresql://me:s3cret@h/d?sslmode=require", "write ssl=require", id="libpq's name"),
        pytest.param("postgresql://me:s3cret@h/d?ssl=perhaps", "accepted: disable, allow, prefer", id="unknown word"),
        pytest.param("postgresql://me:s3cret@h/d?foo=bar", "the option 'foo' is not accepted", id="unknown option"),
        pytest.param("postgresql://me:s3@cr/et@h:abc/d", "the port 'abc' is not", id="a password with signs"),
        pytest.param("sqlite+aiosqlite://archive.db", "four slashes before an absolute one", id="a file as a host"),
    ],
)
def test_a_database_that_cannot_be_meant_is_told_in_one_line_without_its_password(
    monkeypatch: pytest.MonkeyPatch, address: str, reason: str
):
    (line,) = refused(monkeypatch, DATABASE_URL=address)

    assert line.startswith("TRACKER_DATABASE_URL: ")
    assert reason in line
    assert "s3" not in line


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:p@ss/word@h:5432/d",
        "postgresql://me@[::1]:5432/d?ssl=require",
        "postgresql://me@/d?host=/run/postgresql",
        "postgresql://h/d?prepared_statement_cache_size=0",
    ],
)
def test_an_address_of_postgresql_may_have_what_the_driver_takes(monkeypatch: pytest.MonkeyPatch, address: str):
    assert loaded(monkeypatch, DATABASE_URL=address).archive_address.endswith(address.partition("://")[2])


# ---- secrets in files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["environment", ".env", "tracker.toml"])
def test_a_secret_may_be_in_a_file_that_is_named_wherever_settings_are(
    monkeypatch: pytest.MonkeyPatch, folder: Path, where: str
):
    (folder / "secret").write_text(f"\ufeff{KEY}1\n{KEY}2\n", encoding="utf-8")
    if where == "environment":
        monkeypatch.setenv("TRACKER_API_KEYS_FILE", str(folder / "secret"))
    elif where == ".env":
        (folder / where).write_text(f"TRACKER_API_KEYS_FILE={folder}/secret\n")
    else:
        (folder / where).write_text('api_keys_file = "secret"\n')

    assert Settings.load().api_keys == (f"{KEY}1", f"{KEY}2")


def test_what_the_environment_says_wins_over_a_file_that_dotenv_names(monkeypatch: pytest.MonkeyPatch, folder: Path):
    (folder / ".env").write_text("TRACKER_API_KEYS_FILE=/no/such/file\n")

    with pytest.raises(InvalidSettings):
        Settings.load()
    (folder / ".env").write_text(f"TRACKER_API_KEYS={KEY}\n")
    (folder / "secret").write_text("another-key-of-16-or-more")

    assert loaded(monkeypatch, API_KEYS_FILE=str(folder / "secret")).api_keys == ("another-key-of-16-or-more",)


@pytest.mark.parametrize(
    "content, reason",
    [
        pytest.param(None, "cannot be read: No such file or directory", id="none there"),
        pytest.param(b" \n", "is empty", id="empty"),
        pytest.param(b"\xff\xfe\x00", "cannot be read: it is not UTF-8", id="not a text"),
    ],
)
def test_a_file_of_a_secret_that_cannot_be_used_is_named_with_its_setting(
    monkeypatch: pytest.MonkeyPatch, folder: Path, content: bytes | None, reason: str
):
    if content is not None:
        (folder / "secret").write_bytes(content)

    assert refused(monkeypatch, DATABASE_URL_FILE="secret") == [f"TRACKER_DATABASE_URL_FILE: {folder}/secret {reason}"]


def test_a_secret_and_its_file_are_not_both_set(monkeypatch: pytest.MonkeyPatch, folder: Path):
    (folder / "secret").write_text(KEY)

    said = refused(monkeypatch, API_KEYS=KEY, API_KEYS_FILE="secret")

    assert said == ["TRACKER_API_KEYS and TRACKER_API_KEYS_FILE are both set; one must go"]
