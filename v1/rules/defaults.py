"""The rules that are there before anybody writes one: the question that people keep a tracker running for."""

from ..model import DAY, MINUTE, Measure
from .rule import Kind, Rule, Severity

LITERAL = Rule(
    id="interval-volume-3x",
    name="interval volume is more than 3 x its hour mean",
    kind=Kind.RATIO,
    measure=Measure.INTERVAL_VOLUME,
    severity=Severity.INFO,
    enabled=False,
)
"""
What trades within a minute is three times its hour mean many times a day, at every pair: 14 messages a pair and day
over the recordings. So it is there to be switched on, and what lasts is told without asking.
"""

DEFAULTS = (
    *(
        Rule(
            id=f"{measure}-3x",
            name=f"{measure} is more than 3 x its hour mean",
            kind=Kind.RATIO,
            measure=measure,
        )
        for measure in (Measure.PRICE, Measure.VOLUME)
    ),
    LITERAL,
    Rule.model_validate(
        {
            "id": "interval-volume-surge",
            "name": "interval volume has been more than 3 x its hour mean for 7 minutes",
            "kind": Kind.RATIO,
            "measure": Measure.INTERVAL_VOLUME,
            "for": 7 * MINUTE,
            "cooldown": DAY,
        }
    ),
    Rule(
        id="stale",
        name="no samples",
        kind=Kind.STALE,
        intervals=5,
        severity=Severity.CRITICAL,
        resolved=True,
    ),
)
