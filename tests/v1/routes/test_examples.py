"""
The examples of the OpenAPI document are answers to recorded data. Write them anew with

    WRITE_EXAMPLES=1 scripts/run-tests.sh tests/v1/routes/test_examples.py
"""

import asyncio
import csv
import gzip
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from aiohttp import ClientSession

from tests.support.loopback.toplists import april
from tests.support.serving import DAY, MINUTE, Answer, Api, Clock, fill, serving
from tests.support.shared import shared
from v1.archive.writer import ArchiveWriter
from v1.market.metric_state import SourceReading, compute_change_percentage, compute_interval_return
from v1.model import Metric, Reading, Sample
from v1.numbers import exact_json
from v1.numbers.decimals import format_decimal, parse_decimal, subtract
from v1.routes.openapi import EXAMPLES
from v1.routes.problems import MEDIA_TYPE as PROBLEM
from v1.routes.responses import ArrowResponse
from v1.rules import RuleEngine, parse_rule
from v1.store import TopWriter, Writer, connect, keys
from v1.toplist.model import ListOrigin, PricedCoin, ProviderList, RankedCoin, merge_lists
from worker.archiving.rollup import HourlyRollup, RollupOptions
from worker.sampling.tick import commit_tick

CRASH = 1_621_429_200
"""2021-05-19T13:00:00Z, some minutes after everything had fallen by a third."""
PAIRS = ["BTC_USDT", "ETH_USDT", "XRP_USDT", "DOGE_USDT", "DOGE_BTC", "BRD_BTC"]
REJECT = {"at": CRASH, "metric": "BINANCE:BRDBTC", "reason": "dead market", "text": "0.00000000"}
OPEN = {"margin": 0.05, "banned_until": None, "is_shared": True}
"""Of a budget that nobody closed."""
SOURCE = {
    "state": "ok",
    "since": CRASH - DAY,
    "reason": None,
    "metrics": len(PAIRS),
    "rejects": {"dead market": 1},
    "rejected": [REJECT],
}
BTC = "/metrics/BINANCE:BTCUSDT"

