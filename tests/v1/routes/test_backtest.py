"""Trying rules over HTTP: what is answered, what is too much, and that others are answered meanwhile."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.support.serving import NOON, every_minute, fill, serving
from v1.backtest.process import runner
from v1.routes import backtest as module

RULE = {"id": "spike", "kind": "ratio", "min_samples": 2}


@pytest.fixture
async def spiked(writer):
    """Ten hours of two metrics; BTC jumps twice, the second time half an hour after the first."""
    prices = [*["1"] * 500, "4.00", *["1"] * 29, "5", *["1"] * 69]
    await fill(writer, {"KRAKEN:BTCUSD": every_minute(prices), "KRAKEN:ETHUSD": every_minute(["1"] * 600)})


async def tried(api, **fields):
    return await api.send("POST", "/v1/rules/backtest", {"rules": [RULE]} | fields)


@pytest.mark.usefixtures("spiked")
async def test_it_is_told_what_would_have_been_sent_how_often_and_how_sensitive_that_is(api):
    found = (await tried(api)).json

    assert (found["from"], found["to"], found["metrics"], found["samples"]) == (NOON - 599 * 60, NOON, 2, 1200)
    assert found["warm_up"]["until"] == NOON - 599 * 60 + 3600
    (came,) = found["rules"]
    assert {name: came[name] for name in ("rule", "matches", "fires", "flaps", "alerts", "suppressed", "messages")} == {
        "rule": "spike",
        "matches": 2,
        "fires": 2,
        "flaps": 1,
        "alerts": 1,
        "suppressed": 0,
        "messages": 1,
    }
    cells = {(cell["factor"], cell["cooldown"]): cell["alerts"] for cell in came["sweep"]["cells"]}
    assert (cells[3, 0], cells[3, 3600], cells[5, 0]) == (2, 1, 0)
    (alert,), (message,) = found["alerts"], found["messages"]
    assert (alert["value"], alert["rank"], alert["of"], message["id"]) == (4.0, 1, 2, alert["id"])
    assert message["title"] == "KRAKEN:BTCUSD price is 4 x its hour mean"


@pytest.mark.usefixtures("spiked")
async def test_nothing_is_written(api):
    await tried(api)

    assert (await api.get("/v1/alerts")).json["alerts"] == []
    assert "spike" not in {rule["id"] for rule in (await api.get("/v1/rules")).json["rules"]}


@pytest.mark.usefixtures("spiked")
async def test_rules_are_on_from_and_to_the_times_that_are_given(api):
    found = (await tried(api, **{"from": NOON - 5880, "to": "2021-05-17T11:50:00Z"})).json

    assert (found["from"], found["to"]) == (NOON - 5880, NOON - 600)
    assert [alert["value"] for alert in found["alerts"]] == [5.0]


@pytest.mark.usefixtures("spiked")
async def test_a_silence_that_is_in_force_keeps_quiet_what_it_covers(api):
    await api.send("POST", "/v1/silences", {"id": "s", "from": NOON - 86400, "to": NOON + 60})

    (came,) = (await tried(api)).json["rules"]

    assert (came["alerts"], came["suppressed"], came["messages"]) == (1, 1, 0)


@pytest.mark.usefixtures("spiked")
async def test_without_the_table_and_the_list_there_are_the_counts(api):
    found = (await tried(api, sweep=False, limit=0)).json

    assert (found["rules"][0]["sweep"], found["alerts"], found["messages"], found["left_out"]) == (None, [], [], 1)
    assert found["rules"][0]["alerts"] == 1


@pytest.mark.usefixtures("spiked")
async def test_where_all_metrics_are_too_many_those_that_the_rules_watch_are_tried_without_ranks(api, monkeypatch):
    monkeypatch.setattr(module, "MOST_SAMPLES", 700)

    found = (await tried(api, rules=[RULE | {"metrics": "*BTC*"}])).json

    assert (found["metrics"], found["alerts"][0]["rank"]) == (1, None)
    assert "ranks are not known" in found["notes"][0]


@pytest.mark.usefixtures("spiked")
@pytest.mark.parametrize("rule", [RULE, {"id": "top", "kind": "rank", "metrics": "*BTC*"}], ids=["ratio", "rank"])
async def test_what_is_too_much_is_told_with_the_limit_and_the_way_around(api, monkeypatch, rule):
    monkeypatch.setattr(module, "MOST_SAMPLES", 700)

    answer = await tried(api, rules=[rule])

    (error,) = answer.json["errors"]
    assert (answer.status, error["field"]) == (422, "rules")
    assert error["value"] == "the kept day holds 1,200 samples of 2 metrics"
    assert "700 samples" in error["accepted"]
    assert "start-worker.sh rules backtest" in error["accepted"]


@pytest.mark.usefixtures("spiked")
async def test_what_takes_too_long_is_broken_off(api, monkeypatch):
    monkeypatch.setattr(module, "MOST_SECONDS", -1.0)

    answer = await tried(api)

    assert answer.status == 422
    assert "-1 seconds at most" in answer.json["errors"][0]["accepted"]


@pytest.fixture
def endless(monkeypatch, tmp_path):
    """Processes that write their id into a file, and then do nothing for as long as somebody holds their input."""
    path = tmp_path / "process"
    monkeypatch.setattr(runner, "COMMAND", ("sh", "-c", f"echo $$ > {path}.new; mv {path}.new {path}; exec cat >&2"))
    return path


async def begun(path) -> int:
    while not path.exists():
        await asyncio.sleep(0.01)
    return int(path.read_text())


async def ended(process: int) -> None:
    while Path(f"/proc/{process}").exists():
        await asyncio.sleep(0.01)


@pytest.mark.usefixtures("server")
async def test_one_is_tried_at_a_time_and_others_are_answered_meanwhile(api, endless):
    first = asyncio.create_task(tried(api))
    process = await begun(endless)

    second, meanwhile = await tried(api), await api.get("/v1/metrics")
    os.kill(process, signal.SIGKILL)

    assert (second.status, "one call at a time" in second.json["detail"]) == (429, True)
    assert second.headers["Retry-After"] == "5"
    assert (meanwhile.status, (await first).status) == (200, 500)


async def test_one_that_nobody_waits_for_any_more_is_ended(api, endless):
    asked = asyncio.create_task(tried(api))
    process = await begun(endless)

    asked.cancel()

    await ended(process)


async def test_one_does_not_hold_up_the_end_of_the_server(clock, server, endless):
    stop = asyncio.Event()
    async with serving(clock, server, stop) as api:
        asked = asyncio.create_task(tried(api))
        process = await begun(endless)
        stop.set()
        answer = await asked

        assert (answer.status, "about to stop" in answer.json["detail"]) == (503, True)
        await ended(process)


async def test_one_that_does_not_end_in_its_time_is_ended(api, monkeypatch, endless):
    monkeypatch.setattr(module, "MOST_SECONDS", 0.0)
    monkeypatch.setattr(runner, "GRACE_SECONDS", 0.1)

    answer = await tried(api)

    assert (answer.status, answer.json["errors"][0]["field"]) == (422, "rules")
    await ended(await begun(endless))


async def test_why_one_failed_is_for_the_log_alone(api, monkeypatch, caplog):
    monkeypatch.setattr(runner, "COMMAND", ("sh", "-c", "echo what went wrong >&2; exit 1"))

    answer = await tried(api)

    assert (answer.status, answer.json["detail"]) == (500, "an error of ours; the log has the reason")
    assert "what went wrong" in caplog.text


@pytest.mark.usefixtures("spiked")
async def test_what_cannot_be_known_is_noted(api):
    several = [{"id": f"r{number}", "kind": "frozen"} for number in range(5)]

    notes = (await tried(api, rules=several)).json["notes"]

    assert len(notes) == 2
    assert "provider's time" in notes[0]
    assert "4 rules at most" in notes[1]


@pytest.mark.parametrize(
    "fields, field, accepted",
    [
        pytest.param({"rules": []}, "rules", "a list of 1 to 20", id="no rule"),
        pytest.param({"rules": [RULE] * 21}, "rules", "a list of 1 to 20", id="too many"),
        pytest.param({"rules": [RULE, RULE]}, "rules", "an id of their own", id="the same twice"),
        pytest.param({"rules": [RULE | {"factor": -1}]}, "rules.0.factor", "above zero", id="a wrong rule"),
        pytest.param({"rules": ["spike"]}, "rules.0", "a document of fields", id="a name"),
        pytest.param({"sweep": "yes"}, "sweep", "true or false", id="a yes that is a text"),
        pytest.param({"limit": 1001}, "limit", "from 0 to 1000", id="everything"),
        pytest.param({"from": "soon"}, "from", "unix seconds", id="no time"),
        pytest.param({"rule": RULE}, "rule", "the fields rules, from, to, sweep, limit", id="an unknown field"),
    ],
)
async def test_what_is_not_accepted_is_named(api, fields, field, accepted):
    answer = await tried(api, **fields)

    assert answer.status == 422
    (error,) = answer.json["errors"]
    assert error["field"] == field
    assert accepted in error["accepted"]


@pytest.mark.usefixtures("spiked")
@pytest.mark.parametrize("times", [{"from": NOON + 60}, {"from": NOON - 60, "to": NOON - 120}])
async def test_rules_that_would_never_be_on_are_not_said_to_be_silent(api, times):
    answer = await tried(api, **times)

    (error,) = answer.json["errors"]
    last = times.get("to", NOON)
    assert (answer.status, error["field"], error["value"]) == (422, "from", str(times["from"]))
    assert error["accepted"] == f"a tick that is played: {last} or before"


async def test_before_the_first_sample_there_is_nothing_to_try_on(api):
    found = (await tried(api)).json

    assert (found["from"], found["to"], found["samples"], found["alerts"]) == (None, None, 0, [])
