"""
The contract. Requests of every kind that the OpenAPI document allows and forbids, made by schemathesis with a fixed
seed, sent to the API over a filled store: no answer may be other than the document promises. The test of the same name
sends a few of each kind; here are 20,000, every boundary value of every parameter among them, and chains of requests in
which one uses what another has answered.
"""

import asyncio
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import servers
from bench.report import Figure
from tests.support.openapi_run import LONGEST_HEAD, Run, canned_backtests, fill_for_run, run_schemathesis
from tests.support.serving import Clock, serving
from v1.archive import connect_archive
from v1.archive.writer import ArchiveWriter

EXAMPLES = 400
"""Of each operation beside its boundary values, where so many different ones can be made; and so many chains."""
FEWEST = 20_000
PHASES = "examples,coverage,fuzzing,stateful"


def measure() -> Iterator[Figure]:
    run = asyncio.run(_run())
    if run.code:
        raise RuntimeError(run.output)
    counted = re.search(r"([0-9,]+) generated", run.output)
    count = int(counted[1].replace(",", "")) if counted else 0
    yield Figure("answers that the document does not promise", "0", "0", True, f"of {count:,} requests, {PHASES}")
    yield Figure("requests", f"{count:,}", f"at least {FEWEST:,}", count >= FEWEST, "all checks of schemathesis")


async def _run() -> Run:
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        address = f"sqlite+aiosqlite:///{here / 'archive.db'}"
        async with connect_archive(address, "bench", writes=True) as engine:
            await ArchiveWriter(engine).open()
        async with servers.running(next(iter(servers.binaries()))) as store:
            await fill_for_run(store.redis)
            with canned_backtests(here):
                async with serving(Clock(), store.address, database_url=address, head_bytes=LONGEST_HEAD) as api:
                    return await run_schemathesis(
                        api.url, here, f"--max-examples={EXAMPLES}", f"--phases={PHASES}", "--workers=2"
                    )