# (operation, status, media type): what is asked for
ASKED = {
    ("/metrics", "200", "application/json"): "/v1/metrics?q=doge",
    ("/metrics", "422", "application/problem+json"): "/v1/metrics?limit=5000",
    ("/metrics/{metric}", "200", "application/json"): f"/v1{BTC}",
    ("/metrics/{metric}", "404", "application/problem+json"): "/v1/metrics/BINANCE:BTCUSD",
    ("/metrics/{metric}", "422", "application/problem+json"): f"/v1{BTC}?measure=price",
    ("/metrics/{metric}/history", "200", "application/json"): f"/v1{BTC}/history?from=-4m",
    ("/metrics/{metric}/history.csv", "200", "text/csv"): f"/v1{BTC}/history.csv?from=-4h&step=1h&agg=min",
    ("/metrics/{metric}/history.ndjson", "200", "application/x-ndjson"): f"/v1{BTC}/history.ndjson?from=-2m",
    ("/metrics/{metric}/history", "404", "application/problem+json"): "/v1/metrics/BINANCE:DOGEUSD/history",
    ("/metrics/{metric}/history", "422", "application/problem+json"): f"/v1{BTC}/history?from=yesterday&measure=prize",
    ("/metrics/{metric}/candles", "200", "application/json"): f"/v1{BTC}/candles?from=-3h",
    ("/metrics/{metric}/candles.csv", "200", "text/csv"): f"/v1{BTC}/candles.csv?interval=4h&from=-8h",
    ("/metrics/{metric}/candles.ndjson", "200", "application/x-ndjson"): f"/v1{BTC}/candles.ndjson?interval=1d",
    ("/metrics/{metric}/candles", "404", "application/problem+json"): "/v1/metrics/BINANCE:DOGEUSD/candles",
    ("/metrics/{metric}/candles", "422", "application/problem+json"): f"/v1{BTC}/candles?interval=2h",
    ("/metrics/{metric}/gaps", "200", "application/json"): f"/v1{BTC}/gaps",
    ("/metrics/{metric}/gaps.csv", "200", "text/csv"): f"/v1{BTC}/gaps.csv?time=iso",
    ("/metrics/{metric}/gaps", "404", "application/problem+json"): "/v1/metrics/BINANCE:DOGEUSD/gaps",
    ("/metrics/{metric}/gaps", "422", "application/problem+json"): f"/v1{BTC}/gaps?state=lost",
    ("/metrics/{metric}/gaps.csv", "404", "application/problem+json"): "/v1/metrics/BINANCE:DOGEUSD/gaps.csv",
    ("/metrics/{metric}/gaps.csv", "422", "application/problem+json"): f"/v1{BTC}/gaps.csv?time=local",
    ("/metrics/{metric}/rank", "200", "application/json"): f"/v1{BTC}/rank?by=cv",
    ("/metrics/{metric}/rank", "404", "application/problem+json"): "/v1/metrics/BINANCE:XRPBTC/rank",
    ("/metrics/{metric}/rank", "422", "application/problem+json"): f"/v1{BTC}/rank?by=variance",
    ("/metrics/{metric}/rank-history", "200", "application/json"): f"/v1{BTC}/rank-history?from=-1h",
    ("/metrics/{metric}/rank-history.csv", "200", "text/csv"): f"/v1{BTC}/rank-history.csv?from=-1h",
    ("/metrics/{metric}/rank-history", "404", "application/problem+json"): "/v1/metrics/BINANCE:XRPBTC/rank-history",
    (
        "/metrics/{metric}/rank-history.csv",
        "404",
        "application/problem+json",
    ): "/v1/metrics/BINANCE:XRPBTC/rank-history.csv",
    ("/metrics/{metric}/rank-history", "422", "application/problem+json"): f"/v1{BTC}/rank-history?step=1h",
    ("/metrics/{metric}/rank-history.csv", "422", "application/problem+json"): f"/v1{BTC}/rank-history.csv?step=1h",
    ("/ranks", "200", "application/json"): "/v1/ranks?by=cv&limit=3",
    ("/ranks.csv", "200", "text/csv"): "/v1/ranks.csv?by=cv&limit=3",
    ("/ranks", "422", "application/problem+json"): "/v1/ranks?measure=prize",
    ("/metrics/{metric}/history.csv", "404", "application/problem+json"): "/v1/metrics/BINANCE:DOGEUSD/history.csv",
    ("/metrics/{metric}/history.csv", "422", "application/problem+json"): f"/v1{BTC}/history.csv?time=local",
    (
        "/metrics/{metric}/history.ndjson",
        "404",
        "application/problem+json",
    ): "/v1/metrics/BINANCE:DOGEUSD/history.ndjson",
    ("/metrics/{metric}/history.ndjson", "422", "application/problem+json"): f"/v1{BTC}/history.ndjson?time=iso",
    ("/metrics/{metric}/candles.csv", "404", "application/problem+json"): "/v1/metrics/BINANCE:DOGEUSD/candles.csv",
    ("/metrics/{metric}/candles.csv", "422", "application/problem+json"): f"/v1{BTC}/candles.csv?bom=maybe",
    (
        "/metrics/{metric}/candles.ndjson",
        "404",
        "application/problem+json",
    ): "/v1/metrics/BINANCE:DOGEUSD/candles.ndjson",
    ("/metrics/{metric}/candles.ndjson", "422", "application/problem+json"): f"/v1{BTC}/candles.ndjson?interval=2h",
    ("/ranks.csv", "422", "application/problem+json"): "/v1/ranks.csv?measure=prize",
    ("/top.csv", "404", "application/problem+json"): "/v1/top.csv?datetime=2021-05-18",
    ("/top.csv", "422", "application/problem+json"): "/v1/top.csv?columns=rank,prize",
    ("/top", "200", "application/json"): "/v1/top?limit=3",
    ("/top.csv", "200", "text/csv"): "/v1/top.csv?limit=5",
    ("/top", "404", "application/problem+json"): "/v1/top?datetime=2021-05-18",
    ("/top", "422", "application/problem+json"): "/v1/top?limit=10000",
    ("/rules", "200", "application/json"): "/v1/rules?limit=2",
    ("/rules", "422", "application/problem+json"): "/v1/rules?limit=all",
    ("/rules/{id}", "200", "application/json"): "/v1/rules/stale",
    ("/rules/{id}", "404", "application/problem+json"): "/v1/rules/price-5x",
    ("/rules/{id}", "422", "application/problem+json"): "/v1/rules/stale?origin=api",
    ("/rule-set", "422", "application/problem+json"): "/v1/rule-set?origin=api",
    ("/alerts", "200", "application/json"): "/v1/alerts?metric=*:BTC*&limit=1",
    ("/alerts", "422", "application/problem+json"): "/v1/alerts?since=yesterday",
    ("/silences", "422", "application/problem+json"): "/v1/silences?state=active",
    ("/sources", "200", "application/json"): "/v1/sources",
    ("/sources", "422", "application/problem+json"): "/v1/sources?limit=5",
    ("/sources/{source}/rejects", "200", "application/json"): "/v1/sources/binance/rejects",
    ("/sources/{source}/rejects", "404", "application/problem+json"): "/v1/sources/binanse/rejects",
    ("/sources/{source}/rejects", "422", "application/problem+json"): "/v1/sources/binance/rejects?limit=5",
    ("/stream", "200", "text/event-stream"): "/v1/stream?metrics=BINANCE:BTCUSDT&once=true",
    ("/stream", "422", "application/problem+json"): "/v1/stream?events=ticks",
    ("/whoami", "200", "application/json"): "/v1/whoami",
    ("/whoami", "422", "application/problem+json"): "/v1/whoami?verbose=1",
    ("/workers", "200", "application/json"): "/v1/workers",
    ("/workers", "422", "application/problem+json"): "/v1/workers?alive=true",
    ("/health/live", "200", "application/json"): "/health/live",
    ("/health/live", "422", "application/problem+json"): "/health/live?verbose=1",
    ("/health/ready", "200", "application/json"): "/health/ready",
    ("/health/ready", "422", "application/problem+json"): "/health/ready?verbose=1",
}
TWO = "metrics=BINANCE:BTCUSDT,*:ETH*"
for _list, _query, _wrong in (
    ("snapshot", f"{TWO}&measures=price,interval_volume&limit=2", "measures=prize"),
    ("history", f"{TWO}&measures=price,volume&from=-2m", "step=7"),
):
    ASKED |= {
        (f"/{_list}", "200", "application/json"): f"/v1/{_list}?{_query}",
        (f"/{_list}.csv", "200", "text/csv"): f"/v1/{_list}.csv?{_query}",
        (f"/{_list}.ndjson", "200", "application/x-ndjson"): f"/v1/{_list}.ndjson?{_query}",
    }
    for _format in ("", ".csv", ".ndjson", ".arrow"):
        _path = f"/{_list}{_format}"
        ASKED[_path, "404", "application/problem+json"] = f"/v1{_path}?metrics=BINANCE:DOGEUSD"
        ASKED[_path, "422", "application/problem+json"] = f"/v1{_path}?{_wrong}"
