"""nginx with the files of `deploy/nginx`, on a port of its own, in front of whatever a test puts behind it."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support import missing
from tests.support.servers import free_port

FILES = Path(__file__).resolve().parents[2] / "deploy" / "nginx"
START_SECONDS = 60.0


def find_nginx() -> str:
    """Return the path of nginx. Skips the test where there is none."""
    found = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if found is None or missing.is_hidden("nginx"):
        missing.skip("nginx")
    return found


def write_configuration(folder: Path, upstream: str, port: int) -> Path:
    """Lay the files out as in /etc/nginx; return the one to start with."""
    shutil.copytree(FILES, folder / "data-tracker")
    (folder / "mime.types").write_text("types { text/html html; }")
    text = (FILES / "nginx.conf").read_text()
    for ours, here in (("api:8000", upstream), ("listen 8080", f"listen 127.0.0.1:{port}"), ("/tmp/", f"{folder}/")):
        assert ours in text
        text = text.replace(ours, here)
    (folder / "nginx.conf").write_text(text)
    return folder / "nginx.conf"


@asynccontextmanager
async def running_edge(folder: Path, upstream: str) -> AsyncIterator[str]:
    """Run nginx in front of `host:port`; return the base of its addresses."""
    nginx, port = find_nginx(), free_port()
    configuration = write_configuration(folder, upstream, port)
    # Started by root it would give its folders to a user who may not look into those of tests.
    as_root = " user root;" if os.geteuid() == 0 else ""
    with (folder / "nginx.log").open("wb") as log:
        process = subprocess.Popen(
            [nginx, "-c", configuration, "-e", "stderr", "-g", f"daemon off;{as_root}"], stdout=log, stderr=log
        )
        try:
            await _wait_until_listening(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait)


async def _wait_until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(START_SECONDS):
        while process.poll() is None:
            try:
                _, opened = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                opened.close()
                return
    raise AssertionError("nginx ended")
