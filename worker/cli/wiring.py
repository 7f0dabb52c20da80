"""What the commands are put together from: connections, sources and senders, made as the settings say."""

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial
from urllib.parse import urlsplit

import structlog
from aiohttp import ClientMiddlewareType, ClientSession, ClientTimeout, TCPConnector, ThreadedResolver

from worker.archiving.late_hours import LateHours
from worker.cli.process import wait_for_format
from worker.clock.wall import Ask, WatchedClock
from worker.delivery.dispatcher import Dispatcher
from worker.delivery.messages import MessageOptions
from worker.delivery.notify import sessions
from worker.delivery.notify.base import Notifier
from worker.delivery.notify.calls import call_address
from worker.delivery.notify.sessions import USER_AGENT
from worker.latest import DAY, HOUR, __version__
from worker.latest.delivery import ChannelStore
from worker.latest.market import StateUpdate
from worker.latest.sharing import HomeWriter, find_lease_seconds, get_places
from worker.latest.store import AlertLimits, BudgetStore, DataFormat, RuleStore, Writer, connect
from worker.reporting.metrics import WorkerInstruments
from worker.sampling.heartbeat import Heartbeat
from worker.sampling.rule_provider import RuleProvider
from worker.settings import WorkerSettings
from worker.settings.ccxt_names import is_ccxt
from worker.settings.proxies import ProxySettings, show_proxy
from worker.settings.servers import AskedServer, list_servers
from worker.sources import dates
from worker.sources.answers.files import FOLDER as ANSWERS
from worker.sources.answers.files import AnswerFiles, AnswerLimits
from worker.sources.answers.keeper import AnswerKeeper, run_keeper
from worker.sources.answers.lines import AnswersHeader
from worker.sources.base import Source, make_wish_filter
from worker.sources.binance import BinanceSource
from worker.sources.budget import (
    BINANCE,
    COINBASE,
    CRYPTOWATCH,
    FLIGHT_SECONDS,
    KRAKEN,
    BudgetTerms,
    NoBudget,
    ProviderBudget,
    RequestBudget,
)
from worker.sources.by_ccxt import CcxtSource, describe_exchange
from worker.sources.coinbase import CoinbaseSource
from worker.sources.coinmarketcap import CoinMarketCap
from worker.sources.cryptocompare import CryptoCompare
from worker.sources.cryptowatch import CryptowatchSource
from worker.sources.kraken import KrakenSource
from worker.sources.request_trace import RecordRequest, make_request_trace
from worker.sources.simulated import SimulatedSource
from worker.sources.simulated.toplists import SimulatedPrices, SimulatedRanks
from worker.sources.streams.binance import BinanceStream
from worker.sources.streams.connection import Clocks
from worker.sources.streams.events import StreamProtocol
from worker.sources.streams.feed import StreamFeed
from worker.sources.streams.kraken import KrakenStream
from worker.sources.streams.streamed_ticks import StreamedTicks
from worker.sources.supervised import LookAfter, SupervisedSource, supervise
from worker.toplist import pricing, roles

log = structlog.get_logger()

SessionFor = Callable[[str], ClientSession]
"""Returns the session for an address; whoever opened it closes it."""

LONGEST_TIMEOUT = float(FLIGHT_SECONDS)
"""Seconds that a source may take for an answer, however long the interval is."""
HOME_LEASES = 3
"""By how much the lease of whoever hands out the ticks is longer than one of a partition: who loses it ends, and begins anew."""
TERMS: Mapping[str, BudgetTerms] = {
    "kraken": KRAKEN,
    "binance": BINANCE,
    "coinbase": COINBASE,
    "cryptowatch": CRYPTOWATCH,
}
"""What the provider of each source allows an address."""


