"""How a request is named in the log, and what the log of requests says and keeps to itself."""

import re

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.support.serving import serving
from v1.server.telemetry.request_identity import read_identity

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


async def ask(clock, server, path: str, **headers: str):
    processors = [structlog.contextvars.merge_contextvars]
    with capture_logs(processors) as logs:
        async with serving(clock, server, access_log=True, api_keys="a-key-of-16-characters") as api:
            answer = await api.get(path, X_API_Key="a-key-of-16-characters", **headers)
    (line,) = [each for each in logs if each["event"] == "request"]
    return answer, line


async def test_a_request_is_logged_with_who_asked_for_what_and_what_was_sent(clock, server):
    answer, line = await ask(clock, server, "/health/live")

    assert (line["client"], line["method"], line["path"], line["status"]) == ("127.0.0.1", "GET", "/health/live", 200)
    assert line["bytes"] == len(answer.text)
    assert line["ms"] >= 0
    assert line["request_id"] == answer.headers["X-Request-ID"]


async def test_neither_the_query_nor_a_header_is_in_the_log(clock, server):
    _, line = await ask(clock, server, "/v1/ranks?token=something-secret", Cookie="session=something-secret")

    assert "secret" not in str(line)
    assert "a-key-of-16" not in str(line)


async def test_no_path_makes_a_line_of_its_own(clock, server):
    _, line = await ask(clock, server, "/%0A2026-01-01%20[info]%20all%20is%20well")

    assert "\n" not in line["path"]


async def test_a_name_that_comes_is_kept_and_sent_back(clock, server):
    answer, line = await ask(clock, server, "/health/live", X_Request_ID="0af7-651916cd")

    assert line["request_id"] == answer.headers["X-Request-ID"] == "0af7-651916cd"


async def test_a_trace_that_comes_is_in_the_log(clock, server):
    _, line = await ask(clock, server, "/health/live", traceparent=f"00-{TRACE}-{PARENT}-01")

    assert (line["trace_id"], line["parent_id"]) == (TRACE, PARENT)


async def test_by_default_no_request_is_logged_and_none_is_named(api):
    with capture_logs() as logs:
        answer = await api.get("/health/live")

    assert not [line for line in logs if line["event"] == "request"]
    assert "X-Request-ID" not in answer.headers


async def test_a_name_that_comes_is_sent_back_also_where_no_request_is_logged(api):
    assert (await api.get("/health/live", X_Request_ID="mine")).headers["X-Request-ID"] == "mine"


async def test_what_goes_wrong_is_logged_with_the_name_of_the_request(clock):
    with capture_logs([structlog.contextvars.merge_contextvars]) as logs:
        async with serving(clock, "redis://127.0.0.1:1/0") as api:
            await api.get("/v1/ranks", X_Request_ID="mine", traceparent=f"00-{TRACE}-{PARENT}-01")

    (line,) = [each for each in logs if each["event"] == "the store is away"]
    assert (line["request_id"], line["trace_id"]) == ("mine", TRACE)


@pytest.mark.parametrize(
    "name",
    [b"", b"two words", b"x" * 129, b"line\nend", "é".encode(), b'"quoted"', b"<script>"],
)
def test_a_name_that_is_not_sane_is_replaced(name):
    identity = read_identity([(b"x-request-id", name)], is_wanted=True)

    assert identity is not None
    assert re.fullmatch(r"[0-9a-f]{32}", identity.id)
    assert read_identity([(b"x-request-id", name)], is_wanted=False) is None


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(f"00-{TRACE}-{PARENT}", id="no flags"),
        pytest.param(f"00-{TRACE}-{PARENT}-01-more", id="more than version 0 has"),
        pytest.param(f"ff-{TRACE}-{PARENT}-01", id="the version that there never is"),
        pytest.param(f"00-{'0' * 32}-{PARENT}-01", id="no trace"),
        pytest.param(f"00-{TRACE}-{'0' * 16}-01", id="no parent"),
        pytest.param(f"00-{TRACE.upper()}-{PARENT}-01", id="capital letters"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_trace_that_the_standard_does_not_know_is_taken_for_none(written):
    assert read_identity([(b"traceparent", written.encode())], is_wanted=False) is None


def test_a_later_version_of_the_standard_may_add_to_it():
    identity = read_identity([(b"traceparent", f"01-{TRACE}-{PARENT}-01-more".encode())], is_wanted=False)

    assert identity is not None
    assert identity.trace_id == TRACE


@given(st.binary(max_size=200))
def test_whatever_is_sent_as_a_name_can_be_a_header_and_a_line(name):
    identity = read_identity([(b"x-request-id", name)], is_wanted=True)

    assert identity is not None
    assert identity.id.isascii()
    assert identity.id.isprintable()
    assert 1 <= len(identity.id) <= 128
