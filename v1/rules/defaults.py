"""The rules that are there before anybody writes one: the question that people keep a tracker running for."""

from ..model import Measure
from .rule import Kind, Rule, Severity

DEFAULTS = (
    *(
        Rule(
            id=f"{measure.replace('_', '-')}-3x",
            name=f"{measure.replace('_', ' ')} is more than 3 x its hour mean",
            kind=Kind.RATIO,
            measure=measure,
            severity=severity,
        )
        # What trades within a minute jumps many times a day, at every pair: worth a line, not a sound.
        for measure, severity in (
            (Measure.PRICE, Severity.WARNING),
            (Measure.VOLUME, Severity.WARNING),
            (Measure.INTERVAL_VOLUME, Severity.INFO),
        )
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
