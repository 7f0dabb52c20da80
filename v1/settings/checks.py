"""
What the text of a setting must look like. Each function returns the value to use, or raises `ValueError` that says what
is accepted. No message shows a secret: a wrong address is described by its wrong part alone.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlsplit

SHORTEST_KEY = 16
MOST_PORTS = 65535
AUTOMATIC = "auto"
NO_LIMIT = "off"
QUOTES = "'\""
BYTE_ORDER_MARK = "\ufeff"

_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]/@\s]+):[0-9]{1,5}")
_LIMIT = re.compile(r"[1-9][0-9]{0,11}/(second|minute|hour|day)")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOGIN = frozenset({"username", "password"})
_REDIS_OPTIONS = {
    "redis": _LOGIN | {"db"},
    "unix": _LOGIN | {"db"},
    "rediss": _LOGIN
    | {"db", "ssl_ca_certs", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"},
}
_REDIS_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
_REDIS_WORDS = {"ssl_cert_reqs": ("none", "optional", "required"), "ssl_check_hostname": ("yes", "no", "true", "false")}
_POSTGRESQL_OPTIONS = frozenset({
    "host", "passfile", "password", "port", "prepared_statement_cache_size", "ssl", "target_session_attrs", "user",
})  # fmt: skip
_POSTGRESQL_SSL = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def strip_text(text: str) -> str:
    """Return a text without the blanks, line ends and byte order mark around it. Quotes around it are refused."""
    text = text.strip(BYTE_ORDER_MARK).strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in QUOTES:
        raise ValueError("there are quotes around it; write it without them")
    return text


def split_words(value: object) -> object:
    """Split a text at its commas and line ends; anything else stays as it is."""
    if not isinstance(value, str):
        return value
    return tuple(word.strip() for word in re.split(r"[,\r\n]", strip_text(value)) if word.strip())


def check_key(text: str) -> str:
    """Check a key that is sent to a provider: exactly as it is written, in a header."""
    if not text.isascii() or not text.isprintable() or any(sign in f" {QUOTES}" for sign in text):
        raise ValueError("a blank, a line end, a quote or a sign beyond ASCII is in it; write the key alone")
    return text


def check_api_key(text: str) -> str:
    """Check a key that callers of the API must send."""
    if not text.isprintable() or any(sign in f" {QUOTES}" for sign in text):
        raise ValueError("a blank or a quote is in one of them; write the keys alone, with commas between")
    if len(text) < SHORTEST_KEY:
        raise ValueError(f"each must have {SHORTEST_KEY} characters or more; `openssl rand -hex 16` makes one")
    return text


def check_usage_limit(text: str) -> str:
    """Check how much of something may be used in a time."""
    text = text.lower().replace(" ", "")
    if text not in (AUTOMATIC, NO_LIMIT) and not _LIMIT.fullmatch(text):
        raise ValueError("must be a number and second, minute, hour or day, as 600/minute; or off, or auto")
    return text


def check_network(text: str) -> str:
    """Check an address or a network of addresses."""
    try:
        ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError(f"{text!r} is no address and no network: write 127.0.0.1, 10.0.0.0/8 or fd00::/8") from error
    return text


def check_host_and_port(text: str) -> str:
    if not _HOST_AND_PORT.fullmatch(text):
        raise ValueError("must be host:port, as 127.0.0.1:8000, example.org:8000 or [::1]:8000")
    if int(text.rpartition(":")[2]) > MOST_PORTS:
        raise ValueError(f"a port is at most {MOST_PORTS}")
    return text


def check_origin(text: str) -> str:
    """Check an origin, as browsers send it: scheme, host in small letters, and the port where it is not the usual one."""
    if text == "*":
        return text
    named = _origin_of(text if "://" in text else f"https://{text}")
    if named is None:
        raise ValueError(f"{text!r} is no origin: write https://example.org, http://localhost:3000, or * for all")
    if text.lower() != named:
        raise ValueError(f"{text!r} is no origin: write {named}")
    return named


def _origin_of(address: str) -> str | None:
    try:
        found = urlsplit(address)
        host, port = (found.hostname or "").encode("idna").decode(), found.port
    except ValueError:
        return None
    if found.scheme not in _DEFAULT_PORTS or not re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:.]*:[0-9a-f:.]*", host):
        return None
    host = f"[{host}]" if ":" in host else host
    return f"{found.scheme}://{host}" + ("" if port in (None, _DEFAULT_PORTS[found.scheme]) else f":{port}")


def check_redis_address(text: str) -> str:
    """Check what the client would take without a word, or fail of without a line of words."""
    address = urlsplit(text)
    options = _options(address, _REDIS_OPTIONS[address.scheme])
    if address.scheme == "unix":
        if not address.path.strip("/"):
            raise ValueError("a socket has a path: unix:///run/redis/redis.sock")
    elif not re.fullmatch(r"/?[0-9]*", address.path):
        raise ValueError(f"after the host comes the number of a database, and {address.path[1:]!r} is none")
    if not re.fullmatch(r"[0-9]+", options.get("db", "0")):
        raise ValueError(f"db={options['db']} is not the number of a database")
    _check_nodes(address, options)
    for name, accepted in _REDIS_WORDS.items():
        _require_one_of(options, name, accepted)
    for name in _REDIS_FILES:
        if name in options and not Path(options[name]).exists():
            raise ValueError(f"{name}: there is no {Path(options[name]).absolute()}")
    return text


def _check_nodes(address: SplitResult, options: Mapping[str, str]) -> None:
    """Check what an address of several nodes, which are a cluster, has besides them."""
    _, *others = address.netloc.split(",")
    if not others:
        return
    if any("@" in each for each in others):
        raise ValueError("name and password stand once, before the first node, and hold for all")
    number = options.get("db", address.path.strip("/") or "0")
    if int(number):
        raise ValueError(f"several nodes are a cluster, which has database 0 alone, and not {number}: leave it out")


def check_postgresql_address(text: str) -> str:
    """Check the parts of which the driver would say nothing that helps."""
    address = urlsplit(text)
    options = _options(address, _POSTGRESQL_OPTIONS, {"sslmode": "ssl"})
    # A password may have a slash or an @ in it, so the host is looked for from the right.
    place = text.partition("://")[2].partition("?")[0].rpartition("@")[2].partition("/")[0]
    port = re.sub(r"^\[[^\]]*\]", "", place).partition(":")[2]
    for given in (port, options.get("port", "")):
        if given and not (re.fullmatch(r"[0-9]{1,5}", given) and 0 < int(given) <= MOST_PORTS):
            raise ValueError(f"the port {given!r} is not a number from 1 to {MOST_PORTS}")
    _require_one_of(options, "ssl", _POSTGRESQL_SSL)
    size = options.get("prepared_statement_cache_size", "0")
    if not size.isdecimal():
        raise ValueError(f"prepared_statement_cache_size={size} is not a number")
    return text


def _options(address: SplitResult, accepted: frozenset[str], renamed: dict[str, str] | None = None) -> dict[str, str]:
    options = dict(parse_qsl(address.query, keep_blank_values=True))
    for name, value in options.items():
        if name not in accepted:
            meant = f"; write {renamed[name]}={value}" if renamed and name in renamed else ""
            raise ValueError(f"the option {name!r} is not accepted{meant}; accepted: {', '.join(sorted(accepted))}")
    return options


def _require_one_of(options: dict[str, str], name: str, accepted: tuple[str, ...]) -> None:
    if name in options and options[name] not in accepted:
        raise ValueError(f"{name}={options[name]} is not accepted; accepted: {', '.join(accepted)}")
