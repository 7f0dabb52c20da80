"""What all answers have in common: caches, compression, methods, errors, and both names of the version."""

import csv
import gzip
import io
import json

import pytest
from aiohttp import ClientSession

from tests.support.serving import HOUR, MINUTE, NOON, every_minute, fill, sample, serving, tick
from v1.routes.row_encoder import quote_text
from v1.store import Reader

ONCE_A_TICK = [
    "/v1/metrics",
    "/v1/metrics/KRAKEN:BTCUSD",
    "/v1/metrics/KRAKEN:BTCUSD/history",
    "/v1/metrics/KRAKEN:BTCUSD/history?format=csv",
    "/v1/metrics/KRAKEN:BTCUSD/rank",
    "/v1/ranks",
]


@pytest.fixture
async def hour(writer):
    await fill(writer, {"KRAKEN:BTCUSD": every_minute([f"{46000 + minute}.50" for minute in range(60)])})
    return writer


@pytest.mark.usefixtures("hour")
@pytest.mark.parametrize("path", ONCE_A_TICK)
async def test_an_answer_is_good_until_the_next_tick_and_is_not_sent_twice(api, clock, path):
    clock.now = NOON + 20.5
    first = await api.get(path)
    clock.now = NOON + 40
    second = await api.get(path, If_None_Match=f'"other", {first.headers["ETag"]}')

    assert first.headers["Cache-Control"] == "public, max-age=40"
    assert (second.status, second.text) == (304, "")
    assert second.headers["ETag"] == first.headers["ETag"]
    assert second.headers["Cache-Control"] == "public, max-age=20"


@pytest.mark.parametrize("path", ONCE_A_TICK)
async def test_the_next_tick_makes_another_answer(api, hour, clock, path):
    first = await api.get(path)
    await tick(hour, NOON + MINUTE, {"KRAKEN:BTCUSD": "46100.50"})
    clock.now = NOON + MINUTE + 1

    second = await api.get(path, If_None_Match=first.headers["ETag"])

    assert second.status == 200
    assert second.headers["Cache-Control"] == "public, max-age=59"


async def test_a_late_sample_makes_another_answer_within_the_same_tick(api, hour):
    path = "/v1/metrics/KRAKEN:BTCUSD/history"
    first = await api.get(path)
    await fill(hour, {"KRAKEN:BTCUSD": [sample(NOON - 2 * HOUR, "1")]})

    second = await api.get(path, If_None_Match=first.headers["ETag"])

    assert second.status == 200
    assert second.headers["ETag"] != first.headers["ETag"]


@pytest.mark.usefixtures("hour")
async def test_an_age_does_not_grow_old_in_a_cache(api, clock):
    first = await api.get("/v1/metrics/KRAKEN:BTCUSD")
    clock.now = NOON + MINUTE

    second = await api.get("/v1/metrics/KRAKEN:BTCUSD", If_None_Match=first.headers["ETag"])

    assert (second.status, second.json["age"]) == (200, MINUTE)


@pytest.mark.usefixtures("hour")
async def test_a_tick_that_is_overdue_is_asked_for_again_after_a_second(api, clock):
    clock.now = NOON + 2 * MINUTE

    assert (await api.get("/v1/ranks")).headers["Cache-Control"] == "public, max-age=1"


@pytest.mark.usefixtures("hour")
async def test_answers_behind_a_key_are_kept_for_nobody_else(server, clock):
    async with serving(clock, server, api_keys="secret-of-16-or-more") as api:
        answer = await api.get("/v1/ranks", Authorization="Bearer secret-of-16-or-more")

    assert answer.headers["Cache-Control"].startswith("private, ")


@pytest.mark.usefixtures("hour")
async def test_big_answers_are_compressed_for_who_can_read_that(api):
    async with (
        ClientSession(auto_decompress=False) as session,
        session.get(f"{api.url}/v1/metrics/KRAKEN:BTCUSD/history", headers={"Accept-Encoding": "gzip"}) as got,
    ):
        packed, headers = await got.read(), got.headers

    plain = await api.get("/v1/metrics/KRAKEN:BTCUSD/history", Accept_Encoding="identity")
    assert gzip.decompress(packed).decode() == plain.text
    assert "Accept-Encoding" in headers["Vary"]
    assert headers["ETag"] == f"W/{plain.headers['ETag']}", "a strong tag stands for exact bytes"


@pytest.mark.usefixtures("hour")
@pytest.mark.parametrize("path", [*ONCE_A_TICK, "/health/live", "/docs", "/openapi.json", "/"])
async def test_head_is_get_without_the_body(api, path):
    head, get = await api.get(path, method="HEAD"), await api.get(path)

    assert (head.status, head.text) == (200, "")
    assert head.headers.get("ETag") == get.headers.get("ETag")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]


