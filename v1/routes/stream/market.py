"""What the newest tick says to everybody who asked for it: one read of the store for all of them."""

from collections.abc import Iterable, Sequence

from ...model import By, Measure, Metric
from ...store import FIRST_ID, EventId, EventReader
from .events import write_places, write_ranks, write_row, write_tick
from .frames import StreamEvent
from .question import EventName
from .subscriber import StreamGroup


class MarketTeller:
    """Makes the events `tick` and `rank` of groups. Raises what a `Reader` does."""

    def __init__(self, events: EventReader) -> None:
        self._events = events
        self._names: Sequence[Metric] = ()

    async def refresh(self, groups: Sequence[StreamGroup], tick: EventId) -> None:
        """Make the events of the newest tick, whose entry in the log is `tick`, for each of some groups."""
        groups = [group for group in groups if group.question.events & {EventName.TICK, EventName.RANK}]
        if not groups:
            return
        known = await self._events.read_metrics()
        if [*known] != self._names:
            # The list stays the same one while its names do, and matching costs nothing.
            self._names = [*known]
        for group in groups:
            group.matcher.match(self._names)
        rows = await self._read_rows(groups, known)
        places = await self._read_places(groups)
        at = await self._events.read_tick()
        for group in groups:
            group.state = [*_list_state(group, at, rows, places, tick)]
            group.state_id = tick

    async def _read_rows(
        self, groups: Iterable[StreamGroup], known: dict[Metric, int]
    ) -> dict[Measure, dict[Metric, str]]:
        """Return, by the measure of the hour mean, the row of each metric that is asked for."""
        rows = {}
        for measure, metrics in _collect_metrics(groups, EventName.TICK).items():
            market = await self._events.read_market(sorted(metrics), known, measure)
            rows[measure] = {row.metric: write_row(row) for row in market}
        return rows

    async def _read_places(
        self, groups: Sequence[StreamGroup]
    ) -> dict[tuple[Measure, By], tuple[int, dict[Metric, str]]]:
        """Return, by each way to rank, how many are ranked, and the places of those that are asked for."""
        places = {}
        for by in By:
            asked = [group for group in groups if group.question.by is by]
            for measure, metrics in _collect_metrics(asked, EventName.RANK).items():
                scores = await self._events.read_scores(measure, by)
                places[measure, by] = len(scores), write_places(scores, metrics)
        return places


def _collect_metrics(groups: Iterable[StreamGroup], event: EventName) -> dict[Measure, set[Metric]]:
    """Return the metrics of the groups that want an event, by their measure."""
    metrics: dict[Measure, set[Metric]] = {}
    for group in groups:
        if event in group.question.events:
            metrics.setdefault(group.question.measure, set()).update(group.matcher.matches)
    return metrics


def _list_state(
    group: StreamGroup,
    at: int | None,
    rows: dict[Measure, dict[Metric, str]],
    places: dict[tuple[Measure, By], tuple[int, dict[Metric, str]]],
    tick: EventId,
) -> Iterable[StreamEvent]:
    """Yield the events of a tick; the last one has the id, so that none is lost between them."""
    question, matcher = group.question, group.matcher
    named = None if tick == FIRST_ID else tick
    has_tick = EventName.TICK in question.events
    if EventName.RANK in question.events:
        of, written = places[question.measure, question.by]
        matches = set(matcher.matches)
        ranked = [row for metric, row in written.items() if metric in matches]
        data = write_ranks(at, question.measure, question.by, of, ranked)
        yield StreamEvent("rank", data, None if has_tick else named)
    if has_tick:
        of_measure = rows[question.measure]
        written_rows = [of_measure[metric] for metric in matcher.matches if metric in of_measure]
        yield StreamEvent("tick", write_tick(at, question.measure, written_rows, matcher.missing), named)
