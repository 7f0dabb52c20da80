"""
Which servers are asked for each source. A source with several is one for each, the first under its own name, others
numbered: `kraken`, `kraken-2`. So the one serves where the other fails, as two sources do that have the same metrics.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import AnyHttpUrl, BeforeValidator, TypeAdapter
from pydantic_settings import NoDecode

from worker.latest.settings import PREFIX, split_words
from worker.settings.ccxt_names import is_ccxt, split_source

_NUMBERED = re.compile(r"(.+)-[1-9][0-9]*")
_NAMED = re.compile(r"([a-z0-9]+)=(\S+)")
_URL: TypeAdapter[AnyHttpUrl] = TypeAdapter(AnyHttpUrl)


def _split_addresses(value: object) -> object:
    """Return the addresses of a text, or of one address, as a list without repetitions."""
    found = (value,) if isinstance(value, AnyHttpUrl) else split_words(value)
    return tuple(dict.fromkeys(found)) if isinstance(found, tuple) else found


UrlList = Annotated[tuple[AnyHttpUrl, ...], NoDecode, BeforeValidator(_split_addresses)]
"""Addresses of servers that give the same, commas between."""


class AskedServer(NamedTuple):
    """One server that a source asks."""

    source: str
    """What the source is called that asks it: `kraken`, `kraken-2`."""
    kind: str
    """As in `TRACKER_SOURCES`."""
    address: str | None
    """`None` where nobody is asked, or where ccxt knows the address."""


def list_servers(settings: Any) -> list[AskedServer]:
    """Return the servers of all sources, in the order in which they serve."""
    moved = parse_named_addresses(settings.ccxt_urls)
    found: list[AskedServer] = []
    for kind in settings.sources:
        if is_ccxt(kind):
            addresses: Sequence[str | None] = moved.get(split_source(kind), ())
        else:
            addresses = _list_addresses(getattr(settings, f"{kind}_url", None))
        found += [
            AskedServer(name_server(kind, place), kind, address) for place, address in enumerate(addresses or [None], 1)
        ]
    return found


def _list_addresses(value: Any) -> list[str]:
    """Return the addresses of a setting: several, one, or none."""
    if value is None:
        return []
    return [str(address) for address in (value if isinstance(value, tuple) else [value])]


def parse_named_addresses(entries: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """Return the addresses of `id=address` by their id. Raises `ValueError`."""
    found: dict[str, list[str]] = {}
    # There may be a password in an entry: it is not shown.
    for place, entry in enumerate(entries, 1):
        parts = _NAMED.fullmatch(entry)
        if parts is None:
            raise ValueError(f"entry {place} must be what ccxt calls an exchange, and an address: kraken=https://...")
        try:
            address = str(_URL.validate_python(parts[2]))
        except ValueError as error:
            raise ValueError(f"the address of entry {place} must be http://... or https://...") from error
        found.setdefault(parts[1], []).append(address)
    return found


def name_server(kind: str, place: int) -> str:
    """Return what the source is called that asks the server at a place, from 1 on."""
    return kind if place == 1 else f"{kind}-{place}"


def find_kind(source: str) -> str:
    """Return what `TRACKER_SOURCES` calls a source: `kraken` of `kraken-2`."""
    found = _NUMBERED.fullmatch(source)
    return found[1] if found else source


def name_address_setting(source: str) -> str:
    """Return the setting in which the address of a source is."""
    kind = find_kind(source)
    return f"{PREFIX}CCXT_URLS" if is_ccxt(kind) else f"{PREFIX}{kind.upper()}_URL"
