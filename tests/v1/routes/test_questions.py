"""Which requests ask the same."""

from typing import NamedTuple
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as some

from v1.model import Metric
from v1.routes.params import Format
from v1.routes.questions import QuestionReader
from v1.server.app import create_app
from v1.settings import Settings

HISTORY = "/v1/metrics/KRAKEN:BTCUSD/history"

MEANINGS = {
    "measure": {"price": ["price"], "volume": ["volume"]},
    "from": {"an hour ago": ["-1h", "-60m", "now-3600s"], "noon": ["1621252800", "2021-05-17T12:00:00Z"]},
    "to": {"now": ["now", "NOW", " now"], "noon": ["1621252800.5", "2021-05-17T14:00:00+02:00"]},
    "step": {"hour": ["1h", "60m", "3600", "3600s"], "minute": ["60", "1m"]},
    "agg": {"last": ["last"], "min": ["min"]},
    "fill": {"none": ["none"], "linear": ["linear"]},
}
"""By parameter, what it may mean, and ways to write that."""
DEFAULTS = {"measure": "price", "agg": "last", "fill": "none"}
FORMATS = {
    Format.JSON: [("json", ""), ("json", "text/csv"), (None, ""), (None, "text/html, */*"), (None, "text/csv;q=0")],
    Format.CSV: [
        ("csv", ""),
        ("csv", "application/json"),
        (None, "text/csv"),
        (None, "application/json;q=0.5, text/csv"),
    ],
}
METRICS = {"KRAKEN:BTCUSD": ["KRAKEN:BTCUSD", "kraken:btcusd"], "KRAKEN:ETHUSD": ["KRAKEN:ETHUSD", "Kraken:EthUsd"]}


class Asked(NamedTuple):
    """A request, and what it means."""

    meaning: tuple[object, ...]
    path: str
    query: bytes
    accept: str


@some.composite
def requests(draw) -> Asked:
    """Write something that may be asked for in one of the ways in which it can be."""
    metric = draw(some.sampled_from([*METRICS]))
    format_ = draw(some.sampled_from([*FORMATS]))
    named, accept = draw(some.sampled_from(FORMATS[format_]))
    meaning, written = dict(DEFAULTS), [] if named is None else [("format", named)]
    for name, meanings in MEANINGS.items():
        chosen = draw(some.none() | some.sampled_from([*meanings]))
        if chosen is not None:
            meaning[name] = chosen
            written.append((name, draw(some.sampled_from(meanings[chosen]))))
    encode = draw(some.sampled_from([quote, quote_plus]))
    query = "&".join(f"{name}={encode(value)}" for name, value in draw(some.permutations(written)))
    path = HISTORY.replace("KRAKEN:BTCUSD", draw(some.sampled_from(METRICS[metric])))
    return Asked((metric, format_, *sorted(meaning.items())), path, query.encode(), accept)


@pytest.fixture(scope="module")
def reader() -> QuestionReader:
    app = create_app(Settings(redis_url="redis://127.0.0.1:1", bind="127.0.0.1:0"))
    return QuestionReader(lambda: app.routes)


@given(requests(), requests())
def test_two_requests_are_one_question_where_they_mean_the_same_and_nowhere_else(reader, one: Asked, other: Asked):
    questions = [reader.read(each.path, "", each.query, each.accept) for each in (one, other)]

    assert None not in questions
    assert (questions[0] == questions[1]) == (one.meaning == other.meaning)
    assert (hash(questions[0]) == hash(questions[1])) or one.meaning != other.meaning


@pytest.mark.parametrize(
    "path, query",
    [
        ("/v1/metrics", "limit=x"),
        ("/v1/metrics", "limit=1&limit=1"),
        ("/v1/metrics", "nonsense=1"),
        ("/v1/metrics/A:B/nothing", ""),
        ("/v1/metrics/A:B/history", "from=yesterday"),
        ("/v1/rules/backtest", ""),
        ("/v1", ""),
        ("/", ""),
        ("", ""),
        ("/health/ready", ""),
        ("/v1/alerts/x/acknowledge", ""),
    ],
)
def test_what_is_not_served_or_not_accepted_is_no_question(reader, path: str, query: str):
    assert reader.read(path, "", query.encode(), "") is None


@pytest.mark.parametrize("path", ["/v1/metrics", "/v1/ranks", "/v1/rules", "/v1/silences", "/v1/alerts", "/v1/top"])
def test_every_list_is_a_question_below_both_names_of_the_version(reader, path: str):
    version, latest = [reader.read(each, "", b"", "") for each in (path, path.replace("/v1/", "/latest/"))]

    assert version is not None
    assert latest is not None
    assert version != latest, "an answer may hold its own address"


def test_the_path_of_a_proxy_is_part_of_the_question(reader):
    question = reader.read("/v1/metrics/a:b", "/team/tracker", b"", "")

    assert question is not None
    assert (question.path, question.metric) == ("/team/tracker/v1/metrics/A:B", Metric("A:B"))


def test_the_case_of_an_id_makes_another_question(reader):
    assert reader.read("/v1/rules/A", "", b"", "") != reader.read("/v1/rules/a", "", b"", "")


def test_a_parameter_of_csv_that_is_written_is_another_question_where_something_else_is_answered(reader):
    plain, written = [reader.read(HISTORY, "", query, "") for query in (b"", b"bom=false")]
    assert plain != written

    plain, written = [reader.read(f"{HISTORY}.csv", "", query, "") for query in (b"", b"bom=false")]
    assert plain == written
