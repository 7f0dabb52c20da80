"""
What a request asks for, whatever way it is written: which of the answers may be kept, and which changes end them.

The order of parameters, defaults that are written out, `60m` in place of `1h`, the case of a metric's name, and
`Accept` in place of `format` make no other question. Two requests of one question have one answer.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import EnumMeta
from re import Match, Pattern
from typing import Any, NamedTuple, get_args

from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel
from starlette.datastructures import QueryParams as Query
from starlette.routing import BaseRoute

from ..model import Metric
from ..store import Change, ChangeFeed, ChangeKind
from .params import Format, TableParams
from .responses import choose_accepted

__all__ = ["Change", "ChangeFeed", "Question", "QuestionReader"]

_OF_SAMPLES = frozenset({ChangeKind.TICK, ChangeKind.SAMPLES, ChangeKind.RANKS, ChangeKind.SOURCES})
_OF_RULES = _OF_SAMPLES | {ChangeKind.RULES, ChangeKind.SILENCES}
KEPT: Mapping[str, frozenset[ChangeKind]] = {
    "metrics": _OF_SAMPLES,
    "history": _OF_SAMPLES,
    "snapshot": _OF_SAMPLES,
    "ranks": _OF_SAMPLES,
    "rules": _OF_RULES,
    "silences": _OF_RULES,
    "alerts": _OF_RULES | {ChangeKind.ALERTS},
    "top": frozenset({ChangeKind.TOP}),
    "sources": frozenset({ChangeKind.SOURCES, ChangeKind.BUDGETS}),
}
"""The answers that may be kept, by the first part of their path below the version, and what ends them."""
_ONLY_OF_TABLES = frozenset({*TableParams.model_fields, "columns"})
"""Parameters that are refused where something else than CSV is answered, even with their default."""


class Question(NamedTuple):
    """What is asked for; equal where the answer is the same."""

    path: str
    params: tuple[object, ...]
    format_: Format | None
    metric: Metric | None
    """The one metric that it is about."""
    subject: str

    def is_ended_by(self, change: Change) -> bool:
        """Return whether an answer from before a change may be another one after it."""
        if change.kind is ChangeKind.ALL:
            return True
        is_of_another = change.metric is not None and self.metric not in (None, change.metric)
        return change.kind in KEPT[self.subject] and not is_of_another


class _AskedRoute(NamedTuple):
    """A route whose answers may be kept."""

    pattern: Pattern[str]
    subject: str
    dependant: Dependant | None
    formats: Sequence[Format]
    """Those that `Accept` chooses from; none where the path says which."""


class QuestionReader:
    """Reads requests by the routes of the application, which `list_routes` gives when the first one comes."""

    def __init__(self, list_routes: Callable[[], Sequence[BaseRoute]]) -> None:
        self._list_routes = list_routes
        self._routes: dict[str, list[_AskedRoute]] = {}

    def has_kept_answers(self, route_path: str) -> bool:
        """Return whether answers below a path may be kept; `route_path` is without a proxy's part."""
        return find_subject(route_path) in KEPT

    def read(self, route_path: str, root_path: str, query: bytes, accept: str) -> Question | None:
        """Return what is asked for; `None` where no answer to it may be kept: it is no address of ours, or wrong."""
        if not self._routes:
            self._routes = _group_routes(self._list_routes())
        for route in self._routes.get(find_subject(route_path), ()):
            if matched := route.pattern.match(route_path):
                return _read_question(route, root_path, _Asked(matched, query, accept))
        return None


def find_subject(route_path: str) -> str:
    """Return the first part of a path below the version, without the name of a format: `ranks` of `/v1/ranks.csv`."""
    _, _, below = route_path[1:].partition("/")
    return below.partition("/")[0].partition(".")[0]


class _Asked(NamedTuple):
    path: Match[str]
    query: bytes
    accept: str


def _group_routes(routes: Sequence[BaseRoute]) -> dict[str, list[_AskedRoute]]:
    grouped: dict[str, list[_AskedRoute]] = {subject: [] for subject in KEPT}
    for route in iter_route_contexts(routes):
        subject = find_subject(route.path_format or "")
        if subject in KEPT and "GET" in (route.methods or ()):
            dependant = getattr(route, "dependant", None)
            formats = _list_formats(_find_model(dependant))
            grouped[subject].append(_AskedRoute(route.path_regex, subject, dependant, formats))
    return grouped


def _find_model(dependant: Dependant | None) -> type[BaseModel] | None:
    """Return the parameters of a route, where they are one model."""
    queries = dependant.query_params if dependant else []
    model = queries[0].field_info.annotation if len(queries) == 1 else None
    return model if isinstance(model, type) and issubclass(model, BaseModel) else None


def _list_formats(model: type[BaseModel] | None) -> Sequence[Format]:
    """Return the formats that the parameter `format` takes."""
    field = model.model_fields.get("format") if model else None
    if field is None:
        return ()
    kinds = [each for each in _flatten(field.annotation) if each is not type(None)]
    names: Iterable[Any] = kinds[0] if kinds and isinstance(kinds[0], EnumMeta) else kinds
    return [Format(str(name)) for name in names]


def _flatten(annotation: Any) -> list[Any]:
    """Return the parts of a union or a literal, and their parts."""
    parts = get_args(annotation)
    return [leaf for part in parts for leaf in _flatten(part)] if parts else [annotation]


def _read_question(route: _AskedRoute, root_path: str, asked: _Asked) -> Question | None:
    path, metric = root_path + asked.path.string, None
    if "metric" in asked.path.re.groupindex:
        # Of a metric the case of its name makes no difference, and of nothing else.
        (start, end), metric = asked.path.span("metric"), Metric(asked.path["metric"].upper())
        path = f"{root_path}{asked.path.string[:start]}{metric}{asked.path.string[end:]}"
    if route.dependant is None or _find_model(route.dependant) is None:
        return Question(path, (asked.query, asked.accept), None, metric, route.subject)
    query = Query(asked.query)
    if len(query.multi_items()) != len(query):
        return None
    values, errors = request_params_to_args(route.dependant.query_params, query)
    if errors:
        return None
    (params,) = values.values()
    format_ = _find_format(route, params, asked.accept)
    return Question(path, _list_values(params, format_), format_, metric, route.subject)


def _find_format(route: _AskedRoute, params: BaseModel, accept: str) -> Format | None:
    if not route.formats:
        return None
    named = getattr(params, "format", None)
    return Format(named) if named else choose_accepted(accept, route.formats)


def _list_values(params: BaseModel, format_: Format | None) -> tuple[object, ...]:
    """Return the values of parameters in the order of their model, and which of them must not have been written."""
    values = [_freeze(getattr(params, name)) for name in type(params).model_fields if name != "format"]
    is_table = format_ in (None, Format.CSV)
    return (*values, () if is_table else frozenset(params.model_fields_set & _ONLY_OF_TABLES))


def _freeze(value: object) -> object:
    return tuple(map(_freeze, value)) if isinstance(value, list | tuple | set | frozenset) else value
