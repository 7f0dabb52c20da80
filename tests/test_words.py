"""The words of the tree: what names and docstrings must be, so that a stranger knows at sight what a thing is."""

import ast
import inspect
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("v1", "worker", "scripts")
MOST_LINES = 45
MOST_PARTICIPLES = 0.02
ROOMS = {"v1": (16, 42), "worker": (14, 50)}
"""By package: the most rooms, and the most arrows between them: one room imports another."""

VERBS = frozenset(
    """
    abort accept acknowledge add advance align apply archive ask assign attach back backfill backtest backup become begin build bound call
    cancel change check choose claim classify clamp clear clip close collect commit compare compress compute configure connect convert copy
    count cover create cut decide decrypt delete derive describe disable divide drain draw drop dump encode encrypt end ensure evaluate evict
    execute exit expand explain fetch fill filter finalize find finish fit floor follow forget form format frame freeze get give group handle
    hasten hide hold identify indent insert install interpolate invent join judge keep learn list listen load lock log look lower
    make mark match measure merge migrate move name normalize note notify open pack parse pause peek pick place plan
    ping play poll pop prepare print process prune push put query quote raise rank reach read rebuild receive record recount redact
    reduce refill refresh refuse release reload remember remove rename renew repair replace replay report request reset resolve
    respond restore resume retry return revise rewrite round run sample save say scan see select send serve set settle
    shift shorten show shut sign signal skip sort split start stop store strip subtract suggest sum summarize supervise
    hash revoke spend
    sync take test tick touch translate trim try turn undo unpack update use validate verify wait warn watch write
    """.split()  # noqa: SIM905  # a page of words
)
PREDICATES = frozenset({"is", "has", "should", "can", "are"})

NOT_VERBS: Mapping[str, str] = {
    "v1/store/keys.py:*": "a key function is the name of the key that it returns: keys.samples(...)",
    "*:main": "where a program begins is called so",
    "*:*.now": "what a clock shows is called so, as in datetime",
    "v1/model.py:Sample.value": "an attribute by a parameter: sample.value(measure), as an enumeration's member has one",
    "v1/numbers/decimals.py:power_of_ten": "the name of the number that it returns, as math.comb and math.gcd",
    "v1/numbers/exact_json.py:digits": "stands for the type in calls: digits(text) makes Digits, or nothing of nothing",
    "v1/numbers/exact_json.py:dumps": "named as what it stands for: json.dumps",
    "v1/numbers/exact_json.py:loads": "named as what it stands for: json.loads",
    "v1/rules/rule.py:Rule.matches": "a question in the third person, as str.startswith: rule.matches(metric)",
    "v1/rules/silence.py:Silence.covers": "a question in the third person, as str.startswith: silence.covers(...)",
    "v1/routes/direct.py:DirectRoutes.matches": "Starlette calls it",
    "v1/routes/pages.py:PageFiles.file_response": "Starlette calls it",
    "v1/server/connection.py:ClientProtocol.data_received": "asyncio calls it",
    "v1/server/http1.py:Http1.stream_send": "Hypercorn calls it",
    "v1/store/pool.py:ReplacingPool.aclose": "redis-py calls it, as asyncio spells it",
    "v1/store/cluster/client.py:ClusterRedis.aclose": "as redis-py spells it",
    "v1/store/cluster/client.py:ClusterRedis.pipeline": "as redis-py spells it",
    "v1/store/cluster/client.py:ClusterRedis.pubsub": "as redis-py spells it",
    "v1/store/cluster/client.py:ClusterPipeline.immediate_execute_command": "redis-py calls it",
    "v1/server/channel.py:HandedOver.next_event": "Hypercorn calls it",
    "v1/settings/__init__.py:Settings.settings_customise_sources": "pydantic calls it",
    "worker/clock/ticks.py:ticks": "is looped over, as range() and enumerate() are",
    "worker/clock/wall.py:WatchedClock.wall": "the wall clock's time, as time.monotonic() is the steady one's",
}
"""Public functions that are no verbs, by place (`*` stands for anything), and why. Properties are nouns anyway."""

