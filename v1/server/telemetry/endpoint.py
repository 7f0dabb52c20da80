"""`GET /metrics`: what Prometheus scrapes, of all processes that share the port. It wants a key where the API does."""

from contextlib import AbstractAsyncContextManager

from fastapi import APIRouter, Response

from .exposition import CONTENT_TYPE, write_registry
from .instruments import ApiTelemetry
from .siblings import ApiSiblings

PATH = "/metrics"


def open_metrics(telemetry: ApiTelemetry, siblings: ApiSiblings) -> AbstractAsyncContextManager[None]:
    """Take this process's number, and give its metrics to its siblings until the end."""
    return siblings.open(lambda: write_registry(telemetry.registry, siblings.number))


def make_metrics_router(telemetry: ApiTelemetry, siblings: ApiSiblings) -> APIRouter:
    """Serve the metrics of an application and of its siblings."""
    routes = APIRouter(include_in_schema=False)

    @routes.get(PATH)
    async def show_metrics() -> Response:
        """What this API measures of itself, for Prometheus."""
        text = await siblings.collect(write_registry(telemetry.registry, siblings.number))
        return Response(text, headers={"Cache-Control": "no-store"}, media_type=CONTENT_TYPE)

    return routes
