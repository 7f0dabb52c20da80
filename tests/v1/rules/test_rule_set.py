"""Which rules are in force, and what a file of rules may say."""

import json

import pytest

from v1.rules import DEFAULTS, Kind, parse_rule, parse_silence
from v1.rules.rule_set import Origin, StoredRules, disable_default, find_default, read_rule_set, write_document
from v1.rules.rules_file import InvalidFile, read_rules_file

EXAMPLE = """
[[rules]]
id = "volume-spike"
kind = "ratio"
metrics = "*"
measure = "interval_volume"
factor = 3
window = "1h"
min_samples = 30
cooldown = "1h"
step = 3
"""
NOTHING = StoredRules({}, {}, {})


def book(api=(), file=(), silences=(), interval=60):
    return read_rule_set(StoredRules(dict(api), dict(file), dict(silences)), interval)


def kept(**fields) -> tuple[str, str]:
    made = parse_rule({"id": "a", "kind": "ratio"} | fields)
    return made.id, write_document(made)


def test_before_anybody_writes_one_the_default_rules_are_in_force():
    found = book()

    assert {name: entry.origin for name, entry in found.entries.items()} == {
        rule.id: Origin.DEFAULT for rule in DEFAULTS
    }
    assert found.wrong == ()


def test_a_rule_of_the_api_comes_before_a_default_and_one_of_the_file_before_both():
    of_api, of_file = kept(id="stale", kind="stale", intervals=7), kept(id="stale", kind="stale", intervals=9)

    assert book([of_api]).entries["stale"].rule.intervals == 7
    assert book([of_api]).entries["stale"].origin is Origin.API
    assert book([of_api], [of_file]).entries["stale"].rule.intervals == 9
    assert book([of_api], [of_file]).entries["stale"].origin is Origin.FILE


def test_a_default_rule_that_nobody_wants_is_switched_off_and_still_a_default_one():
    known = find_default("stale")
    assert known

    entry = book([("stale", write_document(disable_default(known)))]).entries["stale"]

    assert (entry.rule.enabled, entry.origin) == (False, Origin.DEFAULT)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"id": "x"}', '{"id": "x", "kind": "spike"}', json.dumps({"id": "y", "kind": "stale"})],
    ids=["nothing", "half", "a list", "null", "no kind", "a kind of a newer version", "another id"],
)
def test_what_cannot_be_read_is_left_out_and_told_and_the_others_hold(text):
    found = book([("x", text), kept(id="good")])

    assert "x" not in found.entries
    assert "good" in found.entries
    (line,) = found.wrong
    assert "rule x" in line


def test_in_place_of_a_default_rule_that_was_written_over_unreadably_the_default_holds():
    assert book([("stale", "{")]).entries["stale"].rule == find_default("stale")


def test_a_rule_that_can_never_fire_at_this_interval_is_told():
    (line,) = book([kept(window="5m", min_samples=5)], interval=300).wrong

    assert line == (
        "rule a can never fire: min_samples: 5 is not accepted; accepted: 1 or less: there is one sample every 300 seconds"
    )


def test_a_silence_is_kept_with_its_times():
    silence = parse_silence({"id": "s", "from": 1, "to": 2, "comment": "maintenance"})

    assert book(silences=[("s", write_document(silence))]).silences == {"s": silence}
    assert json.loads(write_document(silence)) == {
        "id": "s",
        "metrics": "*",
        "rule": "*",
        "from": 1,
        "to": 2,
        "comment": "maintenance",
    }


# ---- the file ----------------------------------------------------------------------------------------------------------


def test_the_example_is_read():
    (rule,) = read_rules_file(EXAMPLE, 60)

    assert (rule.id, rule.kind, rule.factor, rule.window, rule.min_samples) == (
        "volume-spike",
        Kind.RATIO,
        "3",
        3600,
        30,
    )


def test_numbers_of_the_file_keep_their_digits():
    (rule,) = read_rules_file('[[rules]]\nid = "a"\nkind = "threshold"\nabove = 0.000010240000000000000001', 60)

    assert rule.above == "0.000010240000000000000001"


def test_a_time_of_the_file_is_a_time_of_day():
    (rule,) = read_rules_file(
        '[[rules]]\nid = "a"\nkind = "stale"\nmute = { start = 22:00:00, end = "06:00", zone = "Europe/Berlin" }', 60
    )

    assert rule.mute
    assert (rule.mute.start.hour, rule.mute.end.hour) == (22, 6)


def test_a_file_without_rules_has_none():
    assert read_rules_file("", 60) == ()