@asynccontextmanager
async def open_store(  # noqa: PLR0913  # all but the first two by name
    settings: WorkerSettings,
    late_hours: LateHours | None = None,
    *,
    send: bool = True,
    push: bool = True,
    wait: bool = False,
    shares: bool = False,
    observe: Callable[..., None] | None = None,
) -> AsyncIterator[Writer]:
    """
    Return the store, which notes `late_hours`. Without `send` alerts are sent through no channel, and without `push`
    they are not told to clients that listen to events.

    `observe` takes how long each exchange with Redis took. Raises `OtherFormat` where it holds data of another format.
    `wait` for a Redis that is away, or else raise `StoreAway`. Of one that is divided, `shares` leaves the partitions to
    whoever has them.
    """
    late = LateHours() if late_hours is None else late_hours
    opened = connect(settings.redis_address, "data-tracker-worker", observe=observe, partitions=settings.partitions)
    async with opened as redis:
        data = DataFormat(redis)
        await (wait_for_format(data) if wait else data.ensure())
        limits = AlertLimits(keep=settings.alert_days * DAY, send=send, push=push)
        kind = HomeWriter if shares and get_places(redis).is_divided else Writer
        store = kind(redis, limits, note_late_samples=late.add, min_coverage=settings.min_coverage)
        if kind is HomeWriter:
            store.lease.seconds = HOME_LEASES * find_lease_seconds(settings.interval)
        yield store


@asynccontextmanager
async def open_rule_provider(
    settings: WorkerSettings, *, is_live: bool = True, only_reads: bool = False
) -> AsyncIterator[RuleProvider]:
    """
    Return the rules; those of a live run know which metrics and sources are still asked for.

    With `only_reads` the rules file is left to another one, who writes its rules to the store.
    """
    asked = [server.source for server in list_servers(settings)]
    is_expected = make_expectation(asked, settings.metrics) if is_live else None
    async with connect(settings.redis_address, "data-tracker-rules") as redis:
        file = None if only_reads else settings.rules_file
        yield RuleProvider(RuleStore(redis), settings.interval, file, is_expected, only_reads=only_reads)


def make_expectation(sources: Sequence[str], wishes: Sequence[str]) -> Callable[[StateUpdate], bool]:
    """
    Return the test whether samples of a metric are still asked for, by the settings.

    What is not wished for any more, or was played from a recording, may be silent: that is no outage.
    """

    def is_expected(step: StateUpdate) -> bool:
        exchange, _, pair = step.metric.partition(":")
        return step.record.source in sources and make_wish_filter(wishes, exchange)(pair)

    return is_expected


@asynccontextmanager
async def open_dispatcher(
    settings: WorkerSettings, notifiers: Sequence[Notifier], clock: WatchedClock, instruments: WorkerInstruments
) -> AsyncIterator[Dispatcher]:
    """Return what sends alerts, over connections of its own, ready before the first tick is committed."""
    async with connect(settings.redis_address, "data-tracker-deliver") as redis:
        wording = MessageOptions(settings.public_page, settings.interval)
        channels = ChannelStore(redis, settings.alert_days * DAY)
        dispatch = Dispatcher(channels, notifiers, wording, clock=clock.now, instruments=instruments)
        await dispatch.open()
        yield dispatch


@asynccontextmanager
async def open_heartbeat(settings: WorkerSettings) -> AsyncIterator[Heartbeat]:
    address = settings.heartbeat_url
    async with sessions.make_heartbeat_session(
        settings.proxies.find_proxy(str(address)) if address else None
    ) as session:
        yield Heartbeat(partial(call_address, session, str(address)) if address else None)


@asynccontextmanager
async def open_sessions(
    proxies: ProxySettings,
    clock: WatchedClock,
    record: RecordRequest = lambda *_: None,
    middlewares: Sequence[ClientMiddlewareType] = (),
) -> AsyncIterator[SessionFor]:
    """
    Return the function that finds the session for an address: one session for each proxy.

    Each reports the `Date` of every answer to the clock, and every request to `record`. `middlewares` see every request.
    """
    made: dict[str | None, ClientSession] = {}
    for name in proxies.unusable:
        log.warning("a proxy of the environment is not used: only http:// and https:// are known", variable=name)

    def session_for(address: str) -> ClientSession:
        proxy = proxies.find_proxy(address)
        if proxy not in made:
            if proxy is not None:
                log.info("asking through a proxy", proxy=show_proxy(proxy))
            made[proxy] = _session(proxy, clock, record, middlewares)
            stack.push_async_callback(made[proxy].close)
        return made[proxy]

    async with AsyncExitStack() as stack:
        yield session_for