_path = "/metrics/{metric}/history.arrow"
ASKED[_path, "404", "application/problem+json"] = "/v1/metrics/BINANCE:DOGEUSD/history.arrow"
ASKED[_path, "422", "application/problem+json"] = f"/v1{BTC}/history.arrow?agg=lttb&step=1h"
ARROW = (
    ("/snapshot.arrow", "/v1/snapshot.arrow"),
    ("/history.arrow", "/v1/history.arrow"),
    ("/metrics/{metric}/history.arrow", f"/v1{BTC}/history.arrow"),
)
SPIKE = {"id": "volume-spike", "kind": "ratio", "measure": "interval_volume", "factor": 3, "cooldown": "1h", "step": 3}
SEEN = f"/v1/alerts/volume-spike.BINANCE:BTCUSDT.{CRASH - 11 * MINUTE}/acknowledge"
QUIET = {"id": "maintenance", "metrics": "BINANCE:*", "to": "2021-05-19T15:00:00Z", "comment": "the exchange said so"}
LARGE = " " * 70_000
FILED = "rules/filed"
TESTED = "rules/volume-spike/test"
ASKED |= {
    ("/alerts/{id}", "200", "application/json"): SEEN.removesuffix("/acknowledge"),
    ("/alerts/{id}", "404", "application/problem+json"): "/v1/alerts/nothing",
    ("/alerts/{id}", "422", "application/problem+json"): "/v1/alerts/nothing?verbose=1",
}

