"""The message that `worker` sends to a webhook, as the OpenAPI document describes it."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from .alert_view import AlertTold
from .schemas import Schema, add_model_schema, add_schema

_SIGNATURE = r"^sha256=[0-9a-f]{64}$"


class WebhookDigest(BaseModel):
    """Many alerts of one rule at one tick."""

    count: Annotated[int, Field(description="How many there are.")]
    alerts: Annotated[list[AlertTold], Field(description="The strongest, 100 at most.")]


class WebhookMessage(BaseModel):
    """A message about one alert, about many, or none: a test has neither `alert` nor `digest`."""

    id: Annotated[
        str, Field(description="The same each time that the message is sent: who has it already need not act.")
    ]
    at: Annotated[int, Field(description="The tick, unix seconds.")]
    severity: Annotated[str, Field(description="`info`, `warning` or `critical`.")]
    title: str
    text: Annotated[str, Field(description="The message in words, some lines.")]
    url: Annotated[str, Field(description="Where to look: the live page.")]
    alert: AlertTold | None
    digest: WebhookDigest | None


def describe_webhooks() -> dict[str, Any]:
    """Return the webhooks of the OpenAPI document."""
    body = add_schema("WebhookMessage", add_model_schema(WebhookMessage))
    return {
        "message": {
            "post": {
                "operationId": "receive_message",
                "tags": ["alerts"],
                "summary": "A message about alerts",
                "description": (
                    "Sent to every `webhook+https://` address in `TRACKER_NOTIFY`, at least once, with the same `id` "
                    "each time, until it is answered with 2xx. Fields are only ever added. Numbers have the digits "
                    "that the provider sent, as in the answers of the API."
                ),
                "parameters": [
                    _describe_header("X-Tracker-Timestamp", "^[0-9]{1,12}$", "When it was sent, unix seconds."),
                    _describe_header(
                        "X-Tracker-Signature",
                        _SIGNATURE,
                        "`sha256=` and the HMAC-SHA256, in hexadecimal, of the timestamp, a full stop and the body, "
                        "with `TRACKER_WEBHOOK_SECRET` as its key.",
                    ),
                ],
                "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
                "responses": {
                    "2XX": {"description": "It has arrived."},
                    "default": {
                        "description": "It is sent again later, or given up where that cannot help (most 4xx)."
                    },
                },
            }
        }
    }


def _describe_header(name: str, pattern: str, description: str) -> Schema:
    schema = {"type": "string", "pattern": pattern}
    return {"name": name, "in": "header", "required": True, "description": description, "schema": schema}
