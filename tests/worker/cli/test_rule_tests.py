"""Unit tests of rules, tested: what a series means, what is expected, and how a difference is told."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from worker.cli import rule_tests, rules
from worker.cli.rule_tests import read_suite, run_test
from worker.latest.rules import InvalidFile

ROOT = Path(__file__).resolve().parents[3]
SPIKE = """
[[rules]]
id = "volume-spike"
kind = "ratio"
measure = "interval_volume"
"""
ABOVE = """
[[rules]]
id = "above"
kind = "threshold"
above = 10
cooldown = 0
"""


def outcomes(text: str):
    suite = read_suite(text)
    return [run_test(case, suite.parse_rules(), suite.interval) for case in suite.tests]


def words(text: str) -> list[str]:
    return [line.strip() for outcome in outcomes(text) for line in outcome.describe()]


def case(series: str, expected: str = "[]", **fields: str) -> str:
    more = "".join(f"{name} = {value}\n" for name, value in fields.items())
    return f'[[tests]]\nname = "it"\nmetric = "A:B"\n{more}series.price = "{series}"\nexpected = {expected}\n'


def test_the_example_of_the_format_passes():
    text = rule_tests.__doc__ or ""
    example = "\n".join(line.partition("       ")[0].strip() for line in text.split("\n") if line.startswith("    "))
    example = example.replace('rules_file = "rules.toml"', "")

    assert words(f"{example}\n{SPIKE}") == ["passed  a spike is told once"]


@pytest.mark.parametrize(
    "series, expected",
    [
        pytest.param("1x3 11", '[{ at = "3m", rule = "above" }]', id="so many of a number"),
        pytest.param("_x3 11", '[{ at = 180, rule = "above" }]', id="nothing is no sample"),
        pytest.param("1 _ 11", '[{ at = "2m", rule = "above" }]', id="a single gap"),
        pytest.param("8+1x4", '[{ at = "3m", rule = "above", value = 11 }]', id="rising"),
        pytest.param("11-1x3", '[{ at = 0, rule = "above", value = 11 }]', id="falling"),
        pytest.param("10.0001", '[{ at = 0, rule = "above", value = 10.0001 }]', id="digits"),
        pytest.param("1e1 1.1e1", '[{ at = "1m", rule = "above", value = 11 }]', id="an exponent"),
        pytest.param("10", "[]", id="nothing is expected and nothing said"),
    ],
)
def test_a_series_is_what_it_is_written_to_be(series, expected):
    (outcome,) = outcomes(case(series, expected) + ABOVE)

    assert outcome.is_passed, [*outcome.describe()]


def test_tenths_that_rise_stay_tenths():
    (outcome,) = outcomes(case("10.1+0.1x3", '[{ at = "2m", rule = "above", value = 10.3 }]') + ABOVE)

    assert [alert.value for alert in outcome.surplus] == ["10.1", "10.2"]


def test_what_is_missing_and_what_is_too_much_is_told_side_by_side():
    said = words(case("11 1 12", '[{ at = "1m", rule = "above", value = 11 }]') + ABOVE)

    assert said == [
        "FAILED  it",
        "expected and not said:  at 1m, above, value 11",
        "said and not expected:  at 0m, above, metric A:B, event firing, value 11, ratio 10.0, rank 1",
        "said and not expected:  at 2m, above, metric A:B, event firing, value 12, ratio 20.0, rank 1",
    ]


@pytest.mark.parametrize(
    "expected, passes",
    [
        pytest.param('metric = "A:B", event = "firing", measure = "price", severity = "warning"', True, id="all of it"),
        pytest.param("value = 11.00", True, id="another way to write it"),
        pytest.param("value = 11.01", False, id="another value"),
        pytest.param("rank = 1, of = 1, group_size = 1", True, id="its rank"),
        pytest.param("rank = 2", False, id="another rank"),
        pytest.param('severity = "info"', False, id="another severity"),
        pytest.param("ratio = 1", False, id="a ratio where there is none"),
        pytest.param("suppressed_by = true", False, id="quiet, and it is not"),
    ],
)
def test_what_is_given_of_an_alert_must_be_so(expected, passes):
    (outcome,) = outcomes(case("11", f'[{{ at = 0, rule = "above", {expected} }}]') + ABOVE)

    assert outcome.is_passed is passes


def test_a_mean_is_compared_to_as_many_places_as_are_given():
    text = f"""[[tests]]
name = "it"
metric = "A:B"
series.interval_volume = "1 1 2x58 7"
expected = [{{ at = "60m", rule = "volume-spike", mean = 1.97, ratio = 3.559, samples = 60 }}]
{SPIKE}"""

    assert words(text) == ["passed  it"]


@pytest.mark.parametrize("quiet", ["true", '"mute hours"'])
def test_an_alert_in_mute_hours_is_expected_to_be_quiet(quiet):
    muted = ABOVE + 'mute = { start = "22:00", end = "06:00" }\n'
    expected = f'[{{ at = 0, rule = "above", suppressed_by = {quiet} }}]'

    assert words(case("11", expected, start="2021-05-17T23:00:00Z") + muted) == ["passed  it"]
    assert words(case("11", expected, start='"2021-05-17T12:00:00"') + muted)[0] == "FAILED  it"


def test_several_metrics_have_their_series_each_and_a_source():
    text = """
