"""What the page weighs, and whose library it has: as it was looked at, and with the notice that its licence wants."""

import gzip
from hashlib import sha256

from tests.support.serving import Api
from v1.routes.pages import CHARTS, PAGE

MOST = 300_000
"""Bytes, compressed: of every file that any view loads, and the library of charts."""


async def test_the_whole_page_is_lighter_than_300_kb(api: Api):
    files = sorted(path for path in PAGE.rglob("*") if path.is_file())
    paths = [f"/page/{path.relative_to(PAGE)}" for path in files] + ["/page/lib/lightweight-charts.js"]
    weights = {path: len(gzip.compress((await api.get(path)).text.encode())) for path in paths}

    assert weights["/page/lib/lightweight-charts.js"] > 50_000
    assert len(weights) > 20
    assert sum(weights.values()) < MOST, weights


async def test_the_library_of_charts_is_the_one_that_was_looked_at_and_its_notice_is_in_the_footer(api: Api):
    served = (await api.get("/page/lib/lightweight-charts.js")).text.encode()
    footer = (await api.get("/m/KRAKEN:BTCUSD")).text.split("<footer>")[1]

    assert sha256(served).hexdigest() == "756b0ba9f58930226d6b8b9d47ad310448ab85d799ea1f7c2c02304777c10b52"
    assert served == CHARTS.read_bytes()
    assert b"Copyright (c) 2025 TradingView, Inc." in served
    assert "TradingView" in footer
    assert "Lightweight Charts" in footer
    assert 'href="https://www.tradingview.com/"' in footer
    assert "2025 TradingView, Inc." in footer
