"""What `deploy/` has for Prometheus and Grafana: its rules are tested, and it names only metrics that there are."""

import json
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import docs
from tests.support import missing

ROOT = Path(__file__).resolve().parents[1]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = PROMETHEUS / "data-tracker.rules.yml"
TESTS = PROMETHEUS / "data-tracker.tests.yml"
SCRAPES = PROMETHEUS / "prometheus.yml"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text())
NAME = re.compile(r"\b(?:data_tracker|process|python)_\w+")
PARTS = re.compile(r"_(?:bucket|sum|count)$")
OF_THE_CLIENT = {"process_resident_memory_bytes", "process_cpu_seconds_total"}


@cache
def metrics() -> dict[str, str]:
    """Return the type of every metric that is exposed, by name."""
    tables = docs.make_api_metrics_table() + docs.make_worker_metrics_table()
    return dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", tables, re.MULTILINE))


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    """Return every query of the rules and of the dashboard."""
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for panel in panels() for target in panel["targets"])


def names_in(query: str) -> set[str]:
    """Return the metrics that a query asks for: of histograms without what they are made of."""
    found = set()
    for name in NAME.findall(query):
        whole = PARTS.sub("", name)
        found.add(whole if metrics().get(whole) == "histogram" else name)
    return found


def run_promtool(*words: str | Path) -> str:
    promtool = missing.program("prometheus")
    if promtool is None:
        missing.skip("prometheus")
    ran = subprocess.run([promtool, *words], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_prometheus_takes_the_configuration_and_the_rules():
    assert "SUCCESS" in run_promtool("check", "config", SCRAPES.name)
    assert f"{len(rules())} rules found" in run_promtool("check", "rules", RULES.name)


def test_the_rules_do_what_their_tests_say():
    assert "SUCCESS" in run_promtool("test", "rules", TESTS.name)


def test_every_alert_is_seen_firing_by_a_test():
    fired = set(re.findall(r"DataTracker\w+", TESTS.read_text()))

    assert {rule["alert"] for rule in rules()} == fired


def test_every_alert_has_a_severity_and_says_what_is_wrong():
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]


def test_the_rules_go_by_the_jobs_of_the_scrape_configuration():
    jobs = {job["job_name"] for job in yaml.safe_load(SCRAPES.read_text())["scrape_configs"]}

    asked = {name for query in expressions() for name in re.findall(r'job="([^"]+)"', query)}
    assert asked == jobs
    assert all(name.startswith("data-tracker-") for name in jobs)


def test_rules_and_dashboard_ask_only_for_metrics_that_there_are():
    asked = {name for query in expressions() for name in names_in(query)}

    assert asked - OF_THE_CLIENT - metrics().keys() == set()


def test_the_dashboard_shows_every_metric_but_versions_and_the_interval():
    shown = {name for panel in panels() for target in panel["targets"] for name in names_in(target["expr"])}

    left_out = {"data_tracker_api_build_info", "data_tracker_worker_build_info", "data_tracker_interval_seconds"}
    assert metrics().keys() - shown == left_out


@pytest.mark.parametrize("query", [*expressions()])
def test_histograms_are_asked_by_their_parts_and_counters_by_their_rate(query: str):
    for name in NAME.findall(query):
        whole = PARTS.sub("", name)
        assert metrics().get(name) != "histogram", f"{name} is a histogram"
        if metrics().get(whole) in ("histogram", "counter"):
            assert re.search(rf"(?:rate|increase)\({name}\b", query), f"{name} only grows"


def test_the_dashboard_is_one_that_grafana_can_import():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    (source,) = DASHBOARD["templating"]["list"]

    assert len(ids) == len(set(ids))
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    assert DASHBOARD["id"] is None
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert panel["datasource"]["uid"] == "${" + source["name"] + "}", panel["title"]
        references = [target["refId"] for target in panel["targets"]]
        assert references, panel["title"]
        assert len(references) == len(set(references)), panel["title"]
    titles = [panel["title"] for panel in panels()]
    assert len(titles) == len(set(titles))