# (operation, status), path, what is sent; in this order, after all that is only asked
SENT: list[tuple[tuple[str, str], str, object]] = [
    (("POST /rules", "201"), "rules", SPIKE),
    (("POST /rules", "409"), "rules", SPIKE),
    (("POST /rules", "413"), "rules", LARGE),
    (("POST /rules", "415"), "rules", None),
    (("POST /rules", "422"), "rules", SPIKE | {"factor": -3}),
    (("PUT /rules/{id}", "200"), "rules/volume-spike", SPIKE | {"factor": 5}),
    (("PUT /rules/{id}", "201"), "rules/price-5x", {"id": "price-5x", "kind": "ratio", "factor": 5}),
    (("PUT /rules/{id}", "409"), FILED, {"id": "filed", "kind": "stale"}),
    (("PUT /rules/{id}", "413"), FILED, LARGE),
    (("PUT /rules/{id}", "415"), FILED, None),
    (("PUT /rules/{id}", "422"), "rules/volume-spike", SPIKE | {"above": 5}),
    (("DELETE /rules/{id}", "404"), "rules/price-7x", {}),
    (("DELETE /rules/{id}", "409"), FILED, {}),
    (("DELETE /rules/{id}", "422"), "rules/price-5x?force=1", {}),
    (("POST /rules/backtest", "200"), "rules/backtest", {"rules": [SPIKE], "from": CRASH - 12 * MINUTE, "limit": 1}),
    (("POST /rules/backtest", "413"), "rules/backtest", LARGE),
    (("POST /rules/backtest", "415"), "rules/backtest", None),
    (("POST /rules/backtest", "422"), "rules/backtest", {"rules": [SPIKE | {"min_samples": 61}]}),
    (("POST /rules/{id}/test", "202"), TESTED, {}),
    (("POST /rules/{id}/test", "404"), TESTED.replace("volume", "price"), {}),
    (("POST /rules/{id}/test", "409"), f"{FILED}/test", {}),
    (("POST /rules/{id}/test", "422"), f"{TESTED}?channel=phone", {}),
    (("POST /rules/{id}/test", "429"), TESTED, {}),
    (("/rules/{id}/test", "200"), TESTED, {}),
    (("/rules/{id}/test", "404"), TESTED.replace("volume", "price"), {}),
    (("/rules/{id}/test", "422"), f"{TESTED}?channel=phone", {}),
    (("POST /silences", "201"), "silences", QUIET),
    (("POST /silences", "409"), "silences", QUIET),
    (("POST /silences", "413"), "silences", LARGE),
    (("POST /silences", "415"), "silences", None),
    (("POST /silences", "422"), "silences", {"metrics": "BINANCE:*"}),
    (("/silences", "200"), "silences", {}),
    (("DELETE /silences/{id}", "404"), "silences/maintenace", {}),
    (("DELETE /silences/{id}", "422"), "silences/maintenance?force=1", {}),
    (("/rule-set", "200"), "rule-set", {}),
    (("PUT /rule-set", "200"), "rule-set?dry_run=true", {"rules": [SPIKE], "silences": []}),
    (("PUT /rule-set", "409"), "rule-set", {"rules": [{"id": "filed", "kind": "stale"}], "silences": []}),
    (("PUT /rule-set", "413"), "rule-set", " " * 1_100_000),
    (("PUT /rule-set", "415"), "rule-set", None),
    (("PUT /rule-set", "422"), "rule-set", {"rules": [SPIKE | {"factor": -3}], "silences": []}),
    (("POST /alerts/{id}/acknowledge", "200"), SEEN, {"by": "ann", "comment": "looking into it"}),
    (("POST /alerts/{id}/acknowledge", "404"), SEEN.replace("BTC", "LTC"), {"by": "ann"}),
    (("POST /alerts/{id}/acknowledge", "409"), SEEN, {"by": "ann", "until": "over"}),
    (("POST /alerts/{id}/acknowledge", "413"), SEEN, LARGE),
    (("POST /alerts/{id}/acknowledge", "415"), SEEN, None),
    (("POST /alerts/{id}/acknowledge", "422"), SEEN, {"comment": "who is it?"}),
    (("DELETE /alerts/{id}/acknowledge", "200"), SEEN, {}),
    (("DELETE /alerts/{id}/acknowledge", "404"), SEEN, {}),
    (("DELETE /alerts/{id}/acknowledge", "422"), f"{SEEN}?force=1", {}),
]
AWAY = [
    "/metrics",
    "/metrics/{metric}",
    "/metrics/{metric}/history",
    "/metrics/{metric}/candles",
    "/metrics/{metric}/history.csv",
    "/metrics/{metric}/history.ndjson",
    "/metrics/{metric}/history.arrow",
    "/metrics/{metric}/candles.csv",
    "/metrics/{metric}/candles.ndjson",
    "/metrics/{metric}/gaps",
    "/metrics/{metric}/gaps.csv",
    "/metrics/{metric}/rank",
    "/metrics/{metric}/rank-history",
    "/metrics/{metric}/rank-history.csv",
    "/snapshot",
    "/snapshot.csv",
    "/snapshot.ndjson",
    "/snapshot.arrow",
    "/history",
    "/history.csv",
    "/history.ndjson",
    "/history.arrow",
    "/ranks",
    "/ranks.csv",
    "/top",
    "/top.csv",
    "/rules",
    "POST /rules",
    "POST /rules/backtest",
    "/rules/{id}",
    "PUT /rules/{id}",
    "DELETE /rules/{id}",
    "POST /rules/{id}/test",
    "/rules/{id}/test",
    "/rule-set",
    "PUT /rule-set",
    "/alerts",
    "/alerts/{id}",
    "POST /alerts/{id}/acknowledge",
    "DELETE /alerts/{id}/acknowledge",
    "/silences",
    "POST /silences",
    "DELETE /silences/{id}",
    "/sources",
    "/sources/{source}/rejects",
    "/workers",
]