interval = "5m"
[[rules]]
id = "stale"
kind = "stale"
intervals = 2

[[tests]]
name = "a source that falls silent is told once"
source = "kraken"
expected = [{ at = "15m", rule = "stale", metric = "kraken:*", samples = 2 }]
[tests.metrics."KRAKEN:BTCUSD"]
price = "100x2 _x3"
[tests.metrics."KRAKEN:ETHUSD"]
price = "100x2 _x3"
"""

    assert words(text) == ["passed  a source that falls silent is told once"]


def test_the_byte_order_mark_of_an_editor_is_no_fault():
    assert words(f"\ufeff{case('1')}") == words(case("1"))


@pytest.mark.parametrize(
    "text, said",
    [
        pytest.param(case("1 x"), "test 'it': 'x' is not accepted in a series; accepted: samples", id="no number"),
        pytest.param(case("1x9999999"), "'1x9999999' is not accepted", id="too many digits"),
        pytest.param(case("1x999999"), "is too long; accepted: 100000 samples", id="too many samples"),
        pytest.param(case("1.2.3"), "'1.2.3' is not accepted", id="two points"),
        pytest.param(case("1").replace("series.price", "series.prize"), "series.prize is not accepted", id="measure"),
        pytest.param("", "tests: None is not accepted", id="nothing"),
        pytest.param("tests = []", "tests: [] is not accepted; accepted: a list of 1", id="no test"),
        pytest.param(
            '[[tests]]\nname = "it"', "tests.0.metric: None is not accepted; accepted: one, with", id="no metric"
        ),
        pytest.param(case("1", '[{ rule = "above" }]'), "tests.0.expected.0.at: None", id="no time"),
        pytest.param(case("1", '[{ at = 0, rule = "above", colour = 1 }]'), "colour: 1 is not accepted", id="a colour"),
        pytest.param(
            case("1", '[{ at = 0, rule = "above", value = 1e9999999999999999999 }]'),
            "beyond all bounds",
            id="an exponent",
        ),
        pytest.param(
            case("1", '[{ at = 0, rule = "above", mean = 1e-99999 }]'),
            "tests.0.expected.0.mean: 1E-99999 is not accepted; accepted: a decimal number of 60 digits",
            id="too fine",
        ),
        pytest.param(
            case("1", '[{ at = 0, rule = "above", ratio = nan }]'),
            "tests.0.expected.0.ratio.decimal: NaN",
            id="no number at all",
        ),
        pytest.param(case("1", f'[{{ at = 0, rule = "above", value = {"9" * 5000} }}]'), "4300", id="5,000 digits"),
        pytest.param(
            case("1", f'[{{ at = 0, rule = "above", value = 0x{"f" * 5000} }}]'), "thousands of digits", id="in base 16"
        ),
        pytest.param(
            case("1").replace("series", "start = 0001-01-01T00:00:00+23:59\nseries"), "1971 to 2200", id="long ago"
        ),
        pytest.param("x = 1\n" + case("1"), "x: 1 is not accepted; accepted: the fields rules_file", id="a field"),
    ],
)
def test_what_cannot_be_read_is_told(text, said):
    with pytest.raises(InvalidFile) as caught:
        outcomes(text)

    assert said in str(caught.value)


# ---- the command -------------------------------------------------------------------------------------------------------


def test_the_command_ends_with_1_where_a_test_fails_and_says_how_many(tmp_path):
    (tmp_path / "rules.toml").write_text(ABOVE)
    (tmp_path / "tests.toml").write_text(
        'rules_file = "rules.toml"\n' + case("1") + case("11").replace('"it"', '"that"')
    )

    ended = CliRunner().invoke(rules.app, ["test", str(tmp_path / "tests.toml")])

    assert ended.exit_code == 1
    assert ended.stdout.splitlines()[:2] == ["passed  it", "FAILED  that"]
    assert ended.stdout.splitlines()[-1] == "1 passed, 1 failed"


def test_the_command_is_one_of_the_workers(tmp_path):
    (tmp_path / "tests.toml").write_text(case("11", '[{ at = 0, rule = "above" }]') + ABOVE)

    ended = subprocess.run(
        [sys.executable, "-m", "worker", "rules", "test", str(tmp_path / "tests.toml")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (ended.returncode, ended.stdout) == (0, "passed  it\n1 passed, 0 failed\n"), ended.stderr


def test_a_rules_file_that_is_wrong_is_named(tmp_path):
    (tmp_path / "tests.toml").write_text('rules_file = "nowhere.toml"\n' + case("1"))

    ended = CliRunner().invoke(rules.app, ["test", str(tmp_path / "tests.toml")])

    assert (ended.exit_code, "nowhere.toml: cannot be read" in ended.stderr) == (2, True)