IRREGULAR = frozenset(
    """
    awoken begun bent bound bought broken brought built burnt bought caught chosen come cut done drawn driven dropped
    fallen felt forgotten found frozen given gone grown heard held hidden kept known laid leaving left lent lost made
    meant met moved paid read-back risen run-down said seen sent shown shut-down sold spent spoken spread stood struck
    sunk taken taught thought thrown told torn understood unmet unread untold woken won worn written
    """.split()  # noqa: SIM905  # a page of words
)
NO_PARTICIPLE = frozenset("embed exceed feed need proceed seed speed bring ping ring string".split())  # noqa: SIM905
PARTICIPLES: Mapping[str, str] = {
    "v1/store/keys.py:staging": "the name of a key, as all functions there",
    "v1/store/keys.py:sending": "the name of a key, as all functions there",
    "v1/store/keys.py:unranked": "the name of a key, as all functions there",
    "v1/store/keys.py:cut_measure": "the verb: it cuts a measure off",
    "v1/rules/conditions.py:_frozen": "a kind of rules, which is called so in a rules file",
    "v1/rules/conditions.py:_spread": "the noun: a kind of rules, which is called so in a rules file",
    "v1/rules/message_text.py:_frozen": "a kind of rules, which is called so in a rules file",
    "worker/sources/simulated/assets.py:SimulatedAssets._swing": "the noun: how far a price moves",
}
"""Functions that are named by a participle, or by what looks like one, and why."""

METAPHORS = frozenset({"tray", "letter", "desk", "shelf", "hindsight", "parcel", "dice", "patience"})
STANDARD_TERMS = ("dead_letter", "DeadLetter")
"""What a message is called that is not sent any more, in every queue that has one."""

RIDDLES = re.compile(r"not (?:its|our|their|his) business|(?:is|are) not known here")
OPENINGS = re.compile(r"\s*(?:Gives?\b|Tells? whether\b)")


class Module(NamedTuple):
    path: str
    tree: ast.Module


Modules = Sequence[Module]


class Function(NamedTuple):
    path: str
    node: ast.FunctionDef | ast.AsyncFunctionDef
    outer: tuple[str, ...]
    """The names of the classes around it."""
    is_nested: bool
    """Whether it is inside another function."""

    @property
    def place(self) -> str:
        return ":".join([self.path, ".".join([*self.outer, self.node.name])])

    @property
    def first_word(self) -> str:
        return self.node.name.strip("_").partition("_")[0]

    @property
    def is_property(self) -> bool:
        return any(
            ast.unparse(each).split("(")[0].rpartition(".")[2] in {"property", "cached_property", "setter"}
            for each in self.node.decorator_list
        )

    @property
    def is_public(self) -> bool:
        return not self.is_nested and not any(name.startswith("_") for name in (*self.outer, self.node.name))

    @property
    def is_named_by_us(self) -> bool:
        return not re.fullmatch(r"__\w+__", self.node.name) and not self.is_property


def is_excused(place: str, rules: Iterable[str] = NOT_VERBS) -> bool:
    return any(fnmatchcase(place, rule) for rule in rules)


def read_tree() -> Modules:
    """Return every module of the packages but migrations, whose names are Alembic's."""
    paths = (path.relative_to(ROOT) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    return parse_modules(
        {path.as_posix(): (ROOT / path).read_text() for path in paths if "migrations" not in path.parts}
    )


def parse_modules(sources: Mapping[str, str]) -> Modules:
    return tuple(Module(path, ast.parse(source)) for path, source in sources.items())


@cache
def list_functions(modules: Modules) -> Sequence[Function]:
    return [each for path, tree in modules for each in _walk_functions(path, tree, (), is_nested=False)]


def _walk_functions(path: str, node: ast.AST, outer: tuple[str, ...], *, is_nested: bool) -> Iterator[Function]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _walk_functions(path, child, (*outer, child.name), is_nested=is_nested)
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield Function(path, child, outer, is_nested)
            yield from _walk_functions(path, child, outer, is_nested=True)
        else:
            yield from _walk_functions(path, child, outer, is_nested=is_nested)


def find_double_classes(modules: Modules) -> dict[str, list[str]]:
    places = defaultdict(set)
    for path, tree in modules:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].add(path)
    return {name: sorted(paths) for name, paths in places.items() if len(paths) > 1}


