"""Reads what Prometheus reads: the metrics of an exposition, by name and labels."""

import subprocess
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families


def read_samples(text: str) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    """Return the value of every sample, by its name and then by its labels."""
    samples: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            of_name = samples.setdefault(sample.name, {})
            labels = frozenset(sample.labels.items())
            assert labels not in of_name, f"{sample.name}{sample.labels} is there twice"
            of_name[labels] = sample.value
    return samples


def read_value(text: str, name: str, **labels: str) -> float:
    """Return the value of the one sample of a name that has these labels, and maybe more; 0 where there is none."""
    found = [
        value for known, value in read_samples(text).get(name, {}).items() if labels.items() <= dict(known).items()
    ]
    assert len(found) <= 1, f"{len(found)} samples are {name}{labels}"
    return found[0] if found else 0.0


def list_families(text: str) -> dict[str, str]:
    """Return the help of every metric, by its name as queries have it: of counters with `_total`."""
    families = {}
    for family in text_string_to_metric_families(text):
        suffix = "_total" if family.type == "counter" else "_info" if family.type == "info" else ""
        families[family.name + suffix] = family.documentation
    return families


def lint(promtool: Path, text: str) -> str:
    """Return what `promtool check metrics` finds wrong with an exposition."""
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    return checked.stdout + checked.stderr
