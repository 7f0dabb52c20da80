"""Which wishes nobody fulfils, and what is noted of each source. No network, no store."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import structlog

from worker.latest import Metric

log = structlog.get_logger()

EVERYTHING = "*"


SourceNews = tuple[dict[str, dict[str, Any]], dict[str, str]]
"""The state of each source, and the wishes that nobody fulfils, with the reasons."""
LASTING = ("unit", "banned_until", "is_shared")
"""What of a budget does not change with every tick."""


class WishedSource(Protocol):
    """What is asked here of a source that is looked after."""

    @property
    def name(self) -> str: ...

    @property
    def metrics(self) -> Sequence[Metric]: ...

    @property
    def missing(self) -> Mapping[Metric, str]:
        """What it was wished for and does not have, with the reason."""
        ...

    @property
    def dead(self) -> Collection[Metric]:
        """Markets that it lists and of which it has no price."""
        ...

    @property
    def is_known(self) -> bool:
        """Whether it has said what it has."""
        ...

    @property
    def listed(self) -> Collection[Metric]:
        """Markets that its provider lists, also those that do not trade or are not asked for."""
        ...

    def describe_state(self) -> dict[str, Any]: ...


class SourceReport:
    """What the store is told of the sources: how each does, how far its fill is, and what nobody gives."""

    def __init__(self, sources: Sequence[WishedSource], wishes: Sequence[str] = ()) -> None:
        self.changed = asyncio.Event()
        """Set by whoever changes what is reported; cleared by whoever writes it to the store."""
        self._sources = sources
        self._wishes = wishes
        """What the settings ask for."""
        self._unmet: Mapping[str, str] = {}
        self._filling: dict[str, dict[str, int]] = {}
        self._noted: SourceNews | None = None

    def forget(self) -> None:
        """Note everything again: the store may have lost it."""
        self._noted = None

    def has_advanced(self, source: str, done: int, of: int) -> bool:
        """Take in how far the fill from a source is, and return whether that is another whole percent."""
        before = self._filling.get(source)
        self._filling[source] = {"done": done, "of": of}
        return before is None or before["of"] != of or 100 * done // of != 100 * before["done"] // of

    def has_ended(self, source: str) -> bool:
        """Take in that the fill from a source is over, and return whether there was one."""
        return self._filling.pop(source, None) is not None

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return the state of each source, and how far its fill is."""
        return {
            name: said | {"filling": self._filling.get(name)} for name, said in describe_states(self._sources).items()
        }

    def take_news(self) -> SourceNews | None:
        """Return the state of each source and the wishes that nobody fulfils; `None` where that is noted already."""
        told = self.describe()
        lacking = find_unmet(self._wishes, self._sources)
        for wish, reason in lacking.items():
            if self._unmet.get(wish) != reason:
                log.warning("no source gives what is wished for", metric=wish, reason=reason)
        self._unmet = lacking
        return None if (told, lacking) == self._noted else (told, lacking)

    def is_only_of_budgets(self, news: SourceNews) -> bool:
        """Return whether `news` are what is noted already, but for what is used of budgets."""
        return self._noted is not None and _leave_out_usage(news) == _leave_out_usage(self._noted)

    def find_delisted(self, known: Collection[Metric]) -> dict[Metric, str]:
        """Return those of the metrics that are wished for and that no source lists any more, each with the reason."""
        return find_delisted(self._wishes, self._sources, known)

    def mark_written(self, news: SourceNews | None) -> None:
        """Take in that `news` are in the store."""
        self._noted = news


def _leave_out_usage(news: SourceNews) -> SourceNews:
    states, unmet = news
    return {name: state | {"budget": _keep_lasting(state.get("budget"))} for name, state in states.items()}, unmet


def _keep_lasting(budget: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    return budget and {name: budget[name] for name in LASTING}


def find_unmet(wishes: Sequence[str], sources: Sequence[WishedSource]) -> dict[str, str]:
    """Return the wishes that no source fulfils, with the reason; none while a source has not said what it has."""
    if not all(source.is_known for source in sources):
        return {}
    given = {metric for source in sources for metric in source.metrics}
    exchanges = {metric.partition(":")[0] for metric in given}
    return {wish: _reason(wish, sources) for wish in wishes if not _is_met(wish, given, exchanges)}


def find_delisted(
    wishes: Sequence[str], sources: Sequence[WishedSource], known: Collection[Metric]
) -> dict[Metric, str]:
    """
    Return those of the `known` metrics that are wished for and that no source lists any more, with the reason.

    None while a source has not said what it has, and none of an exchange of which no source lists anything: that is an
    outage, or a recording that was played.
    """
    if not all(source.is_known for source in sources):
        return {}
    listed = {metric for source in sources for metric in source.listed}
    exchanges = {metric.partition(":")[0] for metric in listed}
    gone = [metric for metric in known if metric not in listed and metric.partition(":")[0] in exchanges]
    return {
        metric: f"{_name_listers(metric, sources)} no longer lists it" for metric in gone if _is_wished(metric, wishes)
    }


def _name_listers(metric: Metric, sources: Sequence[WishedSource]) -> str:
    """Return the names of the sources that list other markets of the metric's exchange."""
    exchange = f"{metric.partition(':')[0]}:"
    return " or ".join(source.name for source in sources if any(each.startswith(exchange) for each in source.metrics))


def _is_wished(metric: Metric, wishes: Sequence[str]) -> bool:
    exchange = metric.partition(":")[0]
    return any(wish in (EVERYTHING, f"{exchange}:{EVERYTHING}", metric) for wish in wishes)


def describe_states(sources: Sequence[WishedSource]) -> dict[str, dict[str, Any]]:
    """
    Return what each source says of itself.

    What another source has is not missing, and what another has a price of is not dead.
    """
    told = {}
    for source in sources:
        elsewhere = {metric for other in sources if other is not source for metric in other.metrics}
        alive = elsewhere.difference(*[other.dead for other in sources if other is not source])
        exchanges = {metric.partition(":")[0] for metric in elsewhere}
        missing = {wish: why for wish, why in source.missing.items() if not _is_met(wish, elsewhere, exchanges)}
        told[source.name] = source.describe_state() | {"missing": missing, "dead": sorted({*source.dead} - alive)}
    return told


def _is_met(wish: str, given: Collection[Metric], exchanges: Collection[str]) -> bool:
    exchange, _, pair = wish.partition(":")
    if wish == EVERYTHING:
        return bool(given)
    return exchange in exchanges if pair == EVERYTHING else wish in given


def _reason(wish: str, sources: Sequence[WishedSource]) -> str:
    asked = ", ".join(source.name for source in sources)
    told = [source.missing[Metric(wish)] for source in sources if wish in source.missing]
    return "; ".join(told) or f"none of the sources ({asked}) has it"