def recorded(pair: str) -> Iterator[Sample]:
    """Return the day before the crash as the worker would have sampled it."""
    with gzip.open(shared("market-data", "binance-spot-20210517", f"{pair}.csv.gz"), "rt") as file:
        rows = [row for row in csv.DictReader(file) if CRASH - 2 * DAY <= int(row["timestamp"]) < CRASH]
    volume = sum(Decimal(row["volume"]) for row in rows[:1440])
    for yesterday, before, now in zip(rows, rows[1439:], rows[1440:], strict=False):
        volume += Decimal(now["volume"]) - Decimal(yesterday["volume"])
        price, then = parse_decimal(now["close"]), parse_decimal(yesterday["close"])
        yield Sample(
            int(now["timestamp"]) + MINUTE,
            (
                now["close"],
                f"{volume:f}",
                compute_change_percentage(price, then),
                format_decimal(subtract(price, then)),
                now["volume"],
                compute_interval_return(price, parse_decimal(before["close"])),
            ),
        )


@pytest.fixture
async def crash(server: str, writer: Writer, archive: ArchiveWriter, clock: Clock) -> None:
    """The day until some minutes ago, filled, and the rest sampled, with a rule that watched it."""
    clock.now = CRASH + 5.0
    metrics = {Metric(f"BINANCE:{pair.replace('_', '')}"): [*recorded(pair)] for pair in PAIRS}
    filled = CRASH - 12 * MINUTE
    await fill(
        writer,
        {metric: [each for each in day if each.tick <= filled] for metric, day in metrics.items()},
        filled,
        "binance",
    )
    by_tick = {metric: {sample.tick: sample for sample in day} for metric, day in metrics.items()}
    for at in range(filled + MINUTE, CRASH + 1, MINUTE):
        heard = {metric: SourceReading(Reading(*day[at].values[:5]), "binance") for metric, day in by_tick.items()}
        await commit_tick(at, heard, writer, RuleEngine([parse_rule(SPIKE)], (), MINUTE))
    missing, rejects = {"BINANCE:NOPEUSDT": "no such pair"}, {"dead market": 2}
    budget = {"unit": "weight", "seconds": 60, "limit": 6000.0, "spent": 26.0, "tick_requests": 2} | OPEN
    await writer.write_source_states({"binance": SOURCE | {"missing": missing, "rejects": rejects, "budget": budget}})
    closer = HourlyRollup(writer, archive, RollupOptions(MINUTE))
    await closer.close_until(CRASH - closer.grace, CRASH)
    await writer.write_archive_state({"state": "ok", "since": CRASH - DAY, "newest": closer.newest, "reason": None})
    sent = {
        "at": CRASH - 659.5,
        "channel": "pushover",
        "status": "sent",
        "answer": "200",
        "message": SEEN.split("/")[3],
    }
    async with connect(server, "tests") as redis:
        await listed(TopWriter(redis))
        await redis.rpush(keys.deliveries(SEEN.split("/")[3]), json.dumps(sent))
        await redis.expire(keys.deliveries(SEEN.split("/")[3]), DAY)
        await redis.hset(keys.FILE_RULES, "filed", json.dumps({"id": "filed", "kind": "stale", "channels": ["gone"]}))
        await redis.hset(keys.CHANNELS, "pushover", "pushover")
        too_many = {f"r{number} A:B": f'[{CRASH},{CRASH},"ann"]' for number in range(1000)}
        await redis.hset(keys.ACKNOWLEDGED, mapping=too_many)
        await redis.expire(keys.ACKNOWLEDGED, DAY)
        await redis.set(keys.LEASE, "worker", ex=DAY)