def _session(
    proxy: str | None, clock: WatchedClock, record: RecordRequest, middlewares: Sequence[ClientMiddlewareType]
) -> ClientSession:
    return ClientSession(
        timeout=ClientTimeout(total=LONGEST_TIMEOUT, connect=10),
        headers={"User-Agent": USER_AGENT},
        # Names are looked up as this machine does it, whether or not aiodns is there, which ccxt brings.
        connector=TCPConnector(limit_per_host=4, resolver=ThreadedResolver()),
        trace_configs=[dates.make_date_trace(clock.note_date), make_request_trace(record)],
        proxy=proxy,
        middlewares=middlewares,
    )


@asynccontextmanager
async def open_sources(  # noqa: PLR0913  # the last two by name
    settings: WorkerSettings,
    limit: float,
    clock: WatchedClock,
    record: RecordRequest = lambda *_: None,
    *,
    keep: bool = False,
    look_after: LookAfter = SupervisedSource,
) -> AsyncIterator[list[SupervisedSource]]:
    """
    Return the sources, each looked after; nothing is asked yet, and nothing is left unanswered at the end.

    With `keep` their answers are kept, where the settings say so. `look_after` makes who looks after one.
    """
    known = list_source_addresses(settings)
    async with (
        open_keeper(settings, known) if keep and settings.keep_answers else nullcontext() as keeper,
        open_sessions(settings.proxies, clock, record, [keeper.keep] if keeper else []) as session_for,
        connect(settings.redis_address, "data-tracker-budget") as redis,
    ):
        budgets = make_budgets(settings, BudgetStore(redis), clock)
        clock.set_askers(
            [_make_asker(session_for(address), address, budgets.get(source)) for source, address in known.items()]
        )
        made = [
            (source, session_for(known.get(source.name, "")))
            for source in make_sources(settings, budgets, clock=clock.wall)
        ]
        note_read = keeper.note_tick if keeper else lambda _: None
        with supervise(made, limit, note_read, look_after) as sources:
            async with open_streams(settings, sources, clock):
                yield sources


@asynccontextmanager
async def open_streams(
    settings: WorkerSettings, sources: Sequence[SupervisedSource], clock: WatchedClock
) -> AsyncIterator[None]:
    """Have ticks answered by streams where the settings say so; what is not sampled then opens none."""
    protocols = make_protocols()
    async with AsyncExitStack() as stack:
        for source in sources:
            if not settings.source_streams or source.name not in protocols:
                continue
            address = str(getattr(settings, f"{source.name}_stream_url"))
            # Streams last, so they must not take the few connections that requests share.
            session = ClientSession(
                timeout=ClientTimeout(total=None, connect=10),
                headers={"User-Agent": USER_AGENT},
                connector=TCPConnector(limit=0, resolver=ThreadedResolver()),
                proxy=settings.proxies.find_proxy(address.replace("ws", "http", 1)),
            )
            stack.push_async_callback(session.close)
            feed = StreamFeed(
                protocols[source.name],
                address,
                session,
                interval=settings.interval,
                rejects=source.rejects,
                clocks=Clocks(wall=clock.wall),
            )
            source.streamed = StreamedTicks(feed, settings.interval, source.rejects)
            # Before their session is closed, which would look like a fault of the provider.
            stack.callback(source.streamed.stop)
        yield


def make_protocols() -> dict[str, StreamProtocol]:
    """Return what each source that has streams speaks in them."""
    return {"kraken": KrakenStream(), "binance": BinanceStream()}


def list_stream_addresses(settings: WorkerSettings) -> dict[str, str]:
    """Return where the streams are that answer ticks, by source; none where the settings do not ask for them."""
    return {
        name: f"{str(getattr(settings, f'{name}_stream_url')).rstrip('/')}{protocol.path}"
        for name, protocol in make_protocols().items()
        if settings.source_streams and name in settings.sources
    }


def open_keeper(settings: WorkerSettings, known: Mapping[str, str]) -> AbstractAsyncContextManager[AnswerKeeper]:
    """Return what keeps the answers of the sources at their `known` addresses, in the data directory."""
    asked = tuple(server.source for server in list_servers(settings))
    header = AnswersHeader(__version__, settings.interval, asked, settings.metrics, settings.jump_limit)
    limits = AnswerLimits(settings.keep_answers * HOUR, settings.keep_answers_bytes)
    files = AnswerFiles(settings.data_dir.absolute() / ANSWERS, header, limits)
    key = settings.cryptowatch_api_key
    return run_keeper(AnswerKeeper(files, known, (key.get_secret_value(),) if key else ()))


