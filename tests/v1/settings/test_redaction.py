"""No secret of ours in a text, however it is written there."""

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v1.settings.redaction import Redaction, find_addresses, find_secret_parts, find_secrets, hide_passwords

SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Z"]), min_size=6, max_size=40).filter(
    lambda secret: len(set(secret) - {"*"}) > 3
)


def knowing(*secrets, addresses=()):
    redact = Redaction()
    redact.remember(secrets, addresses)
    return redact


@given(SECRETS, st.sampled_from(["", " ", '"', "&", "/"]))
def test_a_secret_is_hidden_however_it_is_quoted(secret, around):
    redact = knowing(secret)

    for form in (secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1]):
        assert redact(f"x{around}{form}{around}y") == f"x{around}***{around}y"


def test_of_two_secrets_of_one_beginning_both_are_hidden_whole():
    assert knowing("hunter", "hunter22")("hunter22 and hunter") == "*** and ***"


@pytest.mark.parametrize(
    "url, shown",
    [
        ("redis://:p@ss@example.org:6379/0", "redis://:***@example.org:6379/0"),
        ("postgresql://me:a@b@c/d@h/base", "postgresql://me:***@h/base"),
        ("http://example.org/x", "http://example.org/x"),
        ("mail to me@example.org: no", "mail to me@example.org: no"),
    ],
)
def test_the_password_of_a_url_is_hidden_though_nobody_named_it(url, shown):
    assert hide_passwords(url) == Redaction()(url) == shown


def test_the_secrets_of_a_url_are_its_password_and_what_its_query_calls_one():
    assert find_secrets("postgresql://me:p@ss@h/base?ssl=require&password=other") == {"p@ss", "other"}


def test_a_secret_url_is_hidden_in_parts_but_the_names_of_hosts_are_not():
    parts = find_secret_parts("https://hooks.example.org/services/T0123456/abcdefghij")

    assert {"T0123456", "abcdefghij", "services"} < parts
    assert "hooks.example.org" not in parts


@pytest.mark.parametrize(
    "url, said",
    [
        ("redis://cache.internal:6379/0", "Error 111 connecting to cache.internal:6379. Refused."),
        ("unix:///run/redis.sock", "Error 2 connecting to unix socket: /run/redis.sock. Refused."),
        ("postgresql+asyncpg://me:pw@db.internal/base", "cannot connect to ('db.internal', 5432)"),
    ],
)
def test_strangers_are_not_told_where_our_servers_are_and_our_own_people_are(url, said):
    redact = knowing(addresses=find_addresses(url))

    assert redact(said) == said
    assert "internal" not in redact.hide_from_strangers(said)
    assert "redis.sock" not in redact.hide_from_strangers(said)
    assert "***" in redact.hide_from_strangers(said)