async def listed(top: TopWriter) -> None:
    """Put a recorded top list, as if it were of now, and what its roles say."""
    coins = sorted(april(shared("market-data", "toplists")), key=lambda coin: -Decimal(coin.volume))
    prices = [PricedCoin(coin.id, coin.price, CRASH - 58) for coin in coins]
    ranks = [RankedCoin(coin.id, coin.symbol, coin.name, coin.volume) for coin in coins]
    about = {"coinmarketcap": (CRASH - 5 * MINUTE, 300), "cryptocompare": (CRASH, 540)}
    of_prices, of_ranks = (ListOrigin(name, at, at - 2, every, {}) for name, (at, every) in about.items())
    await top.write_snapshot(merge_lists(CRASH, ProviderList(of_prices, prices), ProviderList(of_ranks, ranks), MINUTE))
    said = {"state": "ok", "reason": None, "at": CRASH}
    plan = {
        "source": "coinmarketcap",
        "faults": {"no answer": 1},
        "budget": {"unit": "credits", "seconds": None, "limit": 10_000, "spent": 5_329, "tick_requests": 1} | OPEN,
        "interval": 300,
        "planned": 300,
        "unit": "credits",
        "used": 5329,
        "limit": 10_000,
    }
    await top.write_role_state("pricing", said | plan | {"resets": 1_622_505_600, "list_at": CRASH - 5 * MINUTE})
    await top.write_role_state("merging", said | {"list_at": CRASH, "of": len(coins), "unpriced": 0})


