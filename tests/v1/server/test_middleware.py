"""Who may ask, whom, and from where; and what every answer says of itself."""

from base64 import b64encode
from urllib.parse import urlsplit

import pytest

from tests.support.serving import raw, serving
from v1.routes.negotiation import choose_codings


@pytest.fixture
async def locked(server, clock):
    async with serving(
        clock, server, api_keys="first-of-two-keys, sécond-of-two-keys, clà-of-sixteen-là, ключ-от-всех-дверей"
    ) as api:
        yield api


def basic(password: str) -> str:
    return f"Basic {b64encode(f'anybody:{password}'.encode()).decode()}"


@pytest.mark.parametrize(
    "path", ["/v1/ranks", "/latest/ranks", "/docs", "/redoc", "/openapi.json", "/metrics", "/page", "/nothing"]
)
async def test_without_a_key_nobody_is_answered(locked, path):
    answer = await locked.get(path)

    assert (answer.status, answer.headers["Content-Type"]) == (401, "application/problem+json")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json["status"] == 401


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Authorization": "Bearer first-of-two-keys"}, id="bearer"),
        pytest.param({"Authorization": "bearer  first-of-two-keys"}, id="whatever its case"),
        pytest.param({"X-API-Key": "first-of-two-keys"}, id="a header of its own"),
        pytest.param({"Authorization": basic("sécond-of-two-keys")}, id="the password of a browser's dialog"),
    ],
)
async def test_with_any_of_the_keys_everything_is_answered(locked, headers):
    for path in ("/v1/ranks", "/", "/docs", "/openapi.json"):
        assert (await locked.get(path, **headers)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Authorization": "Bearer first-of-two-key"}, id="a part of a key"),
        pytest.param({"Authorization": "Bearer FIRST-OF-TWO-KEYS"}, id="another case"),
        pytest.param({"Authorization": "Bearer "}, id="an empty key"),
        pytest.param({"X-API-Key": ""}, id="an empty header"),
        pytest.param({"Authorization": "Basic !!"}, id="no base 64"),
        pytest.param({"Authorization": "Basic /w=="}, id="no text"),
        pytest.param({"Authorization": basic("")}, id="an empty password"),
        pytest.param({"Authorization": "first-of-two-keys"}, id="no scheme"),
    ],
)
async def test_with_anything_else_nobody_is_answered(locked, headers):
    assert (await locked.get("/v1/ranks", **headers)).status == 401


async def test_health_is_answered_without_a_key_to_who_watches_the_process(locked):
    assert (await locked.get("/health/live")).status == 200
    assert (await locked.get("/health/ready")).status == 503


async def test_the_document_says_that_a_key_is_wanted(locked):
    document = (await locked.get("/openapi.json", X_API_Key="first-of-two-keys")).json

    assert "401" in document["paths"]["/v1/ranks"]["get"]["responses"]


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("sécond-of-two-keys".encode(), id="UTF-8"),
        pytest.param("sécond-of-two-keys".encode("latin-1"), id="Latin-1"),
        pytest.param("clà-of-sixteen-là".encode(), id="UTF-8 that ends in what Latin-1 takes for a blank"),
        pytest.param("ключ-от-всех-дверей".encode(), id="not to be written in Latin-1"),
    ],
)
@pytest.mark.parametrize("how", ["Authorization: Bearer", "X-API-Key:", "Authorization: Basic"])
async def test_a_key_of_any_letters_is_known_in_either_encoding(locked, key, how):
    said = b64encode(b":" + key) if how.endswith("Basic") else key

    assert (await raw(locked, f"GET /v1/metrics HTTP/1.1\r\nHost: localhost\r\n{how} ".encode() + said)).status == 200


