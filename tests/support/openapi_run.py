"""Requests made of the OpenAPI document by schemathesis, sent to a running API; its answers are held to the document."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from redis.asyncio import Redis

from tests.support.serving import NOON, every_minute, fill
from v1.backtest.process import runner
from v1.numbers import exact_json
from v1.routes.examples import NO_METRIC
from v1.routes.openapi import EXAMPLES
from v1.store import TopWriter, Writer
from v1.toplist.model import ListOrigin, PricedCoin, ProviderList, RankedCoin, merge_lists

TOP_LIST = merge_lists(
    NOON,
    ProviderList(ListOrigin("coinmarketcap", NOON, NOON - 3, 300, {}), [PricedCoin(1, "43144.5", NOON - 60)]),
    ProviderList(ListOrigin("cryptocompare", NOON, None, 540, {}), [RankedCoin(1, "BTC", "Bitcoin", "9876.5")]),
    60,
)
CONFIGURATION = """
# That `from` lies after `to`, or too far before it, cannot be said in a schema; of these operations nothing is like that.
[checks]
positive_data_acceptance.enabled = false

[[operations]]
include-operation-id = [
    "acknowledge_alert", "check_live", "delete_rule", "delete_silence", "get_metric", "get_rank", "get_rule",
    "list_gaps", "list_gaps_csv", "list_metrics", "list_ranks", "list_ranks_csv", "list_rules", "list_silences",
]
checks.positive_data_acceptance.enabled = true
"""
LONGEST_HEAD = 1024 * 1024
"""Bytes of a request line and its headers: what is made up may be longer than any address that is meant."""
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


class Run(NamedTuple):
    """How a run ended."""

    code: int
    """0 where every answer was as the document promises."""
    output: str


async def fill_for_run(redis: Redis) -> None:
    """Put into the store what most requests can be answered from: 90 minutes of the example's metric, and a top list."""
    await fill(Writer(redis), {NO_METRIC: every_minute([str(minute) for minute in range(1, 91)])})
    await TopWriter(redis).write_snapshot(TOP_LIST)


@contextmanager
def canned_backtests(folder: Path) -> Iterator[None]:
    """
    Answer every backtest with the one of the examples.

    Hundreds of them, each in a process of its own, would take minutes; the example is a real answer, and another test
    holds it to the schema.
    """
    examples: Any = exact_json.loads(EXAMPLES.read_text())
    answer = folder / "backtest.json"
    answer.write_text(exact_json.dumps(examples["POST /rules/backtest"]["200"]["application/json"]))
    with patch.object(runner, "COMMAND", ("cat", str(answer))):
        yield


async def run_schemathesis(url: str, folder: Path, *options: str) -> Run:
    """Run schemathesis against the API at `url`, with a fixed seed; its files go to `folder`."""
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    run = await asyncio.create_subprocess_exec(
        SCHEMATHESIS,
        *("run", f"{url}/openapi.json", "--seed=1", "--no-color", *options),
        # Most of its answers have no end.
        "--exclude-operation-id=stream_events",
        cwd=folder,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await run.communicate()
    finally:
        if run.returncode is None:
            run.kill()
            await run.wait()
    return Run(run.returncode or 0, output.decode())
