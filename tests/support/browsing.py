"""A real browser that can reach this machine and nobody else."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import ConsoleMessage, Page, Route, async_playwright

from tests.support import missing

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

_ALONE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


_EXAMINED: set[Page] = set()
"""Pages that axe has looked at: what it tries to style is refused by the policy of the page, and not the page's doing."""


class Browser(NamedTuple):
    """A page of the browser, whom else it asked, and what it complained of."""

    page: Page
    asked: list[str]
    complaints: list[str]


@asynccontextmanager
async def browsing(
    width: int = 1000, height: int = 900, *, is_watched: bool = True, **options: Any
) -> AsyncIterator[Browser]:
    """
    Yield a page that can reach this machine and nobody else. `options` are those of Playwright's contexts.

    `is_watched`: whom else it asks is noted. Then each request passes this process, which takes several milliseconds;
    where it is not, no other host has an address.
    """
    chromium = missing.program("chromium")
    if chromium is None:
        missing.skip("chromium")
    asked: list[str] = []
    complaints: list[str] = []

    def complain(message: ConsoleMessage) -> None:
        if _is_complaint(message):
            complaints.append(message.text)

    async with async_playwright() as playwright:
        program = await playwright.chromium.launch(
            executable_path=chromium, args=FLAGS if is_watched else [*FLAGS, _ALONE]
        )
        context = await program.new_context(viewport={"width": width, "height": height}, **options)
        # Of the context: a test may open more of its pages.
        if is_watched:
            await context.route("**/*", _make_guard(asked))
        context.on("console", complain)
        context.on("weberror", lambda failure: complaints.append(str(failure.error)))
        page = await context.new_page()
        yield Browser(page, asked, complaints)
        await program.close()
        _EXAMINED.discard(page)


def _make_guard(asked: list[str]) -> Callable[[Route], Awaitable[None]]:
    """Return what stops requests to other hosts, and notes them."""

    async def stay_at_home(route: Route) -> None:
        if urlsplit(route.request.url).hostname == "127.0.0.1":
            await route.continue_()
        else:
            asked.append(route.request.url)
            await route.abort()

    return stay_at_home


def _is_complaint(message: ConsoleMessage) -> bool:
    """Return whether it is the page's: of axe it is not, and what it makes of an answer of 4xx is its tests' to look at."""
    is_of_axe = message.page in _EXAMINED and message.text.startswith("Applying inline style violates")
    is_expected = message.text.startswith("Failed to load resource") or is_of_axe
    return message.type in ("error", "warning") and not is_expected


async def find_barriers(page: Page) -> list[str]:
    """
    Return what of a page keeps somebody out, as axe finds it in light and dark: its serious and its critical findings.

    WCAG 2.2 in levels A and AA, and good practice. The colours that the page had before are those that it has again.
    """
    found: list[str] = []
    _EXAMINED.add(page)
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        results = await Axe().run(page, options={"resultTypes": ["violations"], "preload": False})
        found += [
            f"{scheme}, {violation['id']}: {violation['help']}: {node['html']}"
            for violation in results.response["violations"]
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]
    await page.emulate_media(color_scheme="null")
    return found
