"""
`python -m bench.bare FILE`: the least that can answer, an ASGI function which looks nothing up but its own answers,
served by the same server as the API. It stands beside the API in measurements.
"""

import asyncio
import base64
import gc
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import uvloop
from hypercorn.typing import Framework

from bench import processes
from bench.load import FetchedAnswer
from v1.server import serve
from v1.server.configuration import make_limits, make_server_config
from v1.server.sockets import listen
from v1.settings import Settings

BY_THE_SERVER = ("date", "connection", "transfer-encoding")
"""Headers that the server adds by itself."""

Sent = tuple[list[tuple[bytes, bytes]], bytes]


def main() -> None:
    answers = _read_answers(Path(sys.argv[1]))
    settings = Settings.load(bind="127.0.0.1:0", redis_url="redis://127.0.0.1:1")
    listener = listen(settings.bind)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        headers, body = answers[scope["path"]]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    gc.collect()
    gc.freeze()
    never = asyncio.Event()
    uvloop.run(serve(cast("Framework", answer), listener, make_server_config(), make_limits(settings), never.wait))


@contextmanager
def running(folder: Path, answers: Mapping[str, FetchedAnswer]) -> Iterator[str]:
    """Serve answers, each at its path, as they were fetched; return the base of their URLs."""
    written = {path: [answer.headers, base64.b64encode(answer.body).decode()] for path, answer in answers.items()}
    (folder / "answers.json").write_text(json.dumps(written), encoding="ascii")
    with processes.started(folder, "bench.bare", "answers.json") as process:
        assert process.stdout
        yield process.stdout.readline().strip()


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
