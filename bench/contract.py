"""
The contract. Requests of every kind that the OpenAPI document allows and forbids, made by schemathesis with a fixed
seed, sent to the API over a filled store: no answer may be other than the document promises. The test of the same name
sends a few of each kind; here are many, and every boundary value of every parameter.
"""

import asyncio
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import servers
from bench.report import Figure
from tests.support.openapi_run import Run, canned_backtests, fill_for_run, run_schemathesis
from tests.support.serving import Clock, serving
from v1.archive import connect_archive
from v1.archive.writer import ArchiveWriter

EXAMPLES = 100
"""Of each operation in the last phase."""


def measure() -> Iterator[Figure]:
    run = asyncio.run(_run())
    if run.code:
        raise RuntimeError(run.output)
    counted = re.search(r"([0-9,]+) generated", run.output)
    yield Figure(
        "answers that the document does not promise",
        "0",
        "0",
        True,
        f"{counted[1] if counted else 'all'} requests, {EXAMPLES} of each operation beside its boundary values",
    )


async def _run() -> Run:
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        address = f"sqlite+aiosqlite:///{here / 'archive.db'}"
        async with connect_archive(address, "bench", writes=True) as engine:
            await ArchiveWriter(engine).open()
        async with servers.running(next(iter(servers.binaries()))) as store:
            await fill_for_run(store.redis)
            with canned_backtests(here):
                async with serving(Clock(), store.address, database_url=address) as api:
                    phases = "--phases=examples,coverage,fuzzing"
                    return await run_schemathesis(api.url, here, f"--max-examples={EXAMPLES}", phases)
