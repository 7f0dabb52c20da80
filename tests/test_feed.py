"""The contract between a version and who feeds it: few names, in namespaces, each stated, each used, and no others."""

import ast
import importlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

import worker.latest
from v1 import feed

ROOT = Path(__file__).resolve().parents[1]
LATEST = "worker.latest"
MOST_NAMES = 32
"""That are stated at the top of the contract, the namespaces among them."""
NAMESPACES = sorted(path.stem for path in Path(feed.__file__).parent.glob("*.py") if path.stem != "__init__")


class UsedName(NamedTuple):
    """A name of the contract where it is used: of a namespace, or with an empty one of the top."""

    namespace: str
    name: str


def list_uses(source: str) -> Iterator[UsedName]:
    """Yield what a module takes of `worker.latest`: names that it imports, and attributes of imported namespaces."""
    tree = ast.parse(source)
    namespaces = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (UsedName("", f"import {each.name}") for each in node.names if is_of_latest(each.name))
        elif isinstance(node, ast.ImportFrom) and is_of_latest(node.module or ""):
            namespace = (node.module or "").removeprefix(LATEST).removeprefix(".")
            for each in node.names:
                if not namespace and each.name in NAMESPACES:
                    namespaces[each.asname or each.name] = each.name
                yield UsedName(namespace, each.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in namespaces:
            yield UsedName(namespaces[node.value.id], node.attr)


def is_of_latest(module: str) -> bool:
    return module == LATEST or module.startswith(f"{LATEST}.")


def list_stated() -> Iterator[UsedName]:
    yield from (UsedName("", name) for name in feed.__all__)
    for namespace in NAMESPACES:
        yield from (UsedName(namespace, name) for name in read_namespace(namespace).__all__)


def read_namespace(name: str) -> ModuleType:
    return importlib.import_module(f"{feed.__name__}.{name}")


def list_all_uses(folders: Iterable[str]) -> set[UsedName]:
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return {use for path in paths for use in list_uses(path.read_text())}


def test_the_top_of_the_contract_has_few_names():
    assert len(feed.__all__) <= MOST_NAMES


def test_every_namespace_is_named_at_the_top_and_in_its_table():
    assert set(NAMESPACES) <= set(feed.__all__)
    assert [line.split()[0] for line in (feed.__doc__ or "").splitlines() if line.startswith("    ")] == NAMESPACES


def test_a_name_is_stated_once():
    assert [name for name, count in Counter(each.name for each in list_stated()).items() if count > 1] == []


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_a_namespace_states_all_that_it_has(namespace: str):
    module = read_namespace(namespace)

    assert {name for name in vars(module) if not name.startswith("__")} == set(module.__all__)


def test_the_worker_uses_nothing_that_is_not_stated():
    assert list_all_uses(["worker", "scripts"]) - set(list_stated()) == set()


def test_everything_that_is_stated_is_used():
    used = list_all_uses(["worker", "scripts"])
    reached = {UsedName("", each.namespace) for each in used if each.namespace}

    assert set(list_stated()) - used - reached == set()


def test_the_worker_names_the_version_in_one_folder_that_takes_what_the_contract_states():
    for path in Path(worker.latest.__file__).parent.glob("*.py"):
        suffix = "" if path.stem == "__init__" else f".{path.stem}"
        _, *lines = ast.parse(path.read_text()).body

        assert [ast.unparse(line) for line in lines] == [f"from {feed.__name__}{suffix} import *"], path.name


USES = """
import worker.latest.store
from worker.latest import HOUR, decimals as exact
from worker.latest.rules import Rule
def run():
    from worker.latest import Secret
    return exact.hidden(1), Rule.make, HOUR.real
"""


def test_a_use_is_seen_however_it_is_written():
    assert sorted(list_uses(USES)) == [
        ("", "HOUR"),
        ("", "Secret"),
        ("", "decimals"),
        ("", "import worker.latest.store"),
        ("decimals", "hidden"),
        ("rules", "Rule"),
    ]