@pytest.mark.usefixtures("hour")
@pytest.mark.parametrize("path", ONCE_A_TICK)
async def test_latest_answers_as_the_version_it_is(api, path):
    latest, version = await api.get(path.replace("/v1/", "/latest/")), await api.get(path)

    assert latest.text == version.text


async def test_an_address_that_is_not_served_is_a_problem_document(api):
    answer = await api.get("/v1/metriks")

    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert answer.json == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "nothing is served here; /docs lists what is",
        "instance": "/v1/metriks",
        "errors": [],
    }


async def test_a_method_that_is_not_served_is_a_problem_document_and_names_the_right_one(api):
    answer = await api.get("/v1/ranks", method="DELETE")

    assert (answer.status, answer.headers["Allow"]) == (405, "GET")
    assert answer.json["detail"] == "DELETE is not accepted here; accepted: GET"


@pytest.mark.usefixtures("hour")
async def test_an_error_of_ours_keeps_its_inside_to_the_log(api, caplog, monkeypatch):
    async def fail(*_):
        json.loads("[nonsense")

    monkeypatch.setattr(Reader, "read_newest", fail)

    answer = await api.get("/v1/metrics/KRAKEN:BTCUSD")

    assert (answer.status, answer.headers["Content-Type"]) == (500, "application/problem+json")
    assert answer.json["detail"] == "an error of ours; the log has the reason"
    assert "JSONDecodeError" in caplog.text


@pytest.mark.usefixtures("hour")
async def test_other_pages_may_ask_where_the_settings_name_them(server, clock):
    async with serving(clock, server, cors_origins="https://example.org", api_keys="secret-of-16-or-more") as api:
        asked = await api.get(
            "/v1/ranks",
            method="OPTIONS",
            Origin="https://example.org",
            Access_Control_Request_Method="GET",
            Access_Control_Request_Headers="authorization",
        )
        answer = await api.get("/v1/ranks", Origin="https://example.org", Authorization="Bearer secret-of-16-or-more")
        other = await api.get("/v1/ranks", Origin="https://example.com", Authorization="Bearer secret-of-16-or-more")

    assert (asked.status, asked.headers["Access-Control-Allow-Origin"]) == (200, "https://example.org")
    assert answer.headers["Access-Control-Allow-Origin"] == "https://example.org"
    assert "ETag" in answer.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in other.headers


@pytest.mark.usefixtures("hour")
async def test_without_a_setting_no_other_page_may_ask(api):
    answer = await api.get("/v1/ranks", Origin="https://example.org")

    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("sign", "=+-@＝＋－＠\t\r\n")
def test_no_spreadsheet_takes_a_text_for_a_formula(sign):
    assert quote_text(f'{sign}1+"2"') == f'"\'{sign}1+""2"""'


@pytest.mark.parametrize("text", ["NA", "1E5", "null", "Ünï, Inc.", ""])
def test_a_text_of_csv_stands_in_quotation_marks_and_is_read_back_as_it_was(text):
    written = f"1,{quote_text(text)}\n"

    assert written == f'1,"{text}"\n'
    assert [*csv.reader(io.StringIO(written))] == [["1", text]]


@pytest.mark.usefixtures("hour")
@pytest.mark.parametrize(
    "path, first",
    [
        ("metrics/KRAKEN:BTCUSD/history", "2021-05-17T11:01:00Z,46000.50"),
        ("metrics/KRAKEN:BTCUSD/candles", "2021-05-17T11:00:00Z,46000.50,"),
        ("ranks", '1,"KRAKEN:BTCUSD",'),
    ],
)
async def test_every_csv_has_iso_times_and_a_byte_order_mark_where_they_are_asked_for(api, path, first):
    query = {"time": "iso", "bom": "yes"}
    alone, named = await api.get(f"/v1/{path}.csv", query), await api.get(f"/v1/{path}", query | {"format": "csv"})
    plain = await api.get(f"/v1/{path}.csv")

    assert alone.text.startswith("\ufeff")
    assert alone.text.split("\n")[1].startswith(first)
    assert (named.text, named.headers["Content-Type"]) == (alone.text, alone.headers["Content-Type"])
    assert not plain.text.startswith("\ufeff")
    assert "Z," not in plain.text


@pytest.mark.usefixtures("hour")
@pytest.mark.parametrize("kind", ["history", "candles"])
async def test_each_format_has_an_address_of_its_own_with_the_same_answer(api, kind):
    path = f"/v1/metrics/KRAKEN:BTCUSD/{kind}"
    for format_ in ("csv", "ndjson"):
        alone, named = await api.get(f"{path}.{format_}"), await api.get(path, {"format": format_})

        assert (alone.status, alone.text, alone.headers["ETag"]) == (200, named.text, named.headers["ETag"])
