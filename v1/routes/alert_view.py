"""An alert as it is answered, pushed, and told to a webhook."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, Field

from ..numbers import exact_json
from ..numbers.decimals import is_number
from ..rules.message_text import write_single
from ..store import AlertRecord, check_alert


class DeliveryView(BaseModel):
    """One attempt to send a message with the alert in it."""

    at: Annotated[float, Field(description="Unix seconds.")]
    channel: str
    status: Annotated[str, Field(description="`sent`, `failed`, `waiting`, `refused` or `given up`.")]
    answer: Annotated[str, Field(description="What the provider said, or why it was not params.")]
    message: Annotated[str, Field(description="Id of the message: the alert's, or that of the digest it was in.")]


class AcknowledgedView(BaseModel):
    """Who has seen it."""

    at: Annotated[int, Field(description="Unix seconds.")]
    by: str
    comment: str
    until: Annotated[
        str | None, Field(description="`over`: no message is sent about it until it is over; null: messages go on.")
    ]


class AlertTold(BaseModel):
    """What a rule said at a tick, as a webhook is told it, too."""

    id: str
    rule: Annotated[str, Field(description="Id of the rule.")]
    name: str
    kind: str
    severity: str
    event: Annotated[str, Field(description="`firing` or `resolved`; of a rank rule `enters` or `leaves`; or `test`.")]
    metric: Annotated[str, Field(description="The metric; of a source that is silent as a whole, `<source>:*`.")]
    measure: str | None
    at: Annotated[int, Field(description="The tick.")]
    value: Annotated[float | None, Field(description="What was judged, digits as received; of a rank rule the rank.")]
    mean: Annotated[float | None, Field(description="Of the numbers that it was compared with.")]
    ratio: Annotated[
        float | None, Field(description="Times the mean, percent (of a bound), or deviations, as the kind has it.")
    ]
    samples: Annotated[int | None, Field(description="How many numbers are behind the mean; or metrics, of a source.")]
    since: Annotated[int | None, Field(description="The tick from which on they were counted.")]
    rank: int | None
    of: Annotated[int | None, Field(description="How many metrics were ranked.")]
    reference: Annotated[
        float | None,
        Field(description="The one number that the value was compared with: a bound, or what it moved from."),
    ]
    reference_kind: Annotated[
        str | None, Field(description="`above` or `below` a bound; the `lowest`, `highest` or `first` of the window.")
    ]


class AlertFields(AlertTold):
    """What a rule said at a tick."""

    suppressed_by: Annotated[str | None, Field(description="Why nobody was told; null: somebody was.")]
    group_size: Annotated[int, Field(description="How many the rule had at this tick; many are sent as one message.")]
    channels: Annotated[list[str], Field(description="Where it goes; empty: everywhere.")]


class AlertView(AlertFields):
    """What a rule said at a tick, and what became of it."""

    title: Annotated[str, Field(description="What happened, in a few words: the title of the message.")]
    text: Annotated[str, Field(description="Why, with the numbers: the body of the message.")]
    ended_at: Annotated[int | None, Field(description="The tick at which it did not hold any more, or was told again.")]
    acknowledged: AcknowledgedView | None
    deliveries: Annotated[list[DeliveryView], Field(description="Oldest first.")]


def show_alert(told: AlertRecord, interval: int) -> dict[str, object]:
    """Return an alert as it is answered, see `AlertView`; `interval` is that of the samples, in seconds."""
    alert, known, deliveries = told
    value, reference = alert["value"], alert.get("reference")
    acknowledged = None
    if "acknowledged" in known:
        acknowledged = {
            "at": int(known["acknowledged"]),
            "by": known.get("by", ""),
            "comment": known.get("comment", ""),
            "until": known.get("until"),
        }
    title, text = _write_words(alert, interval)
    return alert | {
        "title": title,
        "text": text,
        "value": exact_json.digits(value) if is_number(value) else value,
        "reference": exact_json.digits(reference) if is_number(reference) else None,
        "reference_kind": alert.get("reference_kind"),
        "ended_at": int(known["ended_at"]) if "ended_at" in known else None,
        "acknowledged": acknowledged,
        "deliveries": [attempt._asdict() for attempt in deliveries],
    }


def _write_words(alert: Mapping[str, object], interval: int) -> tuple[str, str]:
    """Return title and body of the message about an alert; of what no message can be made, what it calls itself."""
    sound = check_alert(alert)
    if sound is None:
        return f"{alert['metric']}", f"{alert.get('name', alert['rule'])}"
    written = write_single(sound, interval)
    return written.title, written.body
