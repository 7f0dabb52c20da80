"""The application: routers, middleware, and the connections that live as long as it does."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute

from .. import __version__
from ..routes import health_router, openapi, pages, problems, response_docs, router
from ..routes.access import POINTS, REQUESTS, CostTable, KeyRing, RateLimiter, parse_usage_limit
from ..routes.context import Access, RouteSettings, RouteState, open_route_state
from ..routes.direct import DirectRoutes
from ..routes.stream.counts import StreamCounts
from ..routes.stream.pages import AcceptedPages
from ..settings import PREFIX as SETTINGS_PREFIX
from ..settings import Settings
from ..settings.redaction import redact
from . import guards, middleware
from .addresses import parse_network
from .answers import AnswerCache, AnswerMemory, encodings
from .telemetry import ApiInstruments, ApiSiblings, ApiTelemetry, RequestTelemetry, make_metrics_router, open_metrics

VERSION = str(__package__).partition(".")[0]
PREFIX = f"/{VERSION}"
LATEST = "/latest"


def create_app(
    settings: Settings | None = None,
    clock: Callable[[], float] = time.time,
    stopping: asyncio.Event | None = None,
    siblings: ApiSiblings | None = None,
    backtest_turns: int | None = None,
) -> FastAPI:
    """
    Return the application. It connects to nothing before it is started.

    `clock` says the time, in unix seconds; it is read once a request. `stopping` is set when the process is told to
    stop: long work is broken off then. `siblings` are the other processes at the same port, and `backtest_turns` the
    descriptor by which all of them run one backtest at a time.
    """
    settings, siblings = settings or Settings.load(), siblings or ApiSiblings()
    telemetry = ApiTelemetry.make(lambda: app.routes, settings.root_path or "", LATEST, PREFIX)
    answers, direct = AnswerMemory(settings.cache_bytes), DirectRoutes()
    route_settings = _make_route_settings(settings, clock, telemetry, stopping or asyncio.Event(), backtest_turns)
    streams = StreamCounts()
    route_settings = route_settings._replace(listeners=(answers.note_change,), stream_counts=streams)
    app = FastAPI(
        title=f"data-tracker {VERSION}",
        version=__version__,
        lifespan=lambda _: _open_state(route_settings, clock, telemetry, siblings),
        middleware=[
            Middleware(RequestTelemetry, counts=telemetry.requests, logs_requests=settings.access_log),
            *_list_middleware(settings, route_settings.access, (answers, direct), telemetry.instruments, clock),
        ],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # FastAPI looks for a configuration of OpenTelemetry at each request, for as long as a hot answer takes.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.answers = answers
    app.state.telemetry = telemetry
    app.state.may_send_much = guards.make_body_check(route_settings.access.ring)
    telemetry.statistics.follow_cache(answers.statistics)
    telemetry.statistics.follow_streams(streams)
    app.include_router(make_metrics_router(telemetry, siblings), dependencies=[Depends(problems.refuse_repeated)])
    _include_routers(app, settings)
    direct.install(app)
    pages.install_pages(app, PREFIX, is_guarded=settings.is_guarded)
    problems.install_problems(app, clock)
    return app


def _make_route_settings(
    settings: Settings,
    clock: Callable[[], float],
    telemetry: ApiTelemetry,
    stopping: asyncio.Event,
    backtest_turns: int | None,
) -> RouteSettings:
    """Return what the state of the routes is opened with."""
    return RouteSettings(
        redis_address=settings.redis_address,
        archive_address=settings.archive_address,
        name=f"{VERSION}-api",
        interval=settings.interval,
        min_coverage=settings.min_coverage,
        is_shared=not settings.is_guarded,
        settings_prefix=SETTINGS_PREFIX,
        redact=redact.hide_from_strangers,
        stopping=stopping,
        backtest_turns=backtest_turns,
        piece_bytes=settings.piece_bytes,
        read_replicas=settings.read_replicas,
        observe_redis=telemetry.instruments.record_redis,
        streams=settings.streams,
        pages=_list_pages(settings),
        access=_make_access(settings, clock),
    )


@asynccontextmanager
async def _open_state(
    settings: RouteSettings, clock: Callable[[], float], telemetry: ApiTelemetry, siblings: ApiSiblings
) -> AsyncIterator[RouteState]:
    """Return what routes use, as long as the other processes are answered what this one measures."""
    async with open_metrics(telemetry, siblings), open_route_state(settings, clock) as state:
        yield state


def _list_pages(settings: Settings) -> AcceptedPages:
    """Return whose pages may open a WebSocket."""
    page = "/".join(str(settings.public_url).split("/")[:3]) if settings.public_url else ""
    return AcceptedPages(settings.hosts, tuple([origin.lower() for origin in (page, *settings.cors_origins)]))


def _include_routers(app: FastAPI, settings: Settings) -> None:
    is_guarded = settings.is_guarded
    app.router.routes += _list_routes(is_guarded, bool(settings.list_usage_limits()), is_latest())
    app.include_router(openapi.make_openapi_router(app, PREFIX, settings.root_path or "", is_guarded=is_guarded))


@cache
def _list_routes(is_guarded: bool, is_limited: bool, has_latest: bool) -> tuple[BaseRoute, ...]:
    """
    Return the routes of every application, and for one with keys or with limits what their descriptions have besides.

    FastAPI works out what a route depends on when it is first looked at. For all of them that takes nine tenths of the
    time in which an application is made, so it is done once, and not again for each application of a process.
    """
    no_repeats = [Depends(problems.refuse_repeated)]
    responses = response_docs.KEY_WANTED if is_guarded else {}
    if is_limited:
        responses = responses | response_docs.LIMITED
    routes = APIRouter()
    routes.include_router(router, prefix=PREFIX, responses=responses, dependencies=no_repeats)
    if has_latest:
        routes.include_router(router, prefix=LATEST, include_in_schema=False, dependencies=no_repeats)
    routes.include_router(health_router, dependencies=no_repeats)
    return tuple(routes.routes)


def is_latest() -> bool:
    """Return whether this is the version that `latest` points at. Where there is no such link, it is the only one."""
    home = Path(__file__).resolve().parents[1]
    link = home.with_name("latest")
    return not link.is_symlink() or link.resolve() == home


def _make_access(settings: Settings, clock: Callable[[], float]) -> Access:
    """Return who may ask and how much, as the settings say. What of it is in Redis is read when the application starts."""
    limits = settings.list_usage_limits()
    requests, points = (
        parse_usage_limit(name, limits[name]) if name in limits else None for name in (REQUESTS, POINTS)
    )
    return Access(
        KeyRing(settings.api_keys, clock) if settings.is_guarded else None,
        RateLimiter(requests, points) if limits else None,
    )


def _list_middleware(
    settings: Settings,
    access: Access,
    answers: tuple[AnswerMemory, DirectRoutes],
    instruments: ApiInstruments,
    clock: Callable[[], float],
) -> list[Middleware]:
    """Return what every request passes, outermost first."""
    (memory, direct), page = answers, settings.public_url
    names = [settings.host, *([page.host] if page and page.host else []), *settings.hosts]
    where = str(page).partition("://")[2].partition("/")[0].lower() if page else None
    cors = _list_cors_options(settings)
    refusals = guards.Refusals(cors)
    limits = None
    if access.limiter:
        limits = guards.ClientLimits(access.limiter, instruments.note_limited)
    chain = [Middleware(middleware.HostGuard, names=names, own=settings.hosts, page=where)]
    if settings.root_path:
        chain.insert(0, Middleware(middleware.RootPath, root_path=settings.root_path))
    if settings.trusted_proxies:
        networks = [parse_network(each) for each in settings.trusted_proxies]
        chain.insert(0, Middleware(guards.TrustedProxies, networks=networks))
    if access.ring:
        chain.append(
            Middleware(guards.KeyGuard, ring=access.ring, refusals=refusals, limits=limits, has_cors=cors is not None)
        )
    if limits:
        costs = CostTable(settings.interval, clock, limits.limiter.most_points)
        chain.append(Middleware(guards.RateLimits, limits=limits, costs=costs, refusals=refusals))
    chain += [
        Middleware(AnswerCache, memory=memory, clock=clock, origins=settings.cors_origins, direct=direct),
        Middleware(middleware.SecurityHeaders),
        Middleware(middleware.RelativeRedirects),
        Middleware(middleware.HeadAsGet),
        Middleware(middleware.Compression, minimum_size=encodings.COMPRESSED_FROM, level=encodings.GZIP_LEVEL),
    ]
    return [*chain, Middleware(CORSMiddleware, **cors)] if cors else chain


def _list_cors_options(settings: Settings) -> dict[str, Any] | None:
    """Return what pages of other origins may do; `None` where there are none."""
    if not settings.cors_origins:
        return None
    return {
        "allow_origins": settings.cors_origins,
        "allow_headers": ["Authorization", "X-API-Key", "If-None-Match", "Range", "If-Range", "Last-Event-ID"],
        "expose_headers": ["ETag", "Retry-After", "RateLimit", "RateLimit-Policy", "Accept-Ranges", "Content-Range"],
    }
