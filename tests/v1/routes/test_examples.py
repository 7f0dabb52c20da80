"""
The examples of the OpenAPI document are answers to recorded data. Write them anew with

    WRITE_EXAMPLES=1 scripts/run-tests.sh tests/v1/routes/test_examples.py
"""

import csv
import gzip
import json
import os
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.shared import shared
from v1.decimals import difference, parse, text
from v1.model import Sample
from v1.records import percent
from v1.routes import exact
from v1.routes.document import EXAMPLES
from v1.store import Writer

from ..serving import DAY, MINUTE, Api, Clock, fill, serving

CRASH = 1_621_429_200
"""2021-05-19T13:00:00Z, some minutes after everything had fallen by a third."""
PAIRS = ["BTC_USDT", "ETH_USDT", "XRP_USDT", "DOGE_USDT", "DOGE_BTC", "BRD_BTC"]
SOURCE = {"state": "ok", "since": CRASH - DAY, "reason": None, "metrics": len(PAIRS)}
BTC = "/metrics/BINANCE:BTCUSDT"

# (operation, status, media type): what is asked for
ASKED = {
    ("/metrics", "200", "application/json"): "/v1/metrics?q=doge",
    ("/metrics", "422", "application/problem+json"): "/v1/metrics?limit=5000",
    ("/metrics/{metric}", "200", "application/json"): f"/v1{BTC}",
    ("/metrics/{metric}", "404", "application/problem+json"): "/v1/metrics/BINANCE:BTCUSD",
    ("/metrics/{metric}", "422", "application/problem+json"): f"/v1{BTC}?measure=price",
    ("/metrics/{metric}/history", "200", "application/json"): f"/v1{BTC}/history?from=-4m",
    ("/metrics/{metric}/history", "200", "text/csv"): f"/v1{BTC}/history?from=-4h&step=1h&agg=min&format=csv",
    ("/metrics/{metric}/history", "200", "application/x-ndjson"): f"/v1{BTC}/history?from=-2m&format=ndjson",
    ("/metrics/{metric}/history", "404", "application/problem+json"): "/v1/metrics/BINANCE:DOGEUSD/history",
    ("/metrics/{metric}/history", "422", "application/problem+json"): f"/v1{BTC}/history?from=yesterday&measure=prize",
    ("/metrics/{metric}/rank", "200", "application/json"): f"/v1{BTC}/rank?by=cv",
    ("/metrics/{metric}/rank", "404", "application/problem+json"): "/v1/metrics/BINANCE:XRPBTC/rank",
    ("/metrics/{metric}/rank", "422", "application/problem+json"): f"/v1{BTC}/rank?by=variance",
    ("/ranks", "200", "application/json"): "/v1/ranks?by=cv&limit=3",
    ("/ranks", "200", "text/csv"): "/v1/ranks?by=cv&limit=3&format=csv",
    ("/ranks", "422", "application/problem+json"): "/v1/ranks?measure=prize",
    ("/health/live", "200", "application/json"): "/health/live",
    ("/health/live", "422", "application/problem+json"): "/health/live?verbose=1",
    ("/health/ready", "200", "application/json"): "/health/ready",
    ("/health/ready", "422", "application/problem+json"): "/health/ready?verbose=1",
}
AWAY = ["/metrics", "/metrics/{metric}", "/metrics/{metric}/history", "/metrics/{metric}/rank", "/ranks"]


def recorded(pair: str) -> Iterator[Sample]:
    """Give the day before the crash as the worker would have sampled it."""
    with gzip.open(shared("market-data", "binance-spot-20210517", f"{pair}.csv.gz"), "rt") as file:
        rows = [row for row in csv.DictReader(file) if CRASH - 2 * DAY <= int(row["timestamp"]) < CRASH]
    volume = sum(Decimal(row["volume"]) for row in rows[:1440])
    for yesterday, before, now in zip(rows, rows[1439:], rows[1440:], strict=False):
        volume += Decimal(now["volume"]) - Decimal(yesterday["volume"])
        price, then = parse(now["close"]), parse(yesterday["close"])
        yield Sample(
            int(now["timestamp"]) + MINUTE,
            (
                now["close"],
                f"{volume:f}",
                percent(price, then),
                text(difference(price, then)),
                now["volume"],
                percent(price, parse(before["close"])),
            ),
        )


@pytest.fixture
async def crash(writer: Writer, clock: Clock) -> None:
    clock.now = CRASH + 5.0
    metrics = {f"BINANCE:{pair.replace('_', '')}": [*recorded(pair)] for pair in PAIRS}
    await fill(writer, metrics, CRASH, "binance")
    await writer.note_sources(
        {"binance": SOURCE | {"missing": {"BINANCE:NOPEUSDT": "no such pair"}, "rejects": {"dead market": 2}}}
    )


async def answers(api: Api, clock: Clock, folder: Path) -> dict[tuple[str, str, str], str]:
    given = {key: (await api.get(path)).text for key, path in ASKED.items()}
    clock.now += 5 * MINUTE
    given["/health/ready", "503", "application/json"] = (await api.get("/health/ready")).text
    async with serving(clock, f"unix://{folder}/nobody.sock") as alone:
        for operation in AWAY:
            path = f"/v1{operation.replace('{metric}', 'BINANCE:BTCUSDT')}"
            given[operation, "503", "application/problem+json"] = (await alone.get(path)).text
    return given


def written(given: dict[tuple[str, str, str], str]) -> str:
    """Write the file: one example a line, digits as they were answered."""
    tree: dict[str, dict[str, dict[str, str]]] = {}
    for (operation, status, media_type), body in sorted(given.items()):
        example = json.dumps(body) if media_type in ("text/csv", "application/x-ndjson") else body
        tree.setdefault(operation, {}).setdefault(status, {})[media_type] = example
    return f"{_indented(tree)}\n"


def _indented(tree: Mapping[str, Any], depth: int = 1) -> str:
    inner = [
        f"{'  ' * depth}{json.dumps(name)}: {branch if isinstance(branch, str) else _indented(branch, depth + 1)}"
        for name, branch in tree.items()
    ]
    return "{\n" + ",\n".join(inner) + f"\n{'  ' * (depth - 1)}}}"


@pytest.mark.usefixtures("crash")
async def test_the_examples_are_what_is_answered(api, clock, tmp_path):
    fresh = written(await answers(api, clock, tmp_path))
    if os.environ.get("WRITE_EXAMPLES"):
        EXAMPLES.write_text(fresh)

    assert EXAMPLES.read_text() == fresh


async def test_every_answer_that_the_document_names_has_an_example_with_its_digits(api):
    answer = await api.get("/openapi.json")

    for path, operations in answer.json["paths"].items():
        for status, response in operations["get"]["responses"].items():
            for media_type, content in response.get("content", {}).items():
                assert "example" in content, (path, status, media_type)
    examples: Any = exact.loads(EXAMPLES.read_text())
    assert exact.dumps(examples["/metrics/{metric}/history"]["200"]["application/json"]) in answer.text