def is_participle(word: str) -> bool:
    return word not in NO_PARTICIPLE and (word in IRREGULAR or (word.endswith(("ed", "ing")) and len(word) > 4))


def find_participles(modules: Modules) -> list[str]:
    return [
        each.place for each in list_functions(modules) if each.is_named_by_us and is_participle(each.first_word.lower())
    ]


def find_other_words(modules: Modules) -> list[str]:
    """Return the public functions whose first word is neither a known verb nor that of a predicate."""
    return [
        each.place
        for each in list_functions(modules)
        if each.is_public and each.is_named_by_us and each.first_word not in VERBS | PREDICATES
    ]


def find_odd_predicates(modules: Modules) -> list[str]:
    """Return the functions that are named as a question and are not annotated to return yes or no."""
    yes_or_no = re.compile(r"(?:\w+\.)?(?:bool|TypeGuard\[.+\]|TypeIs\[.+\])|(?:Awaitable|Coroutine)\[(?:.+, )?bool\]")
    return [
        each.place
        for each in list_functions(modules)
        if each.first_word in PREDICATES
        and not (each.node.returns and yes_or_no.fullmatch(ast.unparse(each.node.returns).strip("'")))
    ]


def list_docstrings(modules: Modules) -> Iterator[tuple[str, str]]:
    """Yield every string that stands alone, with its place: of a module, a class, a function, and below a name."""
    for path, tree in modules:
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                yield f"{path}:{node.lineno}", node.value.value


def find_openings(modules: Modules) -> list[str]:
    return [place for place, text in list_docstrings(modules) if OPENINGS.match(text)]


def find_riddles(modules: Modules) -> list[str]:
    return [path for path, tree in modules if RIDDLES.search(" ".join((ast.get_docstring(tree) or "").split()))]


def find_metaphors(modules: Modules) -> list[tuple[str, str]]:
    """Return the modules that use a metaphor as a name, with the word."""
    found = {
        (path, word)
        for path, tree in modules
        for node in ast.walk(tree)
        for name in _list_names(node)
        for word in _split_name(name)
        if word in METAPHORS
    }
    return sorted(found)


def _list_names(node: ast.AST) -> list[str]:
    fields = ("id", "attr", "arg", "name", "asname", "module", "rest")
    return [name for field in fields if isinstance(name := getattr(node, field, None), str)]


def _split_name(name: str) -> list[str]:
    """Return the words of a name, small and in the singular."""
    for term in STANDARD_TERMS:
        name = name.replace(term, "")
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
    return [word if word in METAPHORS else word.removesuffix("s") for word in (each.lower() for each in words)]


def find_long_functions(modules: Modules) -> list[str]:
    return [
        each.place
        for each in list_functions(modules)
        if (each.node.end_lineno or each.node.lineno) - each.node.lineno >= MOST_LINES
    ]


def count_rooms(modules: Modules, package: str) -> tuple[int, int]:
    """Return how many rooms a package has, folders and files at its top, and how many of them import another."""
    names = {_name_module(path): Path(path).name == "__init__.py" for path, _ in modules}
    rooms = {name.split(".")[1] for name in names if name.startswith(f"{package}.")}
    arrows = {
        (name.split(".")[1], target.split(".")[1])
        for path, tree in modules
        if (name := _name_module(path)).startswith(f"{package}.")
        for target in _list_imports(tree, name, names)
        if target.startswith(f"{package}.")
    }
    return len(rooms), sum(source != target for source, target in arrows)


