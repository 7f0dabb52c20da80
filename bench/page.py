"""
The page in Chromium, the server beside it on the same cores: how soon it shows data, how smoothly 10,000 rows scroll,
and what a full reading of them costs.
"""

import asyncio
from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple

from bench import api
from bench.report import Figure, at_least, at_most, beside
from tests.support.browsing import browsing
from v1.model import HOUR

METRICS = 10_000
FEW = 500
STEPS = 300
ROUNDS = 3
SCROLL = """async (steps) => {
    const grid = document.querySelector(".rows"), gaps = [];
    let before = await new Promise(requestAnimationFrame);
    for (let step = 1; step <= steps; step++) {
        grid.scrollTop = (grid.scrollHeight - grid.clientHeight) * step / steps;
        const now = await new Promise(requestAnimationFrame);
        gaps.push(now - before);
        before = now;
    }
    return gaps;
}"""
FIRST_ROW = """() => document.querySelector(".rows .name[role=gridcell]")?.textContent ? performance.now() : false"""
ALL_READ = """() => document.querySelector(".rows .name[role=gridcell]")?.textContent
    && !/reading/.test(document.querySelector(".count").textContent) ? performance.now() : false"""
"""That changes, ranks and states are there, too."""


class Visit(NamedTuple):
    """Milliseconds from the beginning of a visit."""

    first_row: float
    all_read: float


def measure() -> Iterator[Figure]:
    for metrics in (FEW, METRICS):
        with api.fill_store(metrics, 2 * HOUR) as store, api.serve_api(store, **api.HELD) as base:
            visits = [asyncio.run(_visit(base)) for _ in range(ROUNDS + 1)]
            first, later = visits[0], visits[1:]
            how = f"{metrics:,} metrics, median of {ROUNDS} visits with an empty cache of the browser, the API has the answer"
            yield at_most("the first row with data is there after", _find_median(later, 0), 1000, " ms", how)
            yield at_most("all that is known of all metrics is there after", _find_median(later, 1), 1000, " ms", how)
            how = f"{metrics:,} metrics, the first visit after a tick: the API makes the answer meanwhile"
            yield at_most("the first row with data is there after", first.first_row, 1000, " ms", how)
            yield beside("all that is known of all metrics is there after", f"{first.all_read:.0f} ms", how)
            if metrics == FEW:
                continue
            gaps = asyncio.run(_measure_scroll(base))
            how = f"{metrics:,} rows, the whole list in {STEPS} steps, one a frame"
            yield at_least("frames a second while it scrolls", 1000 * len(gaps) / sum(gaps), 50, "", how)
            yield beside("the longest of 95 % of the frames", f"{sorted(gaps)[int(0.95 * len(gaps))]:.0f} ms", how)


def _find_median(visits: Sequence[Visit], place: int) -> float:
    return median(visit[place] for visit in visits)


async def _visit(base: str) -> Visit:
    async with browsing(1440, 900, is_watched=False) as browser:
        await browser.page.goto(f"{base}/")
        found = [await browser.page.wait_for_function(each, timeout=60_000) for each in (FIRST_ROW, ALL_READ)]
        return Visit(*[float(await each.json_value()) for each in found])


async def _measure_scroll(base: str) -> list[float]:
    """Return the milliseconds between frames."""
    async with browsing(1440, 900, is_watched=False) as browser:
        await browser.page.goto(f"{base}/")
        await browser.page.wait_for_function(ALL_READ, timeout=60_000)
        return [float(each) for each in await browser.page.evaluate(SCROLL, STEPS)]
