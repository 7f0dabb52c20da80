"""The API and the page below the path of a proxy: asked as proxies ask, and behind a real one with TLS."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from aiohttp import ClientSession, ClientTimeout

from tests.support import missing
from tests.support.servers import free_port
from tests.support.serving import DAY, NOON, Api, every_minute, fill, serving
from v1.settings import InvalidSettings, Settings

RULE = {"kind": "threshold", "id": "high", "measure": "price", "above": 50_000}


@pytest.fixture
async def below(server, clock, archive_address, writer) -> AsyncIterator[Api]:
    await fill(writer, {"KRAKEN:BTCUSD": every_minute(["1", "2", "3"])})
    async with serving(clock, server, database_url=archive_address, root_path="/team/tracker") as api:
        yield api


@pytest.mark.parametrize("prefix", ["", "/team/tracker"], ids=["the proxy takes the path away", "the proxy leaves it"])
async def test_every_address_that_is_answered_begins_with_the_path(below: Api, prefix: str):
    history = await below.get(f"{prefix}/v1/metrics/KRAKEN:BTCUSD/history", {"from": NOON - 2 * DAY})
    made = await below.send("POST", f"{prefix}/v1/rules", RULE)
    document = await below.get(f"{prefix}/openapi.json")
    lost = await below.get(f"{prefix}/v1/nothing")

    assert history.json["older"].startswith("/team/tracker/v1/metrics/KRAKEN:BTCUSD/candles?")
    assert history.headers["Link"].startswith("</team/tracker/v1/metrics/KRAKEN:BTCUSD/candles?")
    assert (made.status, made.headers["Location"]) == (201, "/team/tracker/v1/rules/high")
    assert document.json["servers"] == [{"url": "/team/tracker"}]
    assert (lost.status, lost.json["instance"]) == (404, "/team/tracker/v1/nothing")


@pytest.mark.parametrize("prefix", ["", "/team/tracker"])
@pytest.mark.parametrize("page", ["/", "/docs", "/redoc"])
async def test_a_page_finds_all_its_parts_below_the_path(below: Api, prefix: str, page: str):
    html = (await below.get(f"{prefix}{page}")).text
    named = [word.split(quote)[0] for quote in "\"'" for word in html.replace("=", " ").split(f" {quote}")[1:]]
    parts = [each for each in named if each.endswith((".js", ".css", ".svg", ".json")) and " " not in each]

    assert parts
    for part in parts:
        assert not urlsplit(part).netloc
        path = urljoin(f"{prefix}{page}", part)
        assert path.startswith(prefix)
        assert (await below.get(path)).status == 200, path


async def test_a_redirect_names_no_scheme_and_no_host(below: Api, api: Api):
    async with ClientSession() as session:
        for url, expected in (
            (f"{below.url}/docs/?x=1", "/team/tracker/docs?x=1"),
            (f"{below.url}/team/tracker/docs/", "/team/tracker/docs"),
            (f"{below.url}/team/tracker", "/team/tracker/"),
            (f"{api.url}/docs/", "/docs"),
        ):
            async with session.get(url, allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (307, expected)


async def test_without_a_key_only_health_is_answered_below_the_path_too(server, clock):
    async with serving(clock, server, root_path="/tracker", api_keys="secret-of-16-or-more") as api:
        statuses = {
            path: (await api.get(path)).status
            for path in ("/health/live", "/tracker/health/live", "/tracker/v1/ranks", "/tracker/tracker/health/live")
        }

    assert statuses == {
        "/health/live": 200,
        "/tracker/health/live": 200,
        "/tracker/v1/ranks": 401,
        "/tracker/tracker/health/live": 401,
    }


@pytest.mark.parametrize("path", ["tracker", "/a b", "/a//b", "/../x", "/a/..", "/a?b", "https://example.org/a"])
def test_what_is_no_path_is_refused(path: str):
    with pytest.raises(InvalidSettings, match=r"TRACKER_ROOT_PATH: .+ must be a path of letters"):
        Settings.load(root_path=path)


@pytest.mark.parametrize("path", ["/v1", "/latest/x", "/docs"])
def test_a_path_of_our_own_is_refused(path: str):
    with pytest.raises(
        InvalidSettings, match=r"TRACKER_ROOT_PATH: .+ must not begin with a path of our own: v1, latest,"
    ):
        Settings.load(root_path=path)


@pytest.mark.parametrize("path, read", [("/tracker/", "/tracker"), ("/", None), ("/a.b/c~d-e_f", "/a.b/c~d-e_f")])
def test_a_slash_at_the_end_of_a_path_is_left_out(path: str, read: str | None):
    assert Settings.load(root_path=path).root_path == read


NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/cert.pem;
        ssl_certificate_key {folder}/key.pem;
        location /team/tracker/ {{
            proxy_pass {upstream};
            proxy_set_header Host $http_host;
        }}
    }}
}}
"""


async def until_it_listens(port: int, process: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(60):
        while process.poll() is None:
            try:
                _, opened = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                opened.close()
                return
    raise AssertionError("nginx ended")


@pytest.mark.parametrize("kept", ["", "/"], ids=["nginx leaves the path", "nginx takes it away"])
async def test_behind_nginx_with_tls_and_a_path_everything_is_found_and_the_scheme_stays(
    below: Api, tmp_path: Path, kept: str
):
    nginx, openssl = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin"), shutil.which("openssl")
    if nginx is None or openssl is None or missing.is_hidden("nginx"):
        missing.skip("nginx")
    port = free_port()
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject, *files],
        check=True,
        capture_output=True,
    )
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(NGINX.format(folder=tmp_path, port=port, upstream=below.url + kept))
    with subprocess.Popen([nginx, "-c", configuration, "-e", "stderr"], stderr=subprocess.DEVNULL) as process:
        try:
            await until_it_listens(port, process)
            trusted = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
            base = f"https://127.0.0.1:{port}/team/tracker"
            async with ClientSession(timeout=ClientTimeout(total=20)) as session:

                async def ask(url: str) -> tuple[int, str, str]:
                    async with session.get(url, ssl=trusted) as answer:
                        return answer.status, str(answer.url), await answer.text()

                answers = {
                    path: await ask(base + path)
                    for path in ("/", "/docs/", "/page/main.js", "/docs/parts/swagger-ui.css", "/health/ready")
                }
                _, _, older = await ask(f"{base}/v1/metrics/KRAKEN:BTCUSD/history?from={NOON - 2 * DAY}")
        finally:
            process.terminate()

    assert {path: status for path, (status, _, _) in answers.items()} == dict.fromkeys(answers, 200)
    assert answers["/docs/"][1] == f"{base}/docs"
    assert '"older":"/team/tracker/v1/' in older
