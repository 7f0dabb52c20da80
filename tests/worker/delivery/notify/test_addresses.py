"""Which addresses are on the internet, however they are written."""

import socket

import pytest

from worker.delivery.notify.addresses import PrivateAddress, PublicResolver, check_literal, is_public


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_addresses_of_the_internet(address: str):
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.3.4",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd12::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",
    ],
)
def test_addresses_that_are_not(address: str):
    assert not is_public(address)


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "017700000001"])
async def test_a_name_that_leads_inside_is_refused_however_it_is_spelt(host: str):
    with pytest.raises(PrivateAddress, match=f"{host} is .*, which is not on the internet"):
        await PublicResolver().resolve(host, 80)


async def test_what_was_checked_is_what_is_connected_to():
    (found,) = [each for each in await PublicResolver().resolve("1.1.1.1", 443) if each["family"] == socket.AF_INET]

    assert (found["host"], found["port"], found["hostname"]) == ("1.1.1.1", 443, "1.1.1.1")


def test_an_address_needs_no_resolving_to_be_refused():
    check_literal("hooks.example.org")
    check_literal("1.1.1.1")
    with pytest.raises(PrivateAddress, match=r"^10\.0\.0\.1 is not on the internet$"):
        check_literal("10.0.0.1")
    with pytest.raises(PrivateAddress):
        check_literal("::1")
