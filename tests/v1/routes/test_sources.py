"""`/v1/sources`: how each source does, and what was left out of its answers, with what was sent."""

import asyncio
from typing import Any

from tests.support.serving import NOON, Api

SAID: dict[str, dict[str, Any]] = {
    "kraken": {
        "state": "failing",
        "since": NOON,
        "reason": "kraken did not answer",
        "retry_at": NOON + 60,
        "advice": "look at its status page",
        "metrics": 2,
        "missing": {"KRAKEN:NOUSD": "kraken has no NOUSD"},
        "dead": ["KRAKEN:OLDUSD"],
        "filling": {"done": 1, "of": 3},
        "rejects": {"unreadable price": 2, "dead market": 700},
        "budget": {
            "unit": "calls",
            "seconds": 60,
            "limit": 60.0,
            "spent": 1.0,
            "margin": 0.05,
            "banned_until": NOON + 60.5,
            "is_shared": True,
            "tick_requests": 1,
        },
        "rejected": [
            {"at": NOON, "metric": "KRAKEN:BTCUSD", "reason": "unreadable price", "text": "<b>NaN</b>"},
            {"at": 0, "metric": None, "reason": "unreadable candle", "text": "['x']"},
        ],
    },
    "binance": {"state": "ok", "metrics": 1},
}


async def test_each_source_says_how_it_does(api: Api, writer):
    await writer.write_source_states(SAID)

    answer = await api.get("/v1/sources")

    assert answer.status == 200
    binance, kraken = answer.json["sources"]
    assert (binance["source"], binance["state"], binance["rejects"]) == ("binance", "ok", {})
    assert kraken == {
        "source": "kraken",
        **{name: value for name, value in SAID["kraken"].items() if name not in ("dead", "rejected")},
        "dead": 1,
    }


async def test_what_was_left_out_is_listed_with_what_was_sent(api: Api, writer):
    await writer.write_source_states(SAID)

    answer = await api.get("/v1/sources/kraken/rejects")

    assert answer.json == {
        "source": "kraken",
        "counts": SAID["kraken"]["rejects"],
        "rejects": SAID["kraken"]["rejected"],
    }
    assert (await api.get("/v1/sources/binance/rejects")).json == {"source": "binance", "counts": {}, "rejects": []}


async def test_the_next_report_of_the_worker_ends_the_answer_before(api: Api, writer):
    await writer.write_source_states(SAID)
    assert len((await api.get("/v1/sources")).json["sources"]) == 2

    await writer.write_source_states({"binance": {"state": "ok", "metrics": 1}})

    async with asyncio.timeout(60):
        while len((await api.get("/v1/sources")).json["sources"]) != 1:
            await asyncio.sleep(0.01)


async def test_what_is_used_of_a_budget_ends_the_answer_before(api: Api, writer):
    await writer.write_source_states(SAID)
    assert (await api.get("/v1/sources")).json["sources"][1]["budget"]["spent"] == 1

    more = SAID | {"kraken": SAID["kraken"] | {"budget": SAID["kraken"]["budget"] | {"spent": 2}}}
    await writer.write_source_states(more, only_budgets=True)

    async with asyncio.timeout(60):
        while (await api.get("/v1/sources")).json["sources"][1]["budget"]["spent"] != 2:
            await asyncio.sleep(0.01)


async def test_a_source_that_is_not_there_is_refused_with_the_nearest(api: Api, writer):
    await writer.write_source_states(SAID)

    answer = await api.get("/v1/sources/krake/rejects")

    assert answer.status == 404
    (error,) = answer.json["errors"]
    assert (error["field"], error["value"]) == ("source", "krake")
    assert error["accepted"].startswith("kraken")


async def test_before_the_first_report_there_is_no_source(api: Api):
    assert (await api.get("/v1/sources")).json == {"sources": []}
    assert (await api.get("/v1/sources/kraken/rejects")).status == 404
