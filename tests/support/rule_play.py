"""Rules played on hand-made samples, the way a live run judges them: through records, a store in memory, and the engine."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from v1.backtest.memory_store import MemoryStore
from v1.market.advance import advance_all
from v1.market.metric_state import SourceReading, read_state, write_state
from v1.market.ranks import collect_rank_inputs, rank_all
from v1.model import Metric, Reading
from v1.rules import (
    NO_EVALUATION,
    AcknowledgedAlert,
    Alert,
    Rule,
    RuleEngine,
    Silence,
    TickContext,
    attach_states,
    parse_rule,
)

NOON = 1_621_252_800
"""2021-05-17T12:00:00Z, the first tick."""
MINUTE = 60
HOUR = 3600
DAY = 86400
BTC, ETH = "KRAKEN:BTCUSD", "KRAKEN:ETHUSD"


def rule(kind: str = "ratio", **fields: Any) -> Rule:
    """Make a rule that speaks at every sample that exceeds, unless told otherwise."""
    given = {"id": "r", "kind": kind, "cooldown": 0, "step": 0} | fields
    return parse_rule({name.rstrip("_"): value for name, value in given.items()}, MINUTE)


def reading(value: object, measure: str = "price") -> Reading | None:
    """Make what is heard: one number, several by their names, or nothing."""
    if value is None or isinstance(value, Reading):
        return value
    numbers = value if isinstance(value, Mapping) else {measure: value}
    return Reading(**({"price": "1"} | {name: _text(name, number) for name, number in numbers.items()}))


def _text(name: str, number: object) -> Any:
    return number if name == "provider_time" or number is None else str(number)


class Sampler:
    """A market that is sampled every minute. With `is_restarted` it forgets at every tick what is not written down."""

    def __init__(
        self,
        rules: Sequence[Rule],
        silences: Sequence[Silence] = (),
        *,
        interval: int = MINUTE,
        source: str = "kraken",
        is_restarted: bool = False,
    ) -> None:
        self.rules, self.silences = rules, silences
        self.interval, self.source = interval, source
        self.is_restarted = is_restarted
        self.engine = RuleEngine(rules, silences, interval)
        self.memory = MemoryStore()
        self.acknowledged: dict[tuple[str, str], AcknowledgedAlert] = {}
        """What somebody has acknowledged until it is over."""
        self.at = NOON - interval
        self.judged = NO_EVALUATION

    def tick(self, heard: Mapping[str, object], at: int | None = None, measure: str = "price") -> list[Alert]:
        """Let one tick pass, and return what is said."""
        self.at = self.at + self.interval if at is None else at
        if self.is_restarted:
            self._restart()
        told = {Metric(metric): reading(value, measure) for metric, value in heard.items()}
        readings = {metric: SourceReading(each, self.source) for metric, each in told.items() if each}
        metrics = sorted(self.memory.known_metrics | readings.keys())
        steps = advance_all(
            self.at, metrics, readings, self.memory.read_states(self.at, metrics, self.engine.make_lookback)
        )
        judged = self.engine.evaluate(
            TickContext(
                self.at,
                steps,
                rank_all(collect_rank_inputs(steps)).list_scores,
                self.memory.outages,
                acknowledged=self.acknowledged,
            )
        )
        self.memory.commit(self.at, attach_states(steps, judged), judged)
        self.judged = judged
        return [*judged.list_alerts()]

    def play(
        self, *series: Iterable[object], metrics: Sequence[str] = (BTC, ETH), measure: str = "price"
    ) -> list[Alert]:
        """Let one tick pass for each number of a series; `None` is no sample."""
        said = []
        for values in zip(*series, strict=True):
            said += self.tick(dict(zip(metrics, values, strict=False)), measure=measure)
        return said

    def _restart(self) -> None:
        self.engine = RuleEngine(self.rules, self.silences, self.interval)
        for series in self.memory._series.values():
            if series.record:
                series.record = read_state(write_state(series.record))


def ticks(alerts: Iterable[Alert]) -> list[int]:
    """Return the minutes since noon at which something was said."""
    return [(alert.at - NOON) // MINUTE for alert in alerts]


def said(one: Rule, *series: Iterable[object], measure: str = "price", **market: Any) -> list[Alert]:
    """Return what one rule says of one series, or of several metrics."""
    return Sampler([one], **market).play(*series, measure=measure)


def flat(value: object, many: int) -> Iterator[object]:
    return iter([value] * many)
