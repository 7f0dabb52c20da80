"""
Takes pictures of the page for README and docs, so that they are never those of an older one.

They are WebP, which the browser itself writes: a tenth of the size of what it photographs.
"""

import asyncio
import os
import shutil
import socket
import sys
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from aiohttp import ClientError, ClientSession, ClientTimeout
from playwright.async_api import Browser, Error, Page, async_playwright

from worker.latest.settings import PREFIX
from worker.reporting.terminal import get_typed_name, print_line

FOLDER = Path("docs/pictures")
MOST_BYTES = 80_000
QUALITIES = (0.9, 0.8, 0.7, 0.55, 0.4, 0.25)
"""Tried in this order, until a picture is small enough."""
START_SECONDS = 180.0
SHOW_SECONDS = 60.0
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
SHRINK = """async ([png, quality]) => {
    const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes]));
    const canvas = new OffscreenCanvas(image.width, image.height);
    canvas.getContext("2d").drawImage(image, 0, 0);
    const written = new Uint8Array(await (await canvas.convertToBlob({ type: "image/webp", quality })).arrayBuffer());
    return btoa(Array.from(written, (byte) => String.fromCharCode(byte)).join(""));
}"""


class Picture(NamedTuple):
    """A view as it is photographed."""

    name: str
    path: str
    scheme: Literal["dark", "light"] = "light"


class CannotTakePictures(Exception):
    """The message says why, and what would help."""


def main() -> int:
    url, prefix = (*sys.argv[1:], "", "")[:2]
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        print("no Chromium was found; Debian's is: apt-get install chromium", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        asyncio.run(take_pictures(program, url.rstrip("/"), prefix))
    except CannotTakePictures as error:
        print(error, file=sys.stderr)
        return 1
    print_line(f"the pictures are in {FOLDER}; next: git diff --stat {FOLDER}")
    return 0


async def take_pictures(program: str, url: str, prefix: str) -> None:
    """Take every picture of what is served at `url`; where that is empty, of a demo that is started and stopped again."""
    async with serve_demo() if not url else _name(url) as home, async_playwright() as playwright:
        await wait_until_ready(home)
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        for picture in await list_pictures(home):
            file = FOLDER / f"{prefix}{'-' if prefix else ''}{picture.name}.webp"
            content = await take_picture(browser, home, picture)
            file.write_bytes(content)
            print_line(f"{file}: {len(content) // 1000} kB")
        await browser.close()


@asynccontextmanager
async def _name(url: str) -> AsyncIterator[str]:
    yield url


@asynccontextmanager
async def serve_demo() -> AsyncIterator[str]:
    """Run the demo on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        bind = f"127.0.0.1:{free.getsockname()[1]}"
    print_line(f"starting the demo on {bind}")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "scripts.supervisor", "--demo", env=os.environ | {f"{PREFIX}BIND": bind}
    )
    try:
        yield f"http://{bind}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def wait_until_ready(home: str) -> None:
    """Wait until a market is there whose past day is filled."""
    try:
        async with asyncio.timeout(START_SECONDS), ClientSession(timeout=ClientTimeout(10)) as session:
            while not await _is_filled(session, home):  # noqa: ASYNC110  # nobody tells when it is
                await asyncio.sleep(1)
    except TimeoutError as error:
        raise CannotTakePictures(
            f"{home} was not ready in {START_SECONDS:g} seconds; see {home}/health/ready, and {get_typed_name('scripts/screenshots.sh')} again"
        ) from error


async def _is_filled(session: ClientSession, home: str) -> bool:
    try:
        async with session.get(f"{home}/health/ready") as answer:
            health = await answer.json()
    except (ClientError, TimeoutError, ValueError):
        return False
    sources = health.get("sources", {}).values()
    return health.get("tick", {}).get("at") is not None and not any(source["filling"] for source in sources)


async def list_pictures(home: str) -> list[Picture]:
    """Return what is photographed: each view, and of metrics the one that moves most."""
    async with (
        ClientSession(timeout=ClientTimeout(30)) as session,
        session.get(f"{home}/v1/ranks", params={"measure": "price", "by": "cv", "limit": 1}) as answer,
    ):
        ranks = (await answer.json()).get("ranks", [])
    if not ranks:
        raise CannotTakePictures(f"{home} has no metric of which there could be a picture; wait for a tick")
    return [
        Picture("overview", "/"),
        Picture("overview-dark", "/", "dark"),
        Picture("metric", f"/m/{ranks[0]['metric']}", "dark"),
        Picture("alerts", "/alerts"),
        Picture("rules", "/rules"),
        Picture("top", "/top"),
        Picture("status", "/status"),
    ]


async def take_picture(browser: Browser, home: str, picture: Picture) -> bytes:
    """Return a picture, in the best quality in which it is small enough."""
    page = await browser.new_page(
        viewport={"width": 1280, "height": 800}, color_scheme=picture.scheme, reduced_motion="reduce"
    )
    try:
        await page.goto(f"{home}{picture.path}", timeout=SHOW_SECONDS * 1000)
        await page.locator("#tick", has_text="last tick").wait_for(timeout=SHOW_SECONDS * 1000)
        await page.locator("main > *").first.wait_for(timeout=SHOW_SECONDS * 1000, state="attached")
        # What a view asks for then has no end that could be awaited: the stream of events goes on.
        await page.wait_for_timeout(1500)
        png = b64encode(await page.screenshot()).decode()
        return await _shrink(page, png)
    except Error as error:
        raise CannotTakePictures(f"no picture of {home}{picture.path}: {error.message}") from error
    finally:
        await page.close()


async def _shrink(page: Page, png: str) -> bytes:
    content = b""
    for quality in QUALITIES:
        content = b64decode(await page.evaluate(SHRINK, [png, quality]))
        if len(content) <= MOST_BYTES:
            break
    return content


if __name__ == "__main__":
    raise SystemExit(main())
