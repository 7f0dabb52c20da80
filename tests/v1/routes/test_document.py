"""The OpenAPI document says what is served, and what is served keeps to it."""

import asyncio
import sys
from pathlib import Path

from v1.store import TopWriter

from ..serving import NOON, every_minute, fill
from .test_top import made

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


async def test_every_operation_says_what_it_is_and_how_it_fails(api):
    document = (await api.get("/openapi.json")).json

    operations = {
        f"{'' if method == 'get' else f'{method.upper()} '}{path}": operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert set(operations) == {
        "/v1/metrics",
        "/v1/metrics/{metric}",
        "/v1/metrics/{metric}/candles",
        "/v1/metrics/{metric}/history",
        "/v1/metrics/{metric}/rank",
        "/v1/ranks",
        "/v1/top",
        "/v1/rules",
        "POST /v1/rules",
        "POST /v1/rules/backtest",
        "/v1/rules/{id}",
        "PUT /v1/rules/{id}",
        "DELETE /v1/rules/{id}",
        "/v1/alerts",
        "POST /v1/alerts/{id}/acknowledge",
        "/v1/silences",
        "POST /v1/silences",
        "DELETE /v1/silences/{id}",
        "/health/live",
        "/health/ready",
    }
    for path, operation in operations.items():
        assert operation["summary"], path
        assert operation["description"], path
        assert operation["tags"], path
        assert "422" in operation["responses"], path
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (path, parameter["name"])
        for status, response in operation["responses"].items():
            if status.startswith("4"):
                assert set(response["content"]) == {"application/problem+json"}, (path, status)


async def test_no_operation_has_the_name_of_another(api):
    document = (await api.get("/openapi.json")).json

    names = [each["operationId"] for operations in document["paths"].values() for each in operations.values()]
    assert len(names) == len(set(names))


async def test_answers_to_whatever_the_document_allows_and_forbids_are_those_it_promises(api, writer, tmp_path):
    await fill(writer, {"KRAKEN:BTCUSD": every_minute([str(minute) for minute in range(90)])})
    await TopWriter(writer._redis).put(made(NOON))

    run = await asyncio.create_subprocess_exec(
        SCHEMATHESIS,
        *("run", f"{api.url}/openapi.json", "--max-examples=15", "--seed=1", "--no-color"),
        "--phases=examples,coverage,fuzzing",
        # That `from` lies after `to`, or too far before it, cannot be said in a schema.
        "--exclude-checks=positive_data_acceptance",
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await run.communicate()

    assert run.returncode == 0, said.decode()
