"""
`python -m bench.bare`: the least that can answer, an ASGI function which looks nothing up but its own answers, in the
file that `TRACKER_BENCH_ANSWERS` names. Served by the API's own server it shows what the API's own work costs; served by
`hypercorn bench.bare:app`, what everybody has without any work.
"""

import asyncio
import base64
import gc
import json
import os
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import uvloop
from hypercorn.typing import Framework

from bench import processes
from bench.load import FetchedAnswer
from tests.support.servers import free_port
from v1.server import serve
from v1.server.configuration import make_limits, make_server_config
from v1.server.sockets import listen
from v1.settings import Settings

START_SECONDS = 30.0
ANSWERS = "TRACKER_BENCH_ANSWERS"
BY_THE_SERVER = ("date", "connection", "transfer-encoding")
"""Headers that the server adds by itself."""

Sent = tuple[list[tuple[bytes, bytes]], bytes]


_answers: dict[str, Sent] = {}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer with what is at the path; what there is, is read at the start."""
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            _answers.update(_read_answers(Path(os.environ[ANSWERS])))
            await send({"type": f"lifespan.{step}.complete"})
        return
    headers, body = _answers[scope["path"]]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    settings = Settings.load(bind="127.0.0.1:0", redis_url="redis://127.0.0.1:1")
    listener = listen(settings.bind)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    gc.collect()
    gc.freeze()
    never = asyncio.Event()
    uvloop.run(serve(cast("Framework", app), listener, make_server_config(), make_limits(settings), never.wait))


@contextmanager
def running(folder: Path, answers: Mapping[str, FetchedAnswer]) -> Iterator[str]:
    """Serve answers by the API's server, each at its path, as they were fetched; return the base of their URLs."""
    _write_answers(folder, answers)
    with processes.started(folder, "bench.bare", bench_answers=folder / "answers.json") as process:
        assert process.stdout
        yield process.stdout.readline().strip()


@contextmanager
def running_by_hypercorn(folder: Path, answers: Mapping[str, FetchedAnswer]) -> Iterator[str]:
    """Serve the same by Hypercorn's own command, on the loop that the API has; return the base of their URLs."""
    _write_answers(folder, answers)
    where = f"127.0.0.1:{free_port()}"
    words = ["hypercorn", "--worker-class", "uvloop", "--bind", where, "bench.bare:app"]
    with processes.started(folder, *words, bench_answers=folder / "answers.json"):
        _wait_for(f"http://{where}{next(iter(answers))}")
        yield f"http://{where}"


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _write_answers(folder: Path, answers: Mapping[str, FetchedAnswer]) -> None:
    written = {path: [answer.headers, base64.b64encode(answer.body).decode()] for path, answer in answers.items()}
    (folder / "answers.json").write_text(json.dumps(written), encoding="ascii")


def _read_answers(file: Path) -> dict[str, Sent]:
    written = json.loads(file.read_text(encoding="ascii"))
    return {
        path: (
            [(name.encode(), value.encode()) for name, value in headers if name not in BY_THE_SERVER],
            base64.b64decode(body),
        )
        for path, (headers, body) in written.items()
    }


if __name__ == "__main__":
    main()