def _name_module(path: str) -> str:
    parts = PurePosixPath(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _list_imports(tree: ast.Module, name: str, names: Mapping[str, bool]) -> Iterator[str]:
    package = name if names[name] else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            # `from . import x` may name a module, or what is in one.
            yield from (inner if (inner := f"{base}.{each.name}") in names else base for each in node.names)


@pytest.fixture(scope="module")
def tree() -> Modules:
    return read_tree()


def test_a_class_name_has_one_meaning(tree: Modules):
    assert find_double_classes(tree) == {}


def test_no_function_is_named_by_a_participle(tree: Modules):
    found = find_participles(tree)

    assert set(found) - PARTICIPLES.keys() == set()
    assert len(found) <= MOST_PARTICIPLES * sum(each.is_named_by_us for each in list_functions(tree))


def test_a_public_function_begins_with_a_verb(tree: Modules):
    named = {place for place in find_other_words(tree) if not is_excused(place)}

    assert named == set()


def test_a_predicate_returns_yes_or_no(tree: Modules):
    assert set(find_odd_predicates(tree)) == set()


def test_a_docstring_says_return(tree: Modules):
    assert {place.partition(":")[0] for place in find_openings(tree)} == set()


def test_a_module_says_what_it_is_responsible_for(tree: Modules):
    assert set(find_riddles(tree)) == set()


def test_no_name_is_a_metaphor(tree: Modules):
    assert set(find_metaphors(tree)) == set()


def test_no_function_is_long(tree: Modules):
    assert set(find_long_functions(tree)) == set()


@pytest.mark.parametrize("package", ROOMS)
def test_the_rooms_and_the_arrows_between_them_are_few(tree: Modules, package: str):
    rooms, arrows = count_rooms(tree, package)

    assert (rooms, arrows) <= ROOMS[package]
    assert arrows <= ROOMS[package][1]


def test_every_exception_is_needed(tree: Modules):
    nouns, participles = find_other_words(tree), find_participles(tree)

    assert {rule for rule in NOT_VERBS if not any(is_excused(place, [rule]) for place in nouns)} == set()
    assert PARTICIPLES.keys() - set(participles) == set()


PLANTED = {
    "a/one.py": '''
        """Reads rows. Who asks for them is not its business."""
        class Span: ...
        class Reader:
            """Gives rows."""
            @property
            def newest(self): ...
            def told_apart(self): ...
            def extent(self): ...
            def is_open(self): ...
            async def read_rows(self) -> bool: ...
            def _quietly(self): ...
        ''',
    "a/two.py": '''
        """Keeps letters."""
        from a.three import DeadLetter
        class Span: ...
        def is_empty() -> bool: ...
        def can_send(): return send(patience=1)
        def take_letters():
            """Tell whether there are some."""
            def closing(): ...
        ''',
}
"""Each rule is broken here once and kept beside."""


@pytest.fixture
def planted() -> Modules:
    return parse_modules({path: inspect.cleandoc(text) for path, text in PLANTED.items()})


def test_a_class_name_with_two_meanings_is_noticed(planted: Modules):
    assert find_double_classes(planted) == {"Span": ["a/one.py", "a/two.py"]}


def test_a_participle_is_noticed(planted: Modules):
    assert find_participles(planted) == ["a/one.py:Reader.told_apart", "a/two.py:closing"]


def test_a_public_function_that_is_no_verb_is_noticed(planted: Modules):
    assert find_other_words(planted) == ["a/one.py:Reader.told_apart", "a/one.py:Reader.extent"]


def test_a_predicate_that_does_not_say_yes_or_no_is_noticed(planted: Modules):
    assert find_odd_predicates(planted) == ["a/one.py:Reader.is_open", "a/two.py:can_send"]


def test_a_docstring_that_gives_or_tells_is_noticed(planted: Modules):
    assert find_openings(planted) == ["a/one.py:4", "a/two.py:7"]


def test_a_riddle_is_noticed(planted: Modules):
    assert find_riddles(planted) == ["a/one.py"]


def test_a_metaphor_is_noticed(planted: Modules):
    assert find_metaphors(planted) == [("a/two.py", "letter"), ("a/two.py", "patience")]


def test_a_long_function_is_noticed():
    body = "\n".join(f"    x{number} = {number}" for number in range(MOST_LINES))

    assert find_long_functions(parse_modules({"a.py": f"def run():\n{body}"})) == ["a.py:run"]
    assert find_long_functions(parse_modules({"a.py": f"def run():\n{body.rpartition(chr(10))[0]}"})) == []


def test_rooms_and_arrows_are_counted_however_they_are_imported():
    modules = parse_modules(
        {
            "a/__init__.py": "",
            "a/cli/__init__.py": "from a import store",
            "a/cli/rules.py": "from . import times; from ..store.reader import read; import a.clock",
            "a/cli/times.py": "import json",
            "a/store/__init__.py": "from .reader import read",
            "a/store/reader.py": "",
            "a/clock.py": "from b.c import d",
        }
    )

    assert count_rooms(modules, "a") == (3, 2)
