"""The pages for people: API documentation and live page, with all their files served by this process, no CDN."""

import re
from base64 import b64encode
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import fastapi_offline
import litecharts
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.staticfiles import StaticFiles

from .access import METRIC_VIEW, VIEWS
from .page_modules import list_modules

PAGE = Path(__file__).resolve().parents[1] / "page"
PARTS = Path(fastapi_offline.__file__).parent / "static"
CHARTS = Path(litecharts.__file__).parent / "js" / "lightweight-charts.js"
"""TradingView's lightweight-charts 5.1, as its wheel has it."""
DOCUMENT = "openapi.json"
"""This and all that follow are relative to the page that names them, whatever path a proxy serves it below."""

ICON = "page/icon.svg"
REVALIDATED = {"Cache-Control": "no-cache"}
REDOC_LOGO = "https://cdn.redoc.ly/redoc/logo-mini.svg"
"""ReDoc loads its maker's logo from the internet, and has no option against it."""

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; worker-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
DOCUMENTATION_POLICY = (
    "default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""
Both keep the browser from asking anybody else, whatever their scripts try. The script inside a documentation page is
known by its hash; styles are inline there, because both generators make them while they draw.
"""
_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def install_pages(app: FastAPI, prefix: str, *, is_guarded: bool) -> None:
    """Serve the live page, `/docs`, `/redoc` and what they are made of. `is_guarded`: the API answers nobody without a key."""
    routes = APIRouter(include_in_schema=False)
    text = (PAGE / "index.html").read_text().replace("{prefix}", prefix.removeprefix("/"))
    text = text.replace("{guarded}", "yes" if is_guarded else "no")
    for path in VIEWS:
        routes.add_api_route(path, _make_view(text, path.removeprefix("/") or "overview"), methods=["GET"])
    routes.add_api_route(f"{METRIC_VIEW}{{metric:path}}", _make_view(text, "metric"), methods=["GET"])

    @routes.get("/page/lib/lightweight-charts.js")
    async def charts() -> Response:
        return FileResponse(CHARTS, headers=REVALIDATED, media_type="text/javascript")

    @routes.get("/docs")
    async def docs() -> Response:
        swagger = get_swagger_ui_html(
            openapi_url=DOCUMENT,
            title=app.title,
            swagger_js_url="docs/parts/swagger-ui-bundle.js",
            swagger_css_url="docs/parts/swagger-ui.css",
            swagger_favicon_url=ICON,
        )
        return _respond_with_documentation(swagger.body)

    @routes.get("/redoc")
    async def redoc() -> Response:
        page = get_redoc_html(
            openapi_url=DOCUMENT,
            title=app.title,
            redoc_js_url="redoc/redoc.standalone.js",
            redoc_favicon_url=ICON,
            with_google_fonts=False,
        )
        return _respond_with_documentation(page.body)

    @routes.get("/redoc/redoc.standalone.js")
    async def redoc_script() -> Response:
        script = (PARTS / "redoc.standalone.js").read_text().replace(REDOC_LOGO, ICON)
        return Response(script, headers={"Cache-Control": "max-age=3600"}, media_type="text/javascript")

    app.include_router(routes)
    app.mount("/docs/parts", StaticFiles(directory=PARTS))
    app.mount("/page", PageFiles(directory=PAGE))


class PageFiles(StaticFiles):
    """The files of the page. A browser asks each time whether they have changed: an upgrade is seen at once."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers.update(REVALIDATED)
        return response


def _make_view(text: str, name: str) -> Callable[[Request], Awaitable[Response]]:
    """Return a route of the one document; each address of it names the modules that its view needs."""
    links = [f'<link rel="modulepreload" href="{{root}}page/{module}">' for module in list_modules(PAGE, name)]
    text = text.replace("<!-- modules -->", "\n    ".join(links))

    async def view(request: Request) -> Response:
        # Counted as the browser does, which takes an encoded slash for a part of a name.
        depth = request.scope["raw_path"].count(b"/") - request.scope.get("root_path", "").count("/") - 1
        return _respond_with_page(text.replace("{root}", "../" * depth), PAGE_POLICY)

    return view


def _respond_with_documentation(html: bytes | memoryview) -> Response:
    body = bytes(html)
    hashes = (b64encode(sha256(script).digest()).decode() for script in _INLINE_SCRIPT.findall(body))
    policy = DOCUMENTATION_POLICY.format(hashes=" ".join(f"'sha256-{each}'" for each in hashes))
    return _respond_with_page(body, policy.replace("'self' ;", "'self';"))


def _respond_with_page(html: str | bytes, policy: str) -> Response:
    return HTMLResponse(
        html,
        headers={"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", **REVALIDATED},
    )
