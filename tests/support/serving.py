"""The API on a loopback port of its own, a clock that stands where a test puts it, and samples to ask for."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any, NamedTuple, cast

from aiohttp import ClientSession
from hypercorn.typing import Framework

from v1.market.metric_state import SourceReading, advance
from v1.model import MEASURES, Metric, Reading, Sample
from v1.server import serve
from v1.server.answers import AnswerMemory
from v1.server.app import create_app
from v1.server.configuration import make_limits, make_server_config
from v1.server.sockets import listen
from v1.settings import Settings
from v1.store import Writer

NOON = 1_621_252_800
"""2021-05-17T12:00:00Z, the newest tick of most tests."""
MINUTE = 60
HOUR = 3600
DAY = 86400


class Clock:
    """Says the time that it was told, five seconds after noon at first."""

    def __init__(self) -> None:
        self.now = NOON + 5.0

    def __call__(self) -> float:
        return self.now


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Api:
    """Asks the API over HTTP."""

    def __init__(self, session: ClientSession, url: str, answers: AnswerMemory) -> None:
        self._session = session
        self.url = url
        self.answers = answers
        """What it keeps of its answers."""

    async def get(
        self, path: str, query: Mapping[str, object] | None = None, method: str = "GET", **headers: str
    ) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        parameters = {name: str(value) for name, value in (query or {}).items()}
        async with self._session.request(method, self.url + path, params=parameters, headers=named) as answer:
            # What is no text (Arrow) has a text, too, of which nothing is asked.
            return Answer(answer.status, answer.headers, await answer.text(errors="replace"))

    async def read_bytes(self, path: str, query: Mapping[str, object] | None = None, **headers: str) -> bytes:
        """Return the body of an answer that is no text."""
        parameters = {name: str(value) for name, value in (query or {}).items()}
        async with self._session.get(self.url + path, params=parameters, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.read()

    async def send(self, method: str, path: str, document: object = None, **headers: str) -> Answer:
        """Send a document, as JSON; a text is sent as it is."""
        named = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        body = document if isinstance(document, str) else json.dumps(document)
        # As a file, for aiohttp warns of a large body that is not one.
        sent = BytesIO(body.encode(errors="surrogatepass"))
        async with self._session.request(method, self.url + path, data=sent, headers=named) as answer:
            return Answer(answer.status, answer.headers, await answer.text())


async def raw(api: Api, head: bytes) -> Answer:
    """Send a request as it stands, without the end of its head; a client would mend it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]))
    writer.write(head + b"\r\nConnection: close\r\n\r\n")
    said, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    status, *headers = said.decode("latin-1").split("\r\n")
    named = dict(line.lower().split(": ", 1) for line in headers)
    return Answer(int(status.split()[1]), named, body.decode(errors="replace"))


@asynccontextmanager
async def serving(clock: Clock, redis: str, stop: asyncio.Event | None = None, **settings: Any) -> AsyncIterator[Api]:
    """Serve the API on a free port, and stop it at the end, or when `stop` is set."""
    known = Settings.load(**({"bind": "127.0.0.1:0", "redis_url": redis, "interval": MINUTE} | settings))
    stop = stop or asyncio.Event()
    app = create_app(known, clock, stop)
    listener = listen(known.bind)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    instruments = app.state.telemetry.instruments.server
    server = asyncio.create_task(
        serve(
            cast("Framework", app),
            listener,
            make_server_config(),
            make_limits(known),
            stop.wait,
            instruments=instruments,
            may_send_much=app.state.may_send_much,
        )
    )
    try:
        async with ClientSession() as session:
            yield Api(session, url, app.state.answers)
    finally:
        stop.set()
        await server


def sample(tick: int, price: str | None = None, **others: str) -> Sample:
    """Make a sample of the measures that are given."""
    values = others if price is None else {"price": price, **others}
    return Sample(tick, tuple([values.get(measure) for measure in MEASURES]))


def every_minute(prices: Iterable[str], until: int = NOON, **others: str) -> list[Sample]:
    """Make one sample a minute, the last one at `until`."""
    written = list(prices)
    first = until - (len(written) - 1) * MINUTE
    return [sample(first + index * MINUTE, price, **others) for index, price in enumerate(written)]


async def tick(writer: Writer, at: int, prices: Mapping[str, str]) -> None:
    """Commit a tick as the worker does."""
    await writer.open()
    metrics = [Metric(metric) for metric in prices]
    async with writer.open_tick(at) as unit:
        states = await unit.read_states(metrics)
        updates = [
            advance(metric, at, SourceReading(Reading(prices[metric]), "tests"), state)
            for metric, state in zip(metrics, states, strict=True)
        ]
        await unit.commit([update for update in updates if update])


async def fill(
    writer: Writer,
    metrics: Mapping[str, Sequence[Sample]],
    at: int = NOON,
    source: str = "tests",
    *,
    is_marked: bool = False,
) -> None:
    """Put samples into the store and derive what follows, as of tick `at`; without marks they count as sampled."""
    await writer.open()
    for metric, samples in metrics.items():
        await writer.insert_samples(Metric(metric), samples, source, at)
        (state,) = await writer.read_metric_states([Metric(metric)])
        if state and not is_marked:
            await writer.repair.put_state(Metric(metric), state._replace(marks=""))
    await writer.update_rankings(at)
