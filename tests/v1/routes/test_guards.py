"""Who may ask."""

from base64 import b64encode

import pytest

from ..serving import serving


@pytest.fixture
async def locked(server, clock):
    async with serving(clock, server, api_keys="first-of-two-keys, sécond-of-two-keys") as api:
        yield api


def basic(password: str) -> str:
    return f"Basic {b64encode(f'anybody:{password}'.encode()).decode()}"


@pytest.mark.parametrize(
    "path", ["/v1/ranks", "/latest/ranks", "/", "/docs", "/redoc", "/openapi.json", "/page/page.js", "/nothing"]
)
async def test_without_a_key_nobody_is_answered(locked, path):
    answer = await locked.get(path)

    assert (answer.status, answer.headers["Content-Type"]) == (401, "application/problem+json")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json["status"] == 401


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Authorization": "Bearer first-of-two-keys"}, id="bearer"),
        pytest.param({"Authorization": "bearer  first-of-two-keys"}, id="whatever its case"),
        pytest.param({"X-API-Key": "first-of-two-keys"}, id="a header of its own"),
        pytest.param({"Authorization": basic("sécond-of-two-keys")}, id="the password of a browser's dialog"),
    ],
)
async def test_with_any_of_the_keys_everything_is_answered(locked, headers):
    for path in ("/v1/ranks", "/", "/docs", "/openapi.json"):
        assert (await locked.get(path, **headers)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Authorization": "Bearer first-of-two-key"}, id="a part of a key"),
        pytest.param({"Authorization": "Bearer FIRST-OF-TWO-KEYS"}, id="another case"),
        pytest.param({"Authorization": "Bearer "}, id="an empty key"),
        pytest.param({"X-API-Key": ""}, id="an empty header"),
        pytest.param({"Authorization": "Basic !!"}, id="no base 64"),
        pytest.param({"Authorization": "Basic /w=="}, id="no text"),
        pytest.param({"Authorization": basic("")}, id="an empty password"),
        pytest.param({"Authorization": "first-of-two-keys"}, id="no scheme"),
    ],
)
async def test_with_anything_else_nobody_is_answered(locked, headers):
    assert (await locked.get("/v1/ranks", **headers)).status == 401


async def test_health_is_answered_without_a_key_to_who_watches_the_process(locked):
    assert (await locked.get("/health/live")).status == 200
    assert (await locked.get("/health/ready")).status == 503


async def test_the_document_says_that_a_key_is_wanted(locked):
    document = (await locked.get("/openapi.json", X_API_Key="first-of-two-keys")).json

    assert "401" in document["paths"]["/v1/ranks"]["get"]["responses"]
