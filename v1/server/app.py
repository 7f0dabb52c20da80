"""The application: what is served where, and who may ask. It makes nothing before it is started."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from fastapi import Depends, FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from .. import __version__
from ..routes import health_router, openapi, pages, problems, response_docs, router
from ..routes.context import RouteSettings, open_route_state
from ..settings import PREFIX as SETTINGS_PREFIX
from ..settings import Settings
from . import middleware

VERSION = str(__package__).partition(".")[0]
PREFIX = f"/{VERSION}"
LATEST = "/latest"
GZIP_FROM = 1000
"""Bytes; below, compressing costs more than it saves."""
GZIP_LEVEL = 4
"""A day of BTC prices, 31.5 kB, becomes 10.1 kB in 0.3 ms; level 9 makes it 9.6 kB in 2.5 ms."""


def create_app(
    settings: Settings | None = None,
    clock: Callable[[], float] = time.time,
    stopping: asyncio.Event | None = None,
) -> FastAPI:
    """
    Make the application. `clock` says the time, in unix seconds; it is looked at once a request.

    `stopping` is set when the process is told to stop: what takes long is broken off then.
    """
    settings = settings or Settings.load()

    opened = RouteSettings(
        redis_address=settings.redis_address,
        archive_address=settings.archive_address,
        name=f"{VERSION}-api",
        interval=settings.interval,
        is_shared=not settings.api_keys,
        hidden=SETTINGS_PREFIX,
        stopping=stopping or asyncio.Event(),
    )
    app = FastAPI(
        title=f"data-tracker {VERSION}",
        version=__version__,
        lifespan=lambda _: open_route_state(opened, clock),
        middleware=_before_routes(settings),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    wanted = response_docs.KEY_WANTED if settings.api_keys else {}
    once = [Depends(problems.refuse_repeated)]
    app.include_router(router, prefix=PREFIX, responses=wanted, dependencies=once)
    if is_latest():
        app.include_router(router, prefix=LATEST, include_in_schema=False, dependencies=once)
    app.include_router(health_router, dependencies=once)
    app.include_router(
        openapi.make_openapi_router(app, PREFIX, settings.root_path or "", is_guarded=bool(settings.api_keys))
    )
    pages.install_pages(app, PREFIX)
    problems.install_problems(app, clock)
    return app


def is_latest() -> bool:
    """Return whether this is the version that `latest` points at. Where there is no such link, it is the only one."""
    home = Path(__file__).resolve().parents[1]
    link = home.with_name("latest")
    return not link.is_symlink() or link.resolve() == home


def _before_routes(settings: Settings) -> list[Middleware]:
    """Return what every request passes, outermost first."""
    page = settings.public_url
    names = [settings.host, *([page.host] if page and page.host else []), *settings.hosts]
    where = str(page).partition("://")[2].partition("/")[0].lower() if page else None
    chain = [
        Middleware(middleware.Hardened),
        Middleware(middleware.RootPath, root_path=settings.root_path or ""),
        Middleware(middleware.Hosts, names=names, own=settings.hosts, page=where),
        Middleware(middleware.HeadGuard),
        Middleware(middleware.Codings, minimum_size=GZIP_FROM, level=GZIP_LEVEL),
    ]
    if settings.cors_origins:
        # Before the keys: a browser asks whether it may ask, and sends no key with that.
        chain.append(
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_headers=["Authorization", "X-API-Key", "If-None-Match"],
                expose_headers=["ETag", "Retry-After"],
            )
        )
    if settings.api_keys:
        chain.append(Middleware(middleware.KeyGuard, keys=settings.api_keys))
    return chain
