"""
The text that Prometheus reads (exposition format 0.0.4), of one process or of several.

Every sample has the label `process`, the number of the process that it is of: each of them counts from its own start,
so a sum made here would jump back whenever one of them is started again. `sum without (process)` adds them up.
"""

import re
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
SIBLINGS_UP = "data_tracker_api_process_up"

_CREATED = re.compile(r"^# HELP (\w+_created) .*\n# TYPE \1 gauge\n(?:\1[{ ].*\n)*", re.MULTILINE)
_SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(\{?)", re.MULTILINE)
_FAMILY = re.compile(r"^# HELP .*\n# TYPE .*\n", re.MULTILINE)


def write_registry(registry: CollectorRegistry, process: int) -> str:
    """Return what a registry holds, each sample with the number of its `process`."""
    # When a counter was made is in no query of ours, and would be every third line.
    text = _CREATED.sub("", generate_latest(registry).decode())
    return _SAMPLE.sub(lambda found: f'{found[1]}{{process="{process}"{"," if found[2] else "}"}', text)


def merge_texts(texts: Iterable[str]) -> str:
    """Return one text of several of the same families: each family's head once, and everybody's samples below it."""
    families: dict[str, list[str]] = {}
    for text in texts:
        heads = _FAMILY.findall(text)
        for head, samples in zip(heads, _FAMILY.split(text)[1:], strict=True):
            families.setdefault(head, []).append(samples)
    return "".join(head + "".join(samples) for head, samples in families.items())


def write_siblings(is_up: Mapping[int, bool]) -> str:
    """Return which processes of this API answered when they were asked for their numbers."""
    lines = [f'{SIBLINGS_UP}{{process="{number}"}} {int(up)}.0' for number, up in sorted(is_up.items())]
    head = f"# HELP {SIBLINGS_UP} Whether a process of this API gave its numbers.\n# TYPE {SIBLINGS_UP} gauge\n"
    return head + "".join(f"{line}\n" for line in lines)
