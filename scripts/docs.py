"""
Writes what in `docs/` follows from the code: the OpenAPI document, and tables. Each table stands between two marks in its
page:

    <!-- table: settings -->
    | setting | default | meaning |
    <!-- end of table -->

What is between the marks is replaced; everything else on a page is written by hand.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.main import get_command

from v1.model import DAY
from v1.numbers import exact_json
from v1.routes.examples import EXAMPLE_ALERT, EXAMPLE_METRIC, NO_ALERT, NO_METRIC
from v1.routes.openapi import make_document
from v1.routes.stream.events import EVENTS, TickRow
from v1.rules import DEFAULTS, Rule
from v1.rules.mute_hours import MuteHours
from v1.rules.rule import OF_ANY_KIND, OF_KIND, Kind
from v1.server.app import create_app
from v1.server.telemetry import ApiTelemetry
from v1.server.telemetry.exposition import write_registry as write_metrics
from v1.server.telemetry.exposition import write_siblings
from v1.settings import PREFIX, Settings
from v1.store import keys
from worker.cli.commands import app
from worker.latest.sharing import WorkerNote
from worker.reporting.metrics import make_instruments, states
from worker.reporting.metrics.server import write_registry
from worker.reporting.terminal import get_typed_name, print_line
from worker.settings import WorkerSettings

ROOT = Path(__file__).resolve().parents[1]
CONTRACT = ROOT / "docs" / "reference" / "openapi.json"
"""The OpenAPI document of the newest version, as it is served before the first sample, without keys."""
MARKS = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
LENGTHS = ("archive_backfill",)
"""Settings that are kept in seconds and written in days."""
METRICS = "data_tracker_"
METHODS = ("get", "post", "put", "delete")

Row = tuple[str, ...]


def main() -> int:
    parser = argparse.ArgumentParser(
        get_typed_name("scripts/docs.sh"), description="Renew what in docs/ is made from the code."
    )
    parser.add_argument("--check", action="store_true", help="change nothing; fail where something is stale")
    check = parser.parse_args().check
    made = {page: renew_tables(page.read_text()) for page in list_pages()} | {CONTRACT: make_contract()}
    stale = {path: text for path, text in made.items() if not path.exists() or path.read_text() != text}
    for path, text in stale.items():
        print_line(f"{path.relative_to(ROOT)}: {'differs from the code' if check else 'renewed'}")
        if not check:
            path.write_text(text)
    if stale and check:
        print_line("to renew: scripts/docs.sh")
    return 1 if stale and check else 0


def list_pages() -> list[Path]:
    """Return the pages that may hold generated tables."""
    return sorted((ROOT / "docs").rglob("*.md"))


def renew_tables(text: str) -> str:
    """Return a page with its tables as the code says; raises `KeyError` for a table that nobody makes."""
    return MARKS.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}\n{found[3]}", text)


def make_contract() -> str:
    """Return the OpenAPI document as a file: a line for each value, in the order and with the digits that are served."""
    text = exact_json.dumps(_document()).replace(EXAMPLE_METRIC, NO_METRIC).replace(EXAMPLE_ALERT, NO_ALERT)
    return f"{indent_json(exact_json.loads(text))}\n"


def indent_json(value: object, indent: str = "\n") -> str:
    """Return JSON with a line for each value; `json.dumps` would write numbers its own way."""
    deeper = f"{indent} "
    match value:
        case dict() if value:
            members = [f"{json.dumps(name)}: {indent_json(inner, deeper)}" for name, inner in value.items()]
            return f"{{{deeper}{f',{deeper}'.join(members)}{indent}}}"
        case list() if value:
            return f"[{deeper}{f',{deeper}'.join([indent_json(inner, deeper) for inner in value])}{indent}]"
        case exact_json.Digits() | dict() | list():
            return exact_json.dumps(value)
        case _:
            return json.dumps(value, ensure_ascii=False)


def format_table(header: Row, rows: Iterable[Row]) -> str:
    """Return a table in Markdown."""
    cells = [header, tuple("---" for _ in header), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in cells)
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


def format_code(text: str) -> str:
    return f"`{text}`" if text else ""


# ---- settings ---------------------------------------------------------------------------------------------


def make_shared_settings_table() -> str:
    return make_settings_table(Settings.model_fields)


def make_worker_settings_table() -> str:
    own = {name: field for name, field in WorkerSettings.model_fields.items() if name not in Settings.model_fields}
    return make_settings_table(own)


def make_settings_table(fields: Mapping[str, FieldInfo]) -> str:
    rows = [
        (format_code(f"{PREFIX}{name.upper()}"), format_code(format_default(name, field)), field.description or "")
        for name, field in fields.items()
    ]
    return format_table(("variable", "default", "meaning"), rows)


def format_default(name: str, field: FieldInfo) -> str:
    """Return a default as it would be set; nothing where there is none."""
    value = field.get_default()
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(str(each).rstrip("/") for each in value)
    return f"{value // DAY}d" if name in LENGTHS else str(value).rstrip("/")


def list_secret_files() -> str:
    names = sorted(f"{PREFIX}{name.upper()}_FILE" for name in WorkerSettings.secret_names)
    return "\n".join(f"- {format_code(name)}" for name in names)


# ---- Redis ------------------------------------------------------------------------------------------------


def make_key_table() -> str:
    """Return the table of all keys."""
    return _copy_key_table(0)


def make_partition_key_table() -> str:
    """Return the table of the keys that are there once a partition."""
    return _copy_key_table(1)


def _copy_key_table(number: int) -> str:
    """Return one of the tables in the docstring of `keys`; between its columns there are two blanks or more."""
    lines = (keys.__doc__ or "").splitlines()
    start = [index for index, line in enumerate(lines) if line.split()[:2] == ["key", "type"]][number]
    end = next(index for index in range(start, len(lines)) if not lines[index].strip())
    header, *rows = [tuple(re.split(r" {2,}", line.strip())) for line in lines[start:end]]
    return format_table(header, [(format_code(key), *rest) for key, *rest in rows])


# ---- HTTP -------------------------------------------------------------------------------------------------


def make_operations_table() -> str:
    rows = []
    for path, method, operation in _operations():
        names = [format_code(each["name"]) for each in operation.get("parameters", ()) if each["in"] == "query"]
        taken = ", ".join(names) or ("a JSON document" if "requestBody" in operation else "")
        rows.append(
            (format_code(f"{method.upper()} {path}"), operation["summary"], taken, ", ".join(operation["responses"]))
        )
    return format_table(("route", "what it does", "parameters", "status"), rows)


def make_parameters_table() -> str:
    """Return each parameter of a path or a query once, and again where it means something else."""
    known: dict[Row, None] = {}
    for _, _, operation in _operations():
        for each in operation.get("parameters", ()):
            about = " ".join(each.get("description", "").split())
            default = each.get("schema", {}).get("default")
            known[format_code(each["name"]), format_code("" if default is None else str(default)), about] = None
    return format_table(("parameter", "default", "meaning"), sorted(known))


def _operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in _document()["paths"].items():
        yield from ((path, method, methods[method]) for method in METHODS if method in methods)


def make_events_table() -> str:
    rows = []
    for name, model in EVENTS.items():
        meaning = " ".join((model.__doc__ or "").split()).removeprefix(f"`{name}`: ")
        fields = "as in `/alerts`" if name == "alert" else ", ".join(map(format_code, model.model_fields))
        rows.append((format_code(name), f"{meaning[:1].upper()}{meaning[1:]}", fields))
    return format_table(("event", "when, and what it says", "fields of its data"), rows)


def make_event_row_table() -> str:
    return _properties(TickRow.model_json_schema())


def make_health_tables() -> str:
    """Return a table for each object in what `/health/ready` answers, the outermost first."""
    schemas = _document()["components"]["schemas"]
    names = ["Readiness"]
    for name in names:
        found = re.findall(r"#/components/schemas/(\w+)", json.dumps(schemas[name]))
        names += [each for each in found if each not in names and "properties" in schemas[each]]
    return "\n\n".join(f"### {name}\n\n{_properties(schemas[name])}" for name in names)


def _properties(schema: Mapping[str, Any]) -> str:
    rows = [
        (format_code(name), _type(each), " ".join(each.get("description", "").split()))
        for name, each in schema["properties"].items()
    ]
    return format_table(("field", "type", "meaning"), rows)


def _type(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    inner = schema.get("items") or schema.get("additionalProperties")
    return f"{schema['type']} of {_type(inner)}" if isinstance(inner, dict) else str(schema["type"])


@cache
def _document() -> dict[str, Any]:
    return make_document(
        create_app(Settings.model_construct()), f"/{Path(keys.__file__).parents[1].name}", is_guarded=False
    )


# ---- metrics ----------------------------------------------------------------------------------------------


def make_api_metrics_table() -> str:
    """Return the metrics of the API, each with a sample, for that is what shows its labels."""
    telemetry = ApiTelemetry.make(list, "", "/latest", "/v1")
    telemetry.requests.count(("/", "GET", 200), 0.0, 0.0, 0)
    telemetry.instruments.server.refused.labels("400")
    siblings = write_siblings({0: True})
    return make_metrics_table(write_metrics(telemetry.registry, 0) + siblings)


def make_worker_metrics_table() -> str:
    """Return the metrics of the worker, each with a sample."""
    instruments = make_instruments()
    for name, read in EXAMPLE_STATES.items():
        instruments.states.follow(name, read)
    instruments.ticks.count(0, ["kraken"], 1, 0.0, 0.0)
    instruments.ticks.filled.labels("kraken")
    instruments.record_request("api.kraken.com", 200, 0.0)
    instruments.record_delivery("pushover", "sent", 0.0)
    return make_metrics_table(write_registry(instruments.registry).decode())


def make_metrics_table(text: str) -> str:
    """Return the metrics of an exposition that are ours, as queries name them: of counters with `_total`."""
    rows = []
    for family in text_string_to_metric_families(text):
        if not family.name.startswith(METRICS):
            continue
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        written = ", ".join(format_code(label) for label in labels)
        rows.append((format_code(family.name + suffix), family.type, written, family.documentation))
    return format_table(("metric", "type", "labels", "meaning"), rows)


EXAMPLE_STATES: Mapping[str, Callable[[], Iterable[Metric]]] = {
    "sources": lambda: states.list_source_metrics(
        {
            "kraken": {
                "state": "ok",
                "metrics": 1,
                "dead": (),
                "missing": (),
                "rejects": {"unreadable price": 1},
                "filling": {"done": 1, "of": 2},
            }
        }
    ),
    "channels": lambda: states.list_channel_metrics({"pushover": (0, 0, 0.0)}),
    "clock": lambda: states.list_clock_metrics(None),
    "archive": lambda: states.list_archive_metrics({"state": "ok"}, None, 0),
    "share": lambda: states.list_share_metrics(WorkerNote("", "", 0, 0, "", 0, able=("kraken",))._asdict()),
    "roles": lambda: states.list_role_metrics(
        {
            "pricing": {
                "state": "ok",
                "unit": "credits",
                "used": 0,
                "limit": 1,
                "list_at": None,
                "interval": None,
                "faults": {"no answer": 1},
            }
        }
    ),
}
"""What the parts of the worker may know, so that each of their metrics has a sample."""


# ---- rules ------------------------------------------------------------------------------------------------


def make_kinds_table() -> str:
    rows = [
        (format_code(kind), ", ".join(format_code(name) for name in OF_ANY_KIND if name in OF_KIND[kind]))
        for kind in Kind
    ]
    return format_table(("kind", "its own fields"), rows)


def make_rule_table() -> str:
    return make_fields_table(Rule)


def make_mute_table() -> str:
    return make_fields_table(MuteHours)


def make_fields_table(model: type[BaseModel]) -> str:
    rows = [
        (format_code(field.alias or name), _default(field), " ".join((field.description or "").split()))
        for name, field in model.model_fields.items()
    ]
    return format_table(("field", "default", "meaning"), rows)


def _default(field: FieldInfo) -> str:
    value = None if field.is_required() else field.get_default()
    if field.is_required():
        return "required"
    if isinstance(value, bool):
        return format_code(str(value).lower())
    return "" if value in (None, "", ()) else format_code(str(value))


def make_default_rules_table() -> str:
    rows = [(format_code(rule.id), rule.name, rule.severity, "yes" if rule.enabled else "no") for rule in DEFAULTS]
    return format_table(("id", "what it tells", "severity", "enabled"), rows)


# ---- commands ---------------------------------------------------------------------------------------------


def list_script_helps() -> str:
    """Return what every script says to `--help`."""
    return "\n\n".join(
        f"### scripts/{path.name}\n\n```text help\n{_help_of(path)}\n```"
        for path in sorted((ROOT / "scripts").glob("*.sh"))
        if path.name != "environment.sh"
    )


def _help_of(path: Path) -> str:
    command = ["sh", f"scripts/{path.name}", "--help"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def make_worker_commands_table() -> str:
    rows = []
    for words, command in _commands(get_command(app), ()):
        taken = [_spelt(each) for each in command.params if not getattr(each, "hidden", False)]
        usage = " ".join(["scripts/start-worker.sh", *words, *taken])
        rows.append((format_code(usage), " ".join((command.help or "").split())))
    return format_table(("command", "what it does"), rows)


def _commands(command: Any, words: Row) -> Iterator[tuple[Row, Any]]:
    """Find the commands in a group of them, each with the words that lead to it."""
    if not hasattr(command, "commands"):
        yield words, command
        return
    for name, each in command.commands.items():
        yield from _commands(each, (*words, name))


def _spelt(parameter: Any) -> str:
    name = parameter.name.upper()
    if parameter.param_type_name == "argument":
        return name if parameter.required else f"[{name}]"
    return f"[{parameter.opts[0]}]" if parameter.is_flag else f"[{parameter.opts[0]} {name}]"


TABLES: Mapping[str, Callable[[], str]] = {
    "settings": make_shared_settings_table,
    "worker-settings": make_worker_settings_table,
    "secret-files": list_secret_files,
    "keys": make_key_table,
    "partition-keys": make_partition_key_table,
    "operations": make_operations_table,
    "parameters": make_parameters_table,
    "events": make_events_table,
    "event-row": make_event_row_table,
    "health": make_health_tables,
    "api-metrics": make_api_metrics_table,
    "worker-metrics": make_worker_metrics_table,
    "kinds": make_kinds_table,
    "rule-fields": make_rule_table,
    "mute-fields": make_mute_table,
    "default-rules": make_default_rules_table,
    "scripts": list_script_helps,
    "worker-commands": make_worker_commands_table,
}


if __name__ == "__main__":
    sys.exit(main())