@pytest.mark.parametrize(
    "text, said",
    [
        pytest.param("rules = [", ["is not TOML"], id="no TOML"),
        pytest.param('[rule]\nid = "a"', ["'rule' is not accepted; accepted: [[rules]]"], id="a typing error"),
        pytest.param('[rules]\nid = "a"', ["once for each rule"], id="a single table"),
        pytest.param("rules = [1]", ["rule 1: 1 is not accepted; accepted: a document"], id="a number"),
        pytest.param(
            '[[rules]]\nid="a"\nkind="stale"\n[[rules]]\nid="a"\nkind="stale"',
            ["the id 'a' is there 2 times"],
            id="twice",
        ),
        pytest.param(
            '[[rules]]\nid="a"\nkind="ratio"\nfactor=-1.5\n[[rules]]\nid="b"\nkind="spike"',
            ["rule 1 (a): factor: -1.5 is not accepted; accepted: a number above zero", "rule 2 (b): kind: 'spike'"],
            id="every fault of every rule",
        ),
        pytest.param(
            '[[rules]]\nid="a"\nkind="ratio"\nchannels=["telegraph"]',
            ["rule 1 (a): channels: 'telegraph' is not accepted; accepted: a channel that there is"],
            id="an unknown channel",
        ),
        pytest.param(
            '[[rules]]\nid="a"\nkind="ratio"\nwindow="5m"\nmin_samples=6',
            ["min_samples: 6", "5 or less"],
            id="never fires",
        ),
        pytest.param("\n".join(['[[rules]]\nid="a"\nkind="stale"'] * 1001), ["1000 at most"], id="too many"),
        pytest.param(
            '[[rules]]\nid="a"\nkind="threshold"\nabove=1e9999999999999999999',
            ["'1e9999999999999999999' is not a number, or one beyond all bounds"],
            id="an exponent beyond all bounds",
        ),
        pytest.param(f'[[rules]]\nid="a"\nkind="threshold"\nabove={"9" * 5000}', ["4300 digits"], id="5,000 digits"),
        *[
            pytest.param(
                f'[[rules]]\nid="a"\nkind="threshold"\nabove=1\n{field}=0x{"f" * 5000}',
                [f"{field}: a number of thousands of digits is not accepted"],
                id=f"{field} of 5,000 digits in base 16",
            )
            for field in ("below", "step", "cooldown", "for", "name", "enabled", "channels", "colour")
        ],
        *[
            pytest.param(
                f'[[rules]]\nid="a"\nkind="ratio"\n{field}={number}',
                [f"rule 1 (a): {field}: ", "is not accepted"],
                id=f"{field} {number}",
            )
            for field in ("factor", "window", "min_samples", "cooldown", "step", "for")
            for number in ("nan", "inf", "-inf", "1e999999999", "1e-999999999")
        ],
        pytest.param(
            f"a{'.a' * 400_000} = 1", ["line 1, '.a.a", "keys of 8 parts at most"], id="a key of 400,000 parts"
        ),
        pytest.param(f"\n[{'a.' * 100_000}a]", ["line 2", "8 parts"], id="a table of 100,000 parts"),
        pytest.param('x = """\n\n"""\n"a"' + ". 'b' " * 9 + "= 1", ["line 4", "8 parts"], id="quoted"),
        pytest.param(f"a = {'[' * 900_000}", ["lists and tables 16 deep"], id="lists in lists"),
        pytest.param(f"a = {'{a = ' * 100_000}", ["lists and tables 16 deep"], id="tables in tables"),
        pytest.param(f"#{'a' * 1_000_000}", ["1000000 bytes at most"], id="too large"),
        pytest.param("[[rules]]\n" * 50, ["rule 10: ", "and 80 more"], id="more faults than anybody reads"),
        pytest.param(f'[[rules]]\nid="{"a" * 900_000}"', ["rule 1 (aaa", "a..."], id="a long value"),
    ],
)
def test_a_wrong_file_is_told_with_every_rule_field_and_value(text, said):
    with pytest.raises(InvalidFile) as caught:
        read_rules_file(text, 60, frozenset({"pushover"}))

    for each in said:
        assert each in str(caught.value)
    assert len(str(caught.value)) < 20_000


def test_a_byte_order_mark_is_no_part_of_a_file():
    assert read_rules_file(f"\ufeff{EXAMPLE}", 60) == read_rules_file(EXAMPLE, 60)


def test_points_and_brackets_in_texts_and_comments_and_between_numbers_are_none():
    (rule,) = read_rules_file(
        "# a.b.c.d.e.f.g.h.i.j.k [[[[[[[[[[[[[[[[[[[[\n"
        '[[rules]]\nid = "a"\nname = "1.2.3.4.5.6.7.8.9.10 [[[[[[[[[[[[[[[[[[[[ \\" .a.a.a.a.a.a.a.a.a"\n'
        "kind = 'stale' # it's\n"
        'mute = { start = "22:00", end = "06:00", zone = "UTC" }\nseverity = """info"""\nmetrics = """a.b.c.d.e.f.g.h.i.j:*\\\n"""\n',
        60,
    )

    assert (rule.metrics, rule.severity) == ("A.B.C.D.E.F.G.H.I.J:*", "info")


def test_where_the_channels_are_not_known_every_one_is_accepted():
    (rule,) = read_rules_file('[[rules]]\nid="a"\nkind="ratio"\nchannels=["telegraph"]', 60, None)

    assert rule.channels == ("telegraph",)


def test_of_a_document_with_thousands_of_faults_the_first_are_told_with_their_values_cut():
    digits, names = "9" * 4000, "\n".join(f'[[rules]]\nid = "{"A" * 4000}{number}"' for number in range(150))
    texts = {
        "a value": f'[[rules]]\nid = "a"\nkind = "ratio"\nwindow = "{"9" * 900_000}"',
        "a number": f'[[rules]]\nid = "a"\nkind = "ratio"\nfactor = {digits}',
        "a fraction": f'[[rules]]\nid = "a"\nkind = "ratio"\nfactor = 0.{"9" * 900_000}',
        "a field": f"[[rules]]\n{'f' * 900_000} = 1",
        "a table": f"[[{'r' * 900_000}]]",
        "many rules": names,
        "many fields": "[[rules]]\n" + "\n".join(f"f{number} = 1" for number in range(3000)),
    }
    for what, text in texts.items():
        with pytest.raises(InvalidFile) as caught:
            read_rules_file(text, 60)

        assert len(str(caught.value)) < 20_000, what
        assert len(str(caught.value).split("\n")) <= 21, what
        assert ("..." in str(caught.value)) == (what != "many fields")
        assert ("more" in str(caught.value)) == (what in ("many rules", "many fields"))
