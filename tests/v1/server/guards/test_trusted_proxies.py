"""Whom a proxy speaks for, and who may speak for others."""

import asyncio

import pytest

from tests.support.serving import raw, serving
from v1.server.addresses import is_in_networks, parse_network, parse_node
from v1.server.guards.trusted_proxies import ForwardedHop, ForwardedOrigin, TrustedProxies, parse_forwarded

PROXY = "10.0.0.1"
CLIENT = "203.0.113.7"


def find(standard: str = "", addresses: str = "", scheme: str = "", host: str = "", peer: str = PROXY):
    proxies = TrustedProxies(None, [parse_network(each) for each in ("10.0.0.0/8", "fd00::/8", "127.0.0.1")])
    names = (b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
    values = (standard, addresses, scheme, host)
    told = tuple((name, value.encode()) for name, value in zip(names, values, strict=True) if value)
    return proxies.find_origin(peer, told)


@pytest.mark.parametrize(
    "header, client",
    [
        pytest.param(CLIENT, CLIENT, id="one proxy"),
        pytest.param(f"{CLIENT}, 10.0.0.2", CLIENT, id="two proxies"),
        pytest.param(f"1.1.1.1, {CLIENT}", CLIENT, id="an invented address before it"),
        pytest.param(f"10.0.0.9, 1.1.1.1, {CLIENT}, 10.2.0.1", CLIENT, id="a chain with an invented beginning"),
        pytest.param("10.0.0.3, 10.0.0.2", "10.0.0.3", id="proxies alone: the first of them"),
        pytest.param(f"{CLIENT}:4711", CLIENT, id="with its port"),
        pytest.param("2001:db8::7", "2001:db8::7", id="IPv6"),
        pytest.param("[2001:db8::7]:443, fd00::1", "2001:db8::7", id="IPv6 with its port, through a proxy of IPv6"),
        pytest.param("[2001:db8::7]", "2001:db8::7", id="IPv6 in brackets"),
        pytest.param("2001:DB8:0::7", "2001:db8::7", id="IPv6 written otherwise"),
        pytest.param(f"::ffff:{CLIENT}", CLIENT, id="IPv4 in IPv6"),
        pytest.param(f"  {CLIENT} ,10.0.0.2", CLIENT, id="blanks"),
        pytest.param(f"{CLIENT}, unknown", PROXY, id="nobody can say who stands before what is unknown"),
        pytest.param(f"{CLIENT}, unknown, 10.0.0.2", "10.0.0.2", id="the same further back"),
        pytest.param("999.1.1.1", PROXY, id="no address"),
        pytest.param("'; DROP", PROXY, id="nonsense"),
        pytest.param("", PROXY, id="nothing"),
    ],
)
def test_the_client_is_the_last_address_that_is_no_proxy_of_ours(header, client):
    assert find(addresses=header).client == client


@pytest.mark.parametrize(
    "header, origin",
    [
        pytest.param(f"for={CLIENT}", (CLIENT, "", ""), id="an address"),
        pytest.param(f"For={CLIENT};Proto=HTTPS;Host=example.org", (CLIENT, "https", "example.org"), id="any case"),
        pytest.param('for="[2001:db8::7]:4711"', ("2001:db8::7", "", ""), id="IPv6 in quotes"),
        pytest.param(f'for="{CLIENT}:80";by=10.0.0.1', (CLIENT, "", ""), id="a port in quotes"),
        pytest.param(f'for="{CLIENT[:3]}\\{CLIENT[3:]}"', (CLIENT, "", ""), id="an escaped sign"),
        pytest.param(f"for=1.1.1.1;host=evil.example, for={CLIENT}", (CLIENT, "", ""), id="an invented beginning"),
        pytest.param(
            f'for={CLIENT};proto=https;host="example.org:444", for=10.0.0.2;proto=http;host=inner',
            (CLIENT, "https", "example.org:444"),
            id="what the outermost proxy of ours was asked for",
        ),
        pytest.param("for=_hidden;proto=https", (PROXY, "https", ""), id="a hidden client"),
        pytest.param(f"for={CLIENT}, for=unknown, for=10.0.0.2", ("10.0.0.2", "", ""), id="an unknown one between"),
        pytest.param(f"for={CLIENT};proto=gopher;host=a b", (PROXY, "", ""), id="what cannot be read"),
        pytest.param(f'for={CLIENT};proto=gopher;host="a b"', (CLIENT, "", ""), id="no scheme and no host"),
        pytest.param(f'for="{CLIENT}', (PROXY, "", ""), id="an open quote"),
        pytest.param(f"for={CLIENT}; , ;", (CLIENT, "", ""), id="separators at the end"),
    ],
)
def test_the_standard_header_is_read_with_all_its_parts(header, origin):
    assert find(header) == ForwardedOrigin(*origin)


def test_scheme_and_host_are_those_of_the_last_proxy():
    assert find(addresses=CLIENT, scheme="ftp, https", host="evil.example, example.org:8443") == ForwardedOrigin(
        CLIENT, "https", "example.org:8443"
    )
    assert find(scheme="https") == ForwardedOrigin(PROXY, "https", "")


@pytest.mark.parametrize(
    "standard, addresses, scheme, origin",
    [
        pytest.param("for=1.1.1.1", CLIENT, "", (PROXY, "", ""), id="another client: neither is believed"),
        pytest.param(f"for={CLIENT}", CLIENT, "", (CLIENT, "", ""), id="the same client"),
        pytest.param(f"for={CLIENT};proto=http", CLIENT, "https", (CLIENT, "", ""), id="another scheme"),
        pytest.param("host=evil.example", CLIENT, "https", (CLIENT, "https", ""), id="one that names nobody"),
        pytest.param(f"for={CLIENT};proto=https", "", "http", (CLIENT, "https", ""), id="the other names nobody"),
        pytest.param("for=10.0.0.1", CLIENT, "", (CLIENT, "", ""), id="one that names the proxy itself"),
    ],
)
def test_what_two_kinds_of_headers_do_not_agree_on_is_not_believed(standard, addresses, scheme, origin):
    assert find(standard, addresses, scheme) == ForwardedOrigin(*origin)


def test_a_quoted_comma_does_not_end_a_hop():
    assert parse_forwarded('for="a,b;c";host=x') == [ForwardedHop("a,b;c", "", "x")]


def test_addresses_are_found_in_networks_however_they_are_written():
    networks = [parse_network(each) for each in ("192.0.2.0/24", "2001:db8::/32", "fe80::/10")]

    assert is_in_networks("192.0.2.9", networks)
    assert is_in_networks("::ffff:192.0.2.9", networks)
    assert is_in_networks("fe80::1%eth0", networks)
    assert not is_in_networks("192.0.3.9", networks)
    assert not is_in_networks("", networks)
    assert parse_node("1.2.3") is None


ASK = b"GET /v1/whoami HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        b"X-Forwarded-For: 203.0.113.7",
        b"Forwarded: for=203.0.113.7",
        b"X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 203.0.113.7",
    ],
)
async def test_the_client_of_a_trusted_proxy_is_the_one_who_asks(server, clock, headers):
    async with serving(clock, server, trusted_proxies="127.0.0.0/8") as api:
        told = await raw(api, ASK + headers)

    assert told.json["address"] == CLIENT


