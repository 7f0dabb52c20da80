"""
TLS by files: the certificate that the server shows, and one connection's encryption.

The encryption does no input or output itself, so that a handshake is counted and timed as any other connection, and a
client that speaks HTTP without TLS can be told so.
"""

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..settings import PREFIX, InvalidSettings

PROTOCOLS = ("http/1.1",)
_READ = 64 * 1024
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"
_KEY = "PRIVATE KEY-----"


class UnusableFiles(InvalidSettings):
    """The certificate or its key cannot be used; the message names the setting, the file, and what is wrong with it."""


class TlsFiles:
    """The certificate and the key as they were when they were last read."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read both files, PEM, the certificate with those between it and its authority. Raises `UnusableFiles`."""
        self._certificate = certificate.absolute()
        self._key = key.absolute()
        self._context = _make_context(self._certificate, self._key)

    def reload(self) -> None:
        """
        Read the files again; connections that are open keep what they have.

        Raises `UnusableFiles`: then the last ones stay in use.
        """
        self._context = _make_context(self._certificate, self._key)

    def open_session(self) -> "TlsSession":
        return TlsSession(self._context)


class TlsSession:
    """The encryption of one connection."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.is_open = False
        """Whether the handshake is done."""
        self.is_over = False
        """Whether nothing will follow: the client has said so, or what it sent is no TLS."""
        self._has_finished = False

    def decrypt(self, data: bytes) -> bytes:
        """Return what a client's bytes mean so far; what is to be sent for it comes from `take_outgoing`."""
        self._incoming.write(data)
        parts: list[bytes] = []
        try:
            if not self.is_open:
                self._tls.do_handshake()
                self.is_open = True
            while part := self._tls.read(_READ):
                parts.append(part)
            self.is_over = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self.is_over = True
        return b"".join(parts)

    def encrypt(self, data: bytes | bytearray | memoryview) -> bytes:
        """Return the bytes to send; nothing where there was no handshake."""
        if not self.is_open:
            return self.take_outgoing()
        rest = memoryview(data)
        with suppress(ssl.SSLError):  # closed by the other side already
            while rest:
                rest = rest[self._tls.write(rest) :]
        return self.take_outgoing()

    def finish(self) -> bytes:
        """Return the bytes that tell the client that nothing follows; once."""
        if self.is_open and not self._has_finished:
            self._has_finished = True
            with suppress(ssl.SSLError):
                self._tls.unwrap()
        return self.take_outgoing()

    def take_outgoing(self) -> bytes:
        return self._outgoing.read()


class EncryptedTransport(asyncio.WriteTransport):
    """Writes to a connection through its encryption."""

    def __init__(self, below: asyncio.WriteTransport, tls: TlsSession) -> None:
        super().__init__()
        self._below = below
        self._tls = tls

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write encrypted; raises `RuntimeError` where the transport below does so."""
        self._below.write(self._tls.encrypt(data))

    def write_eof(self) -> None:
        self._below.write(self._tls.finish())
        self._below.write_eof()

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        with suppress(RuntimeError):  # of uvloop, where the connection is lost
            self._below.write(self._tls.finish())
        self._below.close()

    def abort(self) -> None:
        self._below.abort()

    def is_closing(self) -> bool:
        return self._below.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._below.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        return self._below.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._below.set_write_buffer_limits(high, low)


def is_plain_http(data: bytes) -> bool:
    """Return whether the first bytes of a connection are a method, where those of a handshake should be."""
    return data[:1].isalpha()


def _make_context(certificate: Path, key: Path) -> ssl.SSLContext:
    _check_file("TLS_CERT", certificate, _CERTIFICATE)
    _check_file("TLS_KEY", key, _KEY)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(list(PROTOCOLS))
    try:
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UnusableFiles(f"{PREFIX}TLS_KEY: {key} is not the key of the certificate in {certificate}") from error
        wrong = f"{PREFIX}TLS_CERT, {PREFIX}TLS_KEY: {certificate} and {key} cannot be used"
        raise UnusableFiles(f"{wrong}: {error.reason or 'what is in one of them is no certificate or key'}") from error
    return context


def _check_file(setting: str, path: Path, mark: str) -> None:
    try:
        text = path.read_text(encoding="latin-1")
    except OSError as error:
        raise UnusableFiles(f"{PREFIX}{setting}: {path} cannot be read: {error.strerror}") from error
    if mark not in text:
        raise UnusableFiles(f"{PREFIX}{setting}: {path} is not PEM: there is no line with {mark!r} in it")


def _refuse_password() -> str:
    raise UnusableFiles(
        f"{PREFIX}TLS_KEY: the key is encrypted; write it without a password: openssl pkey -in KEY -out NEW"
    )
