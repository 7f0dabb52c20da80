"""Which servers are asked for a source: several addresses of one, and sources of ccxt."""

import pytest
from pydantic import AnyHttpUrl

from tests.support.missing import needs_package
from tests.worker.settings.test_settings import _nothing_is_set, refused
from worker.settings import WorkerSettings
from worker.settings.servers import AskedServer, find_kind, list_servers, name_address_setting

__all__ = ["_nothing_is_set"]

needs_ccxt = needs_package("ccxt")
A, B = "http://a.invalid/", "http://b.invalid/"


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(f"{A}, {B}", id="a text with commas"),
        pytest.param(f"{A},{B},{A}", id="one of them twice"),
        pytest.param((A, B), id="a list"),
        pytest.param((AnyHttpUrl(A), AnyHttpUrl(B)), id="a list of addresses"),
    ],
)
def test_of_several_servers_each_is_a_source_and_the_first_has_its_name(written: object):
    settings = WorkerSettings.load(kraken_url=written, sources="kraken,simulated", metrics="*")

    assert list_servers(settings) == [
        AskedServer("kraken", "kraken", A),
        AskedServer("kraken-2", "kraken", B),
        AskedServer("simulated", "simulated", None),
    ]


def test_one_address_may_be_given_as_it_is():
    assert [each.address for each in list_servers(WorkerSettings.load(kraken_url=AnyHttpUrl(A)))] == [A]


@pytest.mark.parametrize("written", ["http://a.invalid,ftp://b.invalid", "http://a.invalid,b"])
def test_each_address_must_be_one(monkeypatch: pytest.MonkeyPatch, written: str):
    (said,) = refused(monkeypatch, KRAKEN_URL=written)

    assert said.startswith("TRACKER_KRAKEN_URL: ")


def test_the_password_of_every_server_is_a_secret():
    settings = WorkerSettings.load(kraken_url="http://a.invalid,http://me:only-for-b@b.invalid/?key=key-of-b")

    assert {"only-for-b", "key-of-b"} <= settings.secrets


@needs_ccxt
def test_the_password_of_a_server_for_ccxt_is_a_secret_and_in_no_error(monkeypatch: pytest.MonkeyPatch):
    settings = WorkerSettings.load(sources="ccxt:kraken", ccxt_urls="kraken=http://me:for-ccxt@a.invalid")
    (said,) = refused(monkeypatch, CCXT_URLS="kraken:http://me:for-ccxt@a.invalid")

    assert "for-ccxt" in settings.secrets
    assert "for-ccxt" not in said
    assert said.endswith("entry 1 must be what ccxt calls an exchange, and an address: kraken=https://...")


@needs_ccxt
def test_an_exchange_of_ccxt_is_asked_where_it_is_or_where_the_settings_say():
    settings = WorkerSettings.load(
        sources="ccxt:kraken,ccxt:bitstamp", metrics="KRAKEN:*,BITSTAMP:*", ccxt_urls=f"kraken={A},kraken={B}"
    )

    assert list_servers(settings) == [
        AskedServer("ccxt:kraken", "ccxt:kraken", A),
        AskedServer("ccxt:kraken-2", "ccxt:kraken", B),
        AskedServer("ccxt:bitstamp", "ccxt:bitstamp", None),
    ]


@needs_ccxt
@pytest.mark.parametrize(
    "given, said",
    [
        pytest.param(
            {"SOURCES": "ccxt:bitstmp"}, "ccxt knows no exchange 'bitstmp', but 105 others; nearest:", id="misspelt"
        ),
        pytest.param({"SOURCES": "bitstamp"}, "did you mean 'ccxt:bitstamp'?", id="without its prefix"),
        pytest.param({"CCXT_URLS": "krakn=http://a.invalid"}, "ccxt knows no exchange 'krakn'", id="an address"),
        pytest.param(
            {"CCXT_URLS": "kraken=a.invalid"},
            "the address of entry 1 must be http://... or https://...",
            id="no address",
        ),
        pytest.param(
            {"SOURCES": "kraken", "METRICS": "BITSTAMP:*"}, "add ccxt:bitstamp to TRACKER_SOURCES", id="a metric"
        ),
        pytest.param(
            {"SOURCES": "ccxt:bitstamp", "METRICS": "GEMINI:*"},
            "TRACKER_SOURCES is ccxt:bitstamp, and gives BITSTAMP:*;",
            id="another metric",
        ),
    ],
)
def test_what_ccxt_does_not_have_is_refused_with_what_would_do(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], said: str
):
    (line,) = refused(monkeypatch, **given)

    # How many exchanges there are changes with ccxt.
    assert said.partition(", but 105")[0] in line
    assert said.rpartition("others; ")[2] in line


@pytest.mark.parametrize(
    "name, value", [("SOURCES", "kraken,ccxt:bitstamp"), ("CCXT_URLS", "bitstamp=http://a.invalid")]
)
def test_without_ccxt_it_is_said_what_to_type(monkeypatch: pytest.MonkeyPatch, name: str, value: str):
    monkeypatch.setattr("worker.settings.find_exchange_ids", lambda: ())

    (said,) = refused(monkeypatch, **{name: value})

    assert "'ccxt:bitstamp' needs the package ccxt, which is not installed; type: python3 -m pip " in said


@pytest.mark.parametrize(
    "source, kind, setting",
    [
        ("kraken", "kraken", "TRACKER_KRAKEN_URL"),
        ("kraken-2", "kraken", "TRACKER_KRAKEN_URL"),
        ("ccxt:kraken-12", "ccxt:kraken", "TRACKER_CCXT_URLS"),
    ],
)
def test_a_source_is_known_by_its_name(source: str, kind: str, setting: str):
    assert find_kind(source) == kind
    assert name_address_setting(source) == setting
