"""
The page in Chromium, the server beside it on the same cores: how soon it shows data, how smoothly 10,000 rows scroll,
and what a full reading of them costs.
"""

import asyncio
from collections.abc import Iterator
from statistics import median

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


def measure() -> Iterator[Figure]:
    for metrics in (FEW, METRICS):
        with api.fill_store(metrics, HOUR) as store, api.serve_api(store) as base:
            shown = [asyncio.run(_measure_first_row(base)) for _ in range(ROUNDS)]
            how = f"{metrics:,} metrics, median of {ROUNDS} visits with an empty cache of the browser"
            if metrics == FEW:
                yield at_most("the first row with data is there after", median(shown), 1000, " ms", how)
                continue
            yield beside("the first row with data is there after", f"{median(shown):.0f} ms", how)
            gaps = asyncio.run(_measure_scroll(base))
            how = f"{metrics:,} rows, the whole list in {STEPS} steps, one a frame"
            yield at_least("frames a second while it scrolls", 1000 * len(gaps) / sum(gaps), 50, "", how)
            yield beside("the longest of 95 % of the frames", f"{sorted(gaps)[int(0.95 * len(gaps))]:.0f} ms", how)


async def _measure_first_row(base: str) -> float:
    """Return after how many milliseconds of a visit a row is there."""
    async with browsing(1440, 900) as browser:
        await browser.page.goto(f"{base}/")
        found = await browser.page.wait_for_function(FIRST_ROW, timeout=60_000)
        return float(await found.json_value())


async def _measure_scroll(base: str) -> list[float]:
    """Return the milliseconds between frames."""
    async with browsing(1440, 900) as browser:
        await browser.page.goto(f"{base}/")
        await browser.page.wait_for_function(FIRST_ROW, timeout=60_000)
        await browser.page.wait_for_function("() => !/^0 of/.test(document.body.innerText)", timeout=60_000)
        return [float(each) for each in await browser.page.evaluate(SCROLL, STEPS)]
