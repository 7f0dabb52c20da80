"""TLS by files: what a client is answered over it, what is refused, how long a handshake may take, and a new certificate."""

import asyncio
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.certificates import CertificateFiles, make_certificate
from v1.server import ConnectionLimits, serve
from v1.server.configuration import make_server_config
from v1.server.sockets import listen
from v1.server.tls import TlsFiles, UnusableFiles
from v1.settings import InvalidSettings, Settings
from worker.settings import WorkerSettings

ROOT = Path(__file__).resolve().parents[3]
LIMITS = ConnectionLimits(connections=6, client_connections=6, idle=30, request=30, stalled=30)
SECONDS = 60
GET = b"GET /it HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = os.urandom(5_000_000)


class TlsServer(NamedTuple):
    port: int
    scopes: list[dict[str, Any]]
    go_on: asyncio.Event
    stop: asyncio.Event


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def other_files(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return make_certificate(tmp_path_factory.mktemp("other"))


@asynccontextmanager
async def serving_tls(tls: TlsFiles, limits: ConnectionLimits = LIMITS) -> AsyncIterator[TlsServer]:
    """Serve an application that answers with what was sent or the path; `/slow` waits, `/large` is long."""
    listener = listen("127.0.0.1:0")
    served = TlsServer(listener.getsockname()[1], [], asyncio.Event(), asyncio.Event())

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            for each in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{each}.complete"})
            return
        served.scopes.append(scope)
        if scope["path"] == "/slow":
            await served.go_on.wait()
        body = LARGE if scope["path"] == "/large" else (await receive())["body"] or scope["path"].encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    running = asyncio.create_task(serve(app, listener, make_server_config(), limits, served.stop.wait, tls=tls))
    try:
        yield served
    finally:
        served.stop.set()
        await asyncio.wait_for(running, SECONDS)


async def connect(
    port: int, trusted: CertificateFiles, *protocols: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect as a client that trusts one certificate alone."""
    context = ssl.create_default_context(cafile=trusted.certificate)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return await asyncio.open_connection("127.0.0.1", port, ssl=context, limit=2**26)


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    """Return the body of the next answer."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS)
    length = next(int(line.split()[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    return await asyncio.wait_for(reader.readexactly(length), SECONDS)


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(SECONDS):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_a_client_that_trusts_the_certificate_is_answered_by_http1(files: CertificateFiles):
    async with serving_tls(TlsFiles(*files)) as served:
        reader, writer = await connect(served.port, files, "h2", "http/1.1")
        document = b"x" * 60_000
        writer.write(GET + b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n" + document)
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

        answers = [await read_answer(reader) for _ in range(3)]

        assert answers == [b"/it", document, LARGE]
        assert await reader.read() == b""
        assert {scope["scheme"] for scope in served.scopes} == {"https"}
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        writer.close()


async def test_who_speaks_http_without_tls_is_told_so(files: CertificateFiles):
    async with serving_tls(TlsFiles(*files)) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(GET)
        answer = await asyncio.wait_for(reader.read(), SECONDS)
        writer.close()

    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b'"detail":"TLS is spoken at this port; ask by https://"' in answer
    assert served.scopes == []


async def test_what_is_no_tls_is_closed_and_the_next_client_is_answered(files: CertificateFiles):
    async with serving_tls(TlsFiles(*files)) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"\x16\x03\x01\xff\xff" + b"\0" * 100)
        await asyncio.wait_for(reader.read(), SECONDS)
        writer.close()
        reader, writer = await connect(served.port, files)
        writer.write(GET)

        assert await read_answer(reader) == b"/it"
        writer.close()


async def test_a_handshake_has_the_time_of_a_request(files: CertificateFiles):
    async with serving_tls(TlsFiles(*files), LIMITS._replace(request=0.2)) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"\x16\x03\x01\x02\x00\x01")

        assert await asyncio.wait_for(reader.read(), SECONDS) == b""
        writer.close()


async def test_a_request_that_does_not_arrive_is_answered_so_over_tls_too(files: CertificateFiles):
    async with serving_tls(TlsFiles(*files), LIMITS._replace(request=0.5)) as served:
        reader, writer = await connect(served.port, files)
        writer.write(b"GET / HTTP/1.1\r\nHost:")

        assert (await asyncio.wait_for(reader.read(), SECONDS)).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_connections_without_a_handshake_are_counted_and_make_room(files: CertificateFiles):
    async with serving_tls(TlsFiles(*files)) as served:
        silent = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(20)]
        reader, writer = await connect(served.port, files)
        writer.write(GET)

        assert await read_answer(reader) == b"/it"
        assert await asyncio.wait_for(silent[0][0].read(), SECONDS) == b""
        for _, each in [*silent, (reader, writer)]:
            each.close()


async def test_where_all_are_being_answered_the_next_is_closed_without_a_handshake(files: CertificateFiles):
    async with serving_tls(TlsFiles(*files)) as served:
        busy = [await connect(served.port, files) for _ in range(6)]
        for _, writer in busy:
            writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: len(served.scopes) == 6)

        with pytest.raises(OSError):  # each loop has its own word for it
            await connect(served.port, files)

        served.go_on.set()
        assert [await read_answer(reader) for reader, _ in busy] == [b"/slow"] * 6
        for _, writer in busy:
            writer.close()


async def test_told_to_stop_an_answer_over_tls_is_finished(files: CertificateFiles):
    async with serving_tls(TlsFiles(*files)) as served:
        reader, writer = await connect(served.port, files)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: served.scopes)
        served.stop.set()
        await asyncio.sleep(0)
        served.go_on.set()

        assert await read_answer(reader) == b"/slow"
        assert await asyncio.wait_for(reader.read(), SECONDS) == b""
        writer.close()


async def test_a_new_certificate_is_shown_to_new_connections_and_the_old_ones_go_on(
    files: CertificateFiles, other_files: CertificateFiles, tmp_path: Path
):
    own = CertificateFiles(tmp_path / "cert.pem", tmp_path / "key.pem")
    copy(files, own)
    tls = TlsFiles(*own)
    async with serving_tls(tls) as served:
        reader, writer = await connect(served.port, files)
        copy(other_files, own)
        tls.reload()

        late_reader, late_writer = await connect(served.port, other_files)
        for each in (writer, late_writer):
            each.write(GET)

        assert [await read_answer(each) for each in (reader, late_reader)] == [b"/it", b"/it"]
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(served.port, files)
        for each in (writer, late_writer):
            each.close()


async def test_a_certificate_that_cannot_be_used_leaves_the_last_one_in_use(
    files: CertificateFiles, other_files: CertificateFiles, tmp_path: Path
):
    own = CertificateFiles(tmp_path / "cert.pem", tmp_path / "key.pem")
    copy(files, own)
    tls = TlsFiles(*own)
    async with serving_tls(tls) as served:
        own.key.write_bytes(other_files.key.read_bytes())
        with pytest.raises(UnusableFiles, match="is not the key"):
            tls.reload()
        reader, writer = await connect(served.port, files)
        writer.write(GET)

        assert await read_answer(reader) == b"/it"
        writer.close()


def copy(source: CertificateFiles, target: CertificateFiles) -> None:
    for each, to in zip(source, target, strict=True):
        to.write_bytes(each.read_bytes())


# ---- files and settings ------------------------------------------------------------------------------------


def test_a_certificate_or_key_that_cannot_be_used_is_named_with_the_reason(
    files: CertificateFiles, other_files: CertificateFiles, tmp_path: Path
):
    nothing, folder, words = tmp_path / "nothing", tmp_path, tmp_path / "words"
    words.write_bytes(b"\x30\x82\xff")
    broken = tmp_path / "broken"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    locked = tmp_path / "locked"
    command = ["openssl", "pkey", "-in", files.key, "-aes128", "-passout", "pass:secret", "-out", locked]
    subprocess.run(command, check=True, capture_output=True)

    assert {
        each: explain(*each)
        for each in (
            (nothing, files.key),
            (files.certificate, nothing),
            (folder, files.key),
            (words, files.key),
            (files.certificate, words),
            (files.certificate, other_files.key),
            (files.certificate, locked),
        )
    } == {
        (nothing, files.key): f"TRACKER_TLS_CERT: {nothing} cannot be read: No such file or directory",
        (files.certificate, nothing): f"TRACKER_TLS_KEY: {nothing} cannot be read: No such file or directory",
        (folder, files.key): f"TRACKER_TLS_CERT: {folder} cannot be read: Is a directory",
        (words, files.key): f"TRACKER_TLS_CERT: {words} is not PEM: "
        "there is no line with '-----BEGIN CERTIFICATE-----' in it",
        (files.certificate, words): f"TRACKER_TLS_KEY: {words} is not PEM: "
        "there is no line with 'PRIVATE KEY-----' in it",
        (files.certificate, other_files.key): f"TRACKER_TLS_KEY: {other_files.key} is not the key "
        f"of the certificate in {files.certificate}",
        (files.certificate, locked): "TRACKER_TLS_KEY: the key is encrypted; "
        "write it without a password: openssl pkey -in KEY -out NEW",
    }
    assert explain(broken, files.key).startswith(f"TRACKER_TLS_CERT, TRACKER_TLS_KEY: {broken} and {files.key} cannot")


def explain(certificate: Path, key: Path) -> str:
    with pytest.raises(UnusableFiles) as refused:
        TlsFiles(certificate, key)
    return str(refused.value)


@pytest.mark.parametrize("given, missing", [("tls_cert", "TLS_KEY"), ("tls_key", "TLS_CERT")])
def test_a_certificate_and_its_key_are_set_together(given: str, missing: str):
    with pytest.raises(InvalidSettings, match=f"TRACKER_{missing}: is not set; HTTPS takes both"):
        Settings.load(**{given: "some.pem"})


def test_links_in_messages_say_https_where_that_is_spoken(tmp_path: Path):
    settings = WorkerSettings.load(tls_cert=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem", bind="127.0.0.1:1")

    assert settings.public_page == "https://127.0.0.1:1"


# ---- the process -------------------------------------------------------------------------------------------


async def test_the_api_greets_with_https_in_every_process_and_reads_a_new_certificate_when_told(
    files: CertificateFiles, other_files: CertificateFiles, tmp_path: Path
):
    own = CertificateFiles(tmp_path / "cert.pem", tmp_path / "key.pem")
    copy(files, own)
    given = {"tls_cert": own.certificate, "tls_key": own.key, "bind": "127.0.0.1:0", "api_processes": 2}
    with running_api(tmp_path, redis_url=f"unix://{tmp_path}/none", **given) as (process, log):
        port = int(process.stdout.readline().split("https://127.0.0.1:")[1].rstrip("/\n"))
        copy(other_files, own)
        process.send_signal(signal.SIGHUP)
        await until(lambda: log.read_text().count("the certificate was read again") == 2)
        reader, writer = await connect(port, other_files)
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")

        assert await read_answer(reader) == b'{"status":"live"}'
        writer.close()
        process.terminate()
        assert process.wait(SECONDS) == 0
    assert sorted(line.rpartition("process=")[2] for line in log.read_text().splitlines() if " stopped " in line) == [
        "1",
        "2",
    ]


def test_the_api_does_not_start_with_a_key_that_is_missing(files: CertificateFiles, tmp_path: Path):
    with running_api(tmp_path, tls_cert=files.certificate, tls_key=tmp_path / "none") as (process, log):
        assert process.wait(SECONDS) == 2
    assert log.read_text() == f"TRACKER_TLS_KEY: {tmp_path}/none cannot be read: No such file or directory\n"


@contextmanager
def running_api(folder: Path, **settings: object) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Run the API as a person would start it, and return its process and its log."""
    theirs = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    ours = {f"TRACKER_{name.upper()}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "v1"]
    log = folder / "log"
    with (
        log.open("wb") as lines,
        subprocess.Popen(
            command,
            cwd=folder,
            env=theirs | ours | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=lines,
            text=True,
        ) as process,
    ):
        try:
            yield process, log
        finally:
            process.kill()
