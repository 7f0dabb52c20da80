"""Examples of requests in the OpenAPI document. Two names in them are replaced by a metric and an alert that exist."""

from typing import Any

EXAMPLE_METRIC = "EXAMPLE:METRIC"
"""Stands for a metric that is there."""
EXAMPLE_ALERT = "EXAMPLE:ALERT"
"""Stands for the id of an alert that is there."""
NO_METRIC = "KRAKEN:BTCUSD"
NO_ALERT = "price-3x.KRAKEN:BTCUSD.1621260300"

# Of one metric, and at most four messages a day: whoever tries it out changes little.
EXAMPLE_RULE: dict[str, Any] = {
    "id": "example-moves-5-percent",
    "name": "moved by 5 % within an hour",
    "kind": "change",
    "metrics": EXAMPLE_METRIC,
    "measure": "price",
    "percent": 5,
    "window": "1h",
    "cooldown": "6h",
    "severity": "info",
}
EXAMPLE_BACKTEST: dict[str, Any] = {"rules": [EXAMPLE_RULE], "sweep": True, "limit": 10}
EXAMPLE_SILENCE: dict[str, Any] = {
    "id": "example-maintenance",
    "metrics": EXAMPLE_METRIC,
    "to": "+1h",
    "comment": "the exchange said so",
}
EXAMPLE_ACKNOWLEDGEMENT: dict[str, Any] = {"by": "ann", "comment": "looking into it"}