async def answers(api: Api, clock: Clock, folder: Path) -> dict[tuple[str, str, str], str]:
    given = {key: (await api.get(path)).text for key, path in ASKED.items()}
    with patch.dict(sys.modules, {"nanoarrow.ipc": None}):
        for operation, path in ARROW:
            given[operation, "406", PROBLEM] = (await api.get(path)).text
    stream = ("/stream", "200", "text/event-stream")
    # An id is the time at which Redis took the event in.
    given[stream] = re.sub("id: .+", f"id: {CRASH}123-0", given[stream])
    for (operation, status), path, document in SENT:
        given[operation, status, _media_type(status)] = (await _send(api, operation, path, document)).text
    given["POST /rules/backtest", "429", PROBLEM] = await _busy(api)
    clock.now += 5 * MINUTE
    given["/health/ready", "503", "application/json"] = (await api.get("/health/ready")).text
    async with serving(clock, f"unix://{folder}/nobody.sock", streams=0) as alone:
        given["/stream", "503", PROBLEM] = (await alone.get("/v1/stream")).text
        for operation in AWAY:
            name = SEEN.split("/")[3] if "/alerts" in operation else "volume-spike"
            path = operation.rpartition(" ")[2].replace("{metric}", "BINANCE:BTCUSDT")
            path = path.replace("{id}", name).replace("{source}", "binance")
            document = next((document for (each, _), _, document in SENT if each == operation), None)
            given[operation, "503", PROBLEM] = (await _send(alone, operation, f"/v1{path}", document)).text
    return given


def _media_type(status: str) -> str:
    return PROBLEM if status.startswith("4") else "application/json"


async def _send(api: Api, operation: str, path: str, document: object) -> Answer:
    method = operation.rpartition(" ")[0] or "GET"
    kind = "text/plain" if document is None else "application/json"
    return await api.send(method, path if path.startswith("/") else f"/v1/{path}", document, Content_Type=kind)


async def _busy(api: Api) -> str:
    """Ask for a second backtest while a first one goes on."""
    document = {"rules": [SPIKE | {"id": f"r{number}"} for number in range(20)]}
    answers = await asyncio.gather(*[api.send("POST", "/v1/rules/backtest", document) for _ in range(2)])
    return next(answer.text for answer in answers if answer.status == 429)


def written(given: dict[tuple[str, str, str], str]) -> str:
    """Write the file: one example a line, digits as they were answered."""
    tree: dict[str, dict[str, dict[str, str]]] = {}
    for (operation, status, media_type), body in sorted(given.items()):
        example = json.dumps(body) if media_type in ("text/csv", "application/x-ndjson", "text/event-stream") else body
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


@pytest.mark.usefixtures("crash")
@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
async def test_an_answer_from_memory_is_byte_by_byte_the_one_that_the_routes_make(
    api: Api, server: str, clock: Clock, archive_address: str, coding: str
):
    async with (
        serving(clock, server, database_url=archive_address, cache_bytes=0) as uncached,
        ClientSession(auto_decompress=False, headers={"Accept-Encoding": coding}) as session,
    ):
        for path in ASKED.values():
            made, first, again = [await _read_bytes(session, each.url + path) for each in (uncached, api, api)]

            assert made == first == again, path
    answered = [operation for operation, status, _ in ASKED if status == "200"]
    kept = [
        operation for operation in answered if not operation.startswith(("/health", "/stream", "/whoami", "/workers"))
    ]
    assert api.answers.statistics.hits == len(kept)
    assert uncached.answers.statistics.hits == 0


async def _read_bytes(session: ClientSession, url: str) -> tuple[int, dict[str, str], bytes]:
    async with session.get(url) as answer:
        headers = {name: value for name, value in answer.headers.items() if name.lower() != "date"}
        # What is not accepted is no question, and not kept.
        return answer.status, headers if answer.ok else {}, await answer.read()


async def test_every_answer_that_the_document_names_has_an_example_with_its_digits(api):
    answer = await api.get("/openapi.json")

    for path, operations in answer.json["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                for media_type, content in response.get("content", {}).items():
                    # A stream of Arrow's is no text that somebody could read.
                    is_shown = media_type != ArrowResponse.media_type
                    assert ("example" in content) == is_shown, (method, path, status, media_type)
    examples: Any = exact_json.loads(EXAMPLES.read_text())
    assert exact_json.dumps(examples["/metrics/{metric}/history"]["200"]["application/json"]) in answer.text
