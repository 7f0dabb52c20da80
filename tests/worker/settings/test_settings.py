from pathlib import Path

import pytest

from worker.latest.settings import InvalidSettings
from worker.settings import SOURCES, WorkerSettings


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the environment of whoever runs this, nor files beside him."""
    for name in WorkerSettings.model_fields:
        monkeypatch.delenv(f"TRACKER_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


def refused(monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[str]:
    """Return what is said of wrong settings, by line."""
    for name, value in environment.items():
        monkeypatch.setenv(f"TRACKER_{name}", value)
    with pytest.raises(InvalidSettings) as raised:
        WorkerSettings.load()
    return str(raised.value).splitlines()


def test_without_any_it_samples_three_pairs_of_kraken_every_minute():
    settings = WorkerSettings.load()

    assert settings.sources == ("kraken",)
    assert settings.metrics == ("KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:XRPUSD")
    assert settings.interval == 60
    assert [*map(str, settings.kraken_url)] == ["https://api.kraken.com/"]
    assert [*map(str, settings.binance_url)] == ["https://data-api.binance.vision/"]


def test_lists_are_written_with_commas_and_blanks_between_do_not_matter(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRACKER_SOURCES", " binance , kraken,")
    monkeypatch.setenv("TRACKER_METRICS", "BINANCE:BTCUSDT , KRAKEN:*,")

    settings = WorkerSettings.load()

    assert settings.sources == ("binance", "kraken")
    assert settings.metrics == ("BINANCE:BTCUSDT", "KRAKEN:*")


def test_a_source_that_is_named_twice_is_asked_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRACKER_SOURCES", "binance,kraken,binance")

    assert WorkerSettings.load().sources == ("binance", "kraken")


@pytest.mark.parametrize(
    "written, read",
    [
        pytest.param("kraken:btcusd", ("KRAKEN:BTCUSD",), id="small letters"),
        pytest.param("KRAKEN:*", ("KRAKEN:*",), id="all of an exchange"),
        pytest.param("*", ("*",), id="everything"),
        pytest.param("KRAKEN:AAVEUSD-BTNL", ("KRAKEN:AAVEUSD-BTNL",), id="another venue"),
    ],
)
def test_metrics_are_a_pair_an_exchange_or_everything(monkeypatch: pytest.MonkeyPatch, written: str, read):
    monkeypatch.setenv("TRACKER_METRICS", written)

    assert WorkerSettings.load().metrics == read


@pytest.mark.parametrize("wish", ["BTCUSD", "KRAKEN:", ":BTCUSD", "KRAKEN:BTC USD", "KRAKEN:BTC\x07"])
def test_what_is_no_metric_is_named_with_what_would_be_one(monkeypatch: pytest.MonkeyPatch, wish: str):
    said = refused(monkeypatch, METRICS=f"KRAKEN:BTCUSD,{wish}")

    assert len(said) == 1
    assert said[0].startswith("TRACKER_METRICS: ")
    assert said[0].endswith(f"{wish.upper()!r} is not a metric: write EXCHANGE:PAIR, EXCHANGE:* or *")


@pytest.mark.parametrize("wish", ["SIMULATED:BTC*", "*:BTCUSD", "SIM*:*", "**", "SIMULATED:**"])
def test_a_wildcard_in_the_wrong_place_is_refused_by_name_with_what_is_accepted(
    monkeypatch: pytest.MonkeyPatch, wish: str
):
    (said,) = refused(monkeypatch, SOURCES="simulated", METRICS=f"SIMULATED:BTCUSD,{wish}")

    assert said.startswith("TRACKER_METRICS: ")
    assert f"{wish!r} is not a" in said
    assert said.endswith("write EXCHANGE:PAIR, EXCHANGE:* or *")


def test_a_metric_that_no_source_can_give_is_refused_with_the_source_that_can(monkeypatch: pytest.MonkeyPatch):
    assert refused(monkeypatch, SOURCES="kraken", METRICS="KRAKEN:BTCUSD,BINANCE:BTCUSDT") == [
        (
            "TRACKER_METRICS: no source gives BINANCE:BTCUSDT: TRACKER_SOURCES is kraken, and gives KRAKEN:*; "
            "add binance to TRACKER_SOURCES"
        )
    ]
    assert refused(monkeypatch, SOURCES="kraken,binance", METRICS="NOWHERE:*") == [
        (
            "TRACKER_METRICS: no source gives NOWHERE:*: TRACKER_SOURCES is kraken,binance, "
            "and gives KRAKEN:*, BINANCE:*; name another exchange"
        )
    ]


def test_cryptowatch_may_give_any_exchange_and_everything_may_come_from_any_source(monkeypatch: pytest.MonkeyPatch):
    for sources, metrics in (("kraken,cryptowatch", "COINBASE:BTCUSD"), ("binance", "*")):
        monkeypatch.setenv("TRACKER_SOURCES", sources)
        monkeypatch.setenv("TRACKER_METRICS", metrics)
        monkeypatch.setenv("TRACKER_CRYPTOWATCH_URL", "http://127.0.0.1:1")

        assert WorkerSettings.load().metrics == (metrics,)


def test_an_unknown_source_is_named_with_the_nearest_and_all_there_are(monkeypatch: pytest.MonkeyPatch):
    (said,) = refused(monkeypatch, SOURCES="kraken,binanse")

    assert said.startswith("TRACKER_SOURCES: ")
    assert f"there is no source 'binanse', only {', '.join(SOURCES)} and ccxt:ID; did you mean 'binance'?" in said


@pytest.mark.parametrize("name", ["SOURCES", "METRICS"])
def test_a_list_of_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, name: str):
    (said,) = refused(monkeypatch, **{name: " , "})

    assert said.startswith(f"TRACKER_{name}: ")
    assert "at least 1 item" in said


@pytest.mark.parametrize("name", ["KRAKEN_URL", "BINANCE_URL", "CRYPTOWATCH_URL"])
@pytest.mark.parametrize("address", ["api.kraken.com", "ftp://api.kraken.com", "http://"])
def test_an_address_must_be_one_of_http(monkeypatch: pytest.MonkeyPatch, name: str, address: str):
    (said,) = refused(monkeypatch, **{name: address})

    assert said.startswith(f"TRACKER_{name}: {address!r} is not accepted: ")


def test_cryptowatch_needs_an_address_because_it_closed(monkeypatch: pytest.MonkeyPatch):
    (said,) = refused(monkeypatch, SOURCES="kraken,cryptowatch")

    assert said.startswith("TRACKER_CRYPTOWATCH_URL is missing: Cryptowatch closed in 2023")


@pytest.mark.parametrize("interval", ["0", "-60", "7", "61", "3601", "1.5", "a minute"])
def test_an_interval_is_whole_seconds_that_divide_an_hour(monkeypatch: pytest.MonkeyPatch, interval: str):
    (said,) = refused(monkeypatch, INTERVAL=interval)

    assert said.startswith(f"TRACKER_INTERVAL: {interval!r} is not accepted: ")


def test_every_wrong_setting_has_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch):
    said = refused(monkeypatch, INTERVAL="7", SOURCES="krakn", METRICS="BTCUSD", BINANCE_URL="no", LOG_LEVEL="loud")

    assert sorted(line.partition(":")[0] for line in said) == [
        "TRACKER_BINANCE_URL",
        "TRACKER_INTERVAL",
        "TRACKER_LOG_LEVEL",
        "TRACKER_METRICS",
        "TRACKER_SOURCES",
    ]


def test_a_key_is_not_shown_by_whoever_prints_the_settings(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRACKER_CRYPTOWATCH_API_KEY", "hush")

    assert "hush" not in repr(WorkerSettings.load())


def test_settings_cannot_be_changed_later():
    settings = WorkerSettings.load()

    with pytest.raises(ValueError, match="frozen"):
        settings.interval = 5


@pytest.mark.parametrize("file, line", [(None, ""), (".env", "TRACKER_INTERVALL=5"), ("tracker.toml", "intervall = 5")])
def test_a_misspelt_name_stops_the_start_and_the_one_that_was_meant_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str | None, line: str
):
    if file:
        (tmp_path / file).write_text(line)
    else:
        monkeypatch.setenv("TRACKER_INTERVALL", "5")

    said = refused(monkeypatch, SOURCES="bitfenix")

    assert len(said) == 2
    assert said[1] == "TRACKER_INTERVALL: there is no such setting; did you mean TRACKER_INTERVAL?"


def test_names_that_kubernetes_makes_of_a_service_called_tracker_redis_are_not_ours(monkeypatch: pytest.MonkeyPatch):
    for name in ("PORT", "PORT_6379_TCP", "PORT_6379_TCP_ADDR", "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_REDIS"):
        monkeypatch.setenv(f"TRACKER_REDIS_{name}", "tcp://10.0.0.7:6379")

    assert WorkerSettings.load().interval == 60


def test_names_of_others_in_the_same_file_do_not_matter(tmp_path: Path):
    (tmp_path / ".env").write_text("COMPOSE_PROFILES=postgres\nTRACKER_INTERVAL=30")

    assert WorkerSettings.load().interval == 30


KEYS = ("COINMARKETCAP_API_KEY", "CRYPTOCOMPARE_API_KEY", "CRYPTOWATCH_API_KEY", "PUSHOVER_TOKEN", "PUSHOVER_USER")
PUSHOVER = {"PUSHOVER_TOKEN": "t" * 30, "PUSHOVER_USER": "u" * 30}


def test_every_setting_that_is_not_shown_is_known_to_be_secret():
    unseen = {name for name, field in WorkerSettings.model_fields.items() if "Secret" in str(field.annotation)}

    assert unseen <= WorkerSettings.secret_names <= WorkerSettings.model_fields.keys()


@pytest.mark.parametrize("name", sorted(WorkerSettings.secret_names))
@pytest.mark.parametrize("around", ["{}\n", " {}\r\n", "\ufeff{}"])
def test_a_secret_is_used_without_the_blanks_and_line_ends_around_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, around: str
):
    value = {
        "database_url": "sqlite+aiosqlite:////a.db",
        "heartbeat_url": "https://example.org/1",
        "notify": "json://example.org",
        "proxy": "http://proxy.example.org:3128",
        "redis_url": "redis://h:6379/0",
    }.get(name, "0123456789abcdef")
    for other, usual in PUSHOVER.items():
        monkeypatch.setenv(f"TRACKER_{other}", usual)
    monkeypatch.setenv(f"TRACKER_{name.upper()}", value)
    plain = getattr(WorkerSettings.load(), name)
    monkeypatch.setenv(f"TRACKER_{name.upper()}", around.format(value))
    typed = getattr(WorkerSettings.load(), name)
    monkeypatch.delenv(f"TRACKER_{name.upper()}")
    (tmp_path / "secret").write_text(around.format(value), encoding="utf-8")
    monkeypatch.setenv(f"TRACKER_{name.upper()}_FILE", "secret")

    assert plain == typed == getattr(WorkerSettings.load(), name)


@pytest.mark.parametrize("name", sorted(WorkerSettings.secret_names))
def test_a_secret_with_quotes_around_it_is_refused_by_its_name_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str
):
    (said,) = refused(monkeypatch, **{name.upper(): "'h-u-s-h-h-u-s-h'"})

    assert said.startswith(f"TRACKER_{name.upper()}: ")
    assert said.endswith("there are quotes around it; write it without them")
    assert "h-u-s-h" not in said or name in ("database_url", "redis_url")


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("value", ["hu sh", "hu\nsh", 'hush"', "husch\u00e4"])
def test_a_providers_key_that_cannot_be_sent_as_it_is_is_refused_by_its_name_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
):
    said = refused(monkeypatch, **{**PUSHOVER, name: value})

    assert len(said) == 1
    assert said[0].startswith(f"TRACKER_{name}: what is set is not accepted: ")
    assert value not in said[0]


def test_a_misspelt_name_of_a_secrets_file_is_told(monkeypatch: pytest.MonkeyPatch):
    (said,) = refused(monkeypatch, PUSHOVER_TOKN_FILE="secret")

    assert said == "TRACKER_PUSHOVER_TOKN_FILE: there is no such setting; did you mean TRACKER_PUSHOVER_TOKEN_FILE?"