@pytest.mark.parametrize("trusted", ["", "203.0.113.0/24"])
async def test_of_anybody_else_these_headers_are_ignored(server, clock, trusted):
    async with serving(clock, server, trusted_proxies=trusted) as api:
        told = await raw(
            api, ASK + b"X-Forwarded-For: 203.0.113.7\r\nForwarded: for=203.0.113.7\r\nX-Forwarded-Host: evil.example"
        )

    assert (told.status, told.json["address"]) == (200, "127.0.0.1")


async def test_the_host_that_a_proxy_was_asked_for_must_be_ours(server, clock):
    names = {"trusted_proxies": "127.0.0.1", "hosts": "tracker.example.org"}
    async with serving(clock, server, **names) as api:
        statuses = [
            (await raw(api, ASK + b"X-Forwarded-Host: " + host)).status
            for host in (b"tracker.example.org", b"tracker.example.org:8443", b"evil.example")
        ]

    assert statuses == [200, 200, 421]


async def test_a_trusted_proxy_may_hold_more_connections_than_a_client(server, clock):
    async with serving(clock, server, client_connections=2, trusted_proxies="127.0.0.1") as api:
        port = int(api.url.rpartition(":")[2])
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        for _, writer in opened:
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answers = [await reader.readline() for reader, _ in opened]
        for _, writer in opened:
            writer.close()

    assert answers == [b"HTTP/1.1 200 OK\r\n"] * 5
