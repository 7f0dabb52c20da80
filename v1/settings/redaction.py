"""
The one redaction of texts that come from outside or go there: what a provider echoes, what a driver says of its
address, what a traceback quotes. A process states its secrets once, at its start; here they become ***.
"""

import json
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

HIDDEN = "***"
SHORTEST = 4
"""Characters; what is shorter stands in too many words to be looked for. In a URL it is hidden nevertheless."""
SHORTEST_PART = 8
"""Characters of a part of a secret URL that is a secret by itself."""

# Greedy: a password may hold an @, and where it holds a / the URL is refused and shown with what is wrong.
_USERINFO = re.compile(r"(://[^\s:/@'\"]*):[^\s'\"]*@")
_NAMES = re.compile(r"pass|secret|token|key|pwd", re.IGNORECASE)
_BETWEEN_PARTS = re.compile(r"[/:@?&=,\s]+")


class Redaction:
    """Hides what it was told to hide."""

    def __init__(self) -> None:
        self._secrets: frozenset[str] = frozenset()
        self._addresses: frozenset[str] = frozenset()
        self._secret = self._private = _make_pattern(())

    def remember(self, secrets: Iterable[str], addresses: Iterable[str] = ()) -> None:
        """Hide `secrets` from now on, and `addresses` from strangers."""
        self._secrets |= {form for secret in secrets for form in _list_forms(secret) if len(form) >= SHORTEST}
        self._addresses |= {form for address in addresses for form in _list_forms(address) if form}
        self._secret, self._private = (
            _make_pattern(self._secrets),
            _make_pattern(self._secrets | self._addresses, r"(?<!\w)"),
        )

    def __call__(self, text: str) -> str:
        """Return `text` without secrets, for our own people: log lines, records of deliveries."""
        return hide_passwords(self._secret.sub(HIDDEN, text))

    def hide_from_strangers(self, text: str) -> str:
        """Return `text` without secrets, and without the addresses of our servers."""
        return hide_passwords(self._private.sub(HIDDEN, self._secret.sub(HIDDEN, text)))


def hide_passwords(text: str) -> str:
    """Return `text` with the password of every URL in it hidden."""
    return _USERINFO.sub(rf"\1:{HIDDEN}@", text)


def find_secrets(url: str) -> set[str]:
    """Return what of a URL is secret: its password, and what its query calls a password, key or token."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return set()
    password = parts.netloc.rpartition("@")[0].partition(":")[2]
    return {password} | {value for name, value in parse_qsl(parts.query) if _NAMES.search(name)}


def find_secret_parts(url: str) -> set[str]:
    """Return a URL that is secret as a whole, and what of it is a secret by itself. Names of hosts are not."""
    rest = url.partition("://")[2]
    return {url, rest} | {part for part in _BETWEEN_PARTS.split(rest) if len(part) >= SHORTEST_PART and "." not in part}


def find_addresses(url: str) -> set[str]:
    """Return where a URL leads: its host, with and without the port, and the path of a socket or a file."""
    try:
        parts = urlsplit(url)
        if "," in parts.netloc:
            nodes = parts.netloc.rpartition("@")[2].split(",")
            return set().union(*(find_addresses(f"{parts.scheme}://{node}") for node in nodes))
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return set()
    found = {host, f"{host}:{port}"} if host else {parts.path, parts.path.removeprefix("/")}
    return found | ({parts.path} if parts.scheme.startswith(("unix", "sqlite")) else set())


def _list_forms(text: str) -> set[str]:
    """Return how a text may be written where it is quoted: as it is, for URLs, in JSON, in Python."""
    plain = {text, text.strip(), unquote(text)}
    written = {form for each in plain for form in (each, quote(each, safe=""), quote(each), quote_plus(each))}
    return written | {form for each in plain for form in (json.dumps(each)[1:-1], repr(each)[1:-1])}


def _make_pattern(texts: Iterable[str], before: str = "") -> re.Pattern[str]:
    # The longest first: a secret may begin as another does. Of nothing, what never matches.
    written = "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True))
    return re.compile(f"{before}(?:{written})" if written else r"(?!)")


redact = Redaction()
"""The process's own, as its log is."""