def _make_asker(session: ClientSession, address: str, budget: ProviderBudget | None) -> Ask:
    if budget is None:
        return dates.make_asker(session, address)
    return dates.make_asker(session, address, budget.is_closed)


def make_budgets(settings: WorkerSettings, store: BudgetStore, clock: WatchedClock) -> dict[str, ProviderBudget]:
    """Return the budget of each source whose provider limits what may be asked, by source."""
    made: dict[str, ProviderBudget] = {}
    known = list_source_addresses(settings)
    for server in list_servers(settings):
        terms = find_terms(server.kind)
        if terms is None:
            continue
        address = known[server.source]
        proxy = settings.proxies.find_proxy(address)
        through = settings.egress if proxy is None else show_proxy(proxy)
        # One budget for each host, whatever source asks it.
        name = f"{server.kind.replace(':', '.')}:{urlsplit(address).netloc.rpartition('@')[2]}:{through}"
        made[server.source] = ProviderBudget(
            name, terms.take_percent(settings.budget_percent), store=store, clock=clock.wall
        )
    return made


def find_terms(kind: str) -> BudgetTerms | None:
    """Return what the provider of a source allows an address; `None` where nobody is asked."""
    return describe_exchange(kind).terms if is_ccxt(kind) else TERMS.get(kind)


def list_source_addresses(settings: WorkerSettings) -> dict[str, str]:
    """Return where the providers that are sampled are asked, by source; what is simulated is asked nowhere."""
    known = {
        server.source: describe_exchange(server.kind).address
        if server.address is None and is_ccxt(server.kind)
        else server.address
        for server in list_servers(settings)
    }
    return {name: address for name, address in known.items() if address is not None}


def list_addresses(settings: WorkerSettings) -> list[str]:
    """Return where the providers of the top list are asked."""
    if roles.is_simulated(settings):
        return []
    return [str(settings.coinmarketcap_url), str(settings.cryptocompare_url)]


def make_sources(
    settings: WorkerSettings,
    budgets: Mapping[str, RequestBudget] | None = None,
    *,
    clock: Callable[[], float] = time.time,
) -> list[Source]:
    """Return the sources, one for each server; without `budgets` they are not to be asked."""
    claimed = defaultdict(NoBudget, budgets or {})
    return [_make_source(settings, server, claimed[server.source], clock) for server in list_servers(settings)]


def _make_source(
    settings: WorkerSettings, server: AskedServer, budget: RequestBudget, clock: Callable[[], float]
) -> Source:
    wishes, interval, base = settings.metrics, settings.interval, str(server.address)
    key = settings.cryptowatch_api_key
    makers: dict[str, Callable[[], Source]] = {
        "kraken": lambda: KrakenSource(base, wishes, interval, budget),
        "binance": lambda: BinanceSource(base, wishes, interval, budget),
        "coinbase": lambda: CoinbaseSource(base, wishes, interval, budget=budget),
        "cryptowatch": lambda: CryptowatchSource(
            base, wishes, interval, key.get_secret_value() if key else None, budget
        ),
        "simulated": lambda: SimulatedSource(wishes, interval),
    }
    if is_ccxt(server.kind):
        return CcxtSource(server.source, server.address, wishes, interval, budget=budget, clock=clock)
    source = makers[server.kind]()
    source.name = server.source
    return source


def make_listers(settings: WorkerSettings, session_for: SessionFor) -> roles.TopListProviders:
    size, rows = settings.top_size, pricing.count_rows(settings)
    prices, ranks = settings.coinmarketcap_api_key, settings.cryptocompare_api_key
    if roles.is_simulated(settings):
        return roles.TopListProviders(SimulatedPrices(rows), SimulatedRanks(size))
    priced, ranked = list_addresses(settings)
    return roles.TopListProviders(
        CoinMarketCap(session_for(priced), priced, prices.get_secret_value() if prices else "", rows),
        CryptoCompare(session_for(ranked), ranked, ranks.get_secret_value() if ranks else "", size),
    )