@pytest.mark.parametrize(
    "host, status",
    [
        ("localhost", 200),
        ("LOCALHOST:80", 200),
        ("page.localhost", 200),
        ("127.0.0.1:8000", 200),
        ("192.0.2.7", 200),
        ("[::1]:8000", 200),
        ("tracker.example.org", 200),
        ("tracker.example.org.:443", 200),
        ("other.example.org", 200),
        ("evil.example", 421),
        ("evil.example:8000", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("evil.example@127.0.0.1", 421),
        ("127.0.0.1/evil", 421),
        ("", 421),
    ],
)
@pytest.mark.parametrize("path", ["/v1/metrics", "/health/live", "/"])
async def test_nobody_is_answered_who_asks_for_another_host(server, clock, host, status, path):
    named = {"public_url": "https://tracker.example.org/page", "hosts": "other.example.org"}
    async with serving(clock, server, **named) as api:
        answer = await raw(api, f"GET {path} HTTP/1.1\r\nHost: {host}".encode())

    assert answer.status == status
    if status == 421:
        accepted = "accepted: localhost, an IP address, 127.0.0.1, other.example.org, tracker.example.org"
        assert answer.json["detail"].startswith(f"host: {host!r} is not accepted; {accepted}; more in TRACKER_HOSTS")


async def test_a_host_in_the_target_counts_and_not_the_one_beside_it(api):
    evil = await raw(api, b"GET http://evil.example/v1/metrics HTTP/1.1\r\nHost: localhost")
    ours = await raw(api, b"GET http://localhost/v1/metrics?limit=1 HTTP/1.1\r\nHost: evil.example")

    assert (evil.status, ours.status) == (421, 200)


@pytest.mark.parametrize(
    "origin, status",
    [
        pytest.param("http://{host}", 422, id="our own page"),
        pytest.param("https://tracker.example.org", 422, id="our page behind a proxy"),
        pytest.param("https://other.example.org:444", 422, id="a host of ours"),
        pytest.param("http://evil.example", 403, id="a stranger's"),
        pytest.param("http://127.0.0.1:1", 403, id="another program of this machine"),
        pytest.param("http://localhost", 403, id="the same by name"),
        pytest.param("https://tracker.example.org.evil.example", 403, id="the beginning of ours"),
        pytest.param("null", 403, id="nobody's"),
        pytest.param("", 403, id="none"),
    ],
)
async def test_nothing_is_changed_for_the_page_of_somebody_else(server, clock, origin, status):
    named = {"public_url": "https://tracker.example.org/page", "hosts": "other.example.org"}
    async with serving(clock, server, cors_origins="*", **named) as api:
        said = origin.format(host=urlsplit(api.url).netloc)
        answers = [
            await api.send(method, path, {}, Origin=said)
            for method, path in (("POST", "/v1/rules"), ("PUT", "/v1/rules/x"), ("POST", "/v1/silences"))
        ]
        looked = await api.get("/v1/metrics", Origin=said)

    assert [answer.status for answer in answers] == [status] * 3
    assert looked.status == 200
    if status == 403:
        assert "may not change anything here; accepted: pages of 127.0.0.1:" in answers[0].json["detail"]


async def test_a_page_whose_name_was_made_to_lead_here_can_neither_read_nor_write(api):
    for method in ("GET", "POST"):
        head = f"{method} /v1/rules HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example"
        assert (await raw(api, f"{head}\r\nContent-Type: application/json\r\nContent-Length: 0".encode())).status == 421


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/redoc", "/page/main.js", "/docs/parts/swagger-ui.css", "/v1/metrics", "/no", "/health/live"],
)
async def test_no_answer_can_be_framed_or_taken_for_another_type(api, path):
    headers = (await api.get(path)).headers

    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers.getall("X-Content-Type-Options") == ["nosniff"]
    assert headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize(
    "header, gzip, plain",
    [
        (None, False, True),
        ("", False, True),
        ("gzip", True, True),
        ("GZIP;Q=1.0", True, True),
        ("deflate, gzip;q=0.5, br", True, True),
        ("gzip;q=0", False, True),
        ("gzip;q=0.000, *", False, True),
        ("*", True, True),
        ("*;q=0", False, False),
        ("*;q=0, gzip", True, False),
        ("identity;q=0, gzip", True, False),
        ("identity;q=0", False, False),
        ("identity, gzip;q=0.5", False, True),
        ("identity;q=0, *", True, False),
        ("br", False, True),
        ("gzip;q=2", False, True),
        ("not-gzip", False, True),
    ],
)
async def test_an_answer_is_compressed_for_who_takes_that(api, header, gzip, plain):
    said = f"\r\nAccept-Encoding: {header}" if header is not None else ""
    page = await raw(api, f"GET /docs/parts/swagger-ui.css HTTP/1.1\r\nHost: x.localhost{said}".encode())
    small = await raw(api, f"GET /health/live HTTP/1.1\r\nHost: x.localhost{said}".encode())

    assert (page.headers.get("content-encoding") == "gzip") is gzip
    assert [answer.status for answer in (page, small)] == [200 if gzip or plain else 406] * 2
    assert (small.headers.get("content-encoding") == "gzip") is (gzip and not plain)
    weighed = choose_codings(header)
    assert (weighed[0] > 0 and weighed[0] >= weighed[1], weighed[1] > 0) == (gzip, plain)


@pytest.mark.parametrize(
    "path, name, given",
    [
        ("/v1/ranks?limit=1&limit=2", "limit", "1, 2"),
        ("/v1/metrics?limit=1&limit=1", "limit", "1, 1"),
        ("/v1/metrics/KRAKEN:BTCUSD/history?from=-1h&step=5m&from=-2h", "from", "-1h, -2h"),
        ("/latest/ranks?measure=price&measure=", "measure", "price, "),
        ("/health/live?x=1&x=2", "x", "1, 2"),
    ],
)
async def test_a_parameter_that_is_given_twice_is_refused_by_name(api, path, name, given):
    answer = await raw(api, f"GET {path} HTTP/1.1\r\nHost: localhost".encode())

    assert answer.status == 422
    assert answer.json["errors"] == [{"field": name, "value": given, "accepted": "it once"}]
