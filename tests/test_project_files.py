"""The files around the code name what exists: steps of CI, scripts, folders; and no registry by its address."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
RUN = ROOT / ".ci" / "run"
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
PRE_COMMIT = ROOT / ".pre-commit-config.yaml"
GUIDES = ("CONTRIBUTING.md", "SECURITY.md")
FILES = (WORKFLOW, PRE_COMMIT, RUN, *(ROOT / name for name in GUIDES))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def steps_of_ci() -> list[str]:
    listed = subprocess.run([RUN, "--list"], check=True, capture_output=True, text=True)
    return listed.stdout.split()


def job() -> dict[str, Any]:
    (only,) = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
    return dict(only)


def lines_of_workflow() -> list[str]:
    return [line for step in job()["steps"] for line in step.get("run", "").splitlines()]


# ---- .ci/run ------------------------------------------------------------------------------------------------


def test_every_step_of_ci_is_a_function_of_its_script():
    defined = set(re.findall(r"^([a-z-]+)\(\) \{", RUN.read_text(), re.MULTILINE))

    assert steps_of_ci()
    assert defined - {"say"} == set(steps_of_ci())


def test_an_unknown_step_is_refused_with_those_there_are_before_anything_runs():
    tried = subprocess.run([RUN, "check", "nonsense"], capture_output=True, text=True)

    assert (tried.returncode, tried.stdout) == (2, "")
    assert tried.stderr == f"{RUN}: there is no step 'nonsense'; steps: {' '.join(steps_of_ci())}\n"


def test_the_steps_of_ci_call_scripts_that_exist():
    assert missing_scripts(RUN.read_text()) == []


@pytest.mark.parametrize(
    "failed, again, code",
    [([], None, 0), (["a"], 0, 0), (["a"], 1, 1), ([*"abcde"], 0, 0), ([*"abcdef"], None, 1)],
    ids=["all pass", "one that passes alone", "one that fails alone, too", "as many as may", "too many"],
)
def test_what_failed_beside_others_is_run_once_more_alone(
    tmp_path: Path, failed: list[str], again: int | None, code: int
):
    """`again` is how the second run ends, or None where there may be none."""
    script, python, cache = tmp_path / "scripts/run-tests.sh", tmp_path / ".venv/bin/python", tmp_path / ".pytest_cache"
    for path in (script, python, cache / "v/cache/lastfailed"):
        path.parent.mkdir(parents=True)
    script.write_text(f'#!/bin/sh\necho "run: $*"\n[ $# = 0 ] && exit {min(len(failed), 1)}\nexit {again}\n')
    script.chmod(0o755)
    python.symlink_to(sys.executable)
    (cache / "v/cache/lastfailed").write_text(json.dumps(dict.fromkeys(failed, True)))
    function = re.search(r"^MOST_AGAIN=.*?^}", RUN.read_text(), re.MULTILINE | re.DOTALL)
    assert function

    tried = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"say() {{ :; }}\n{function[0]}\nrun_tests"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip

    runs = ["run: "] + (["run: -n 0 --last-failed --last-failed-no-failures none"] if again is not None else [])
    named = ["These passed alone, and failed beside others:", *failed] if again == 0 else []
    assert (tried.returncode, tried.stdout.splitlines()) == (code, runs + named)


@pytest.mark.parametrize("code", [2, 3, 4, 5])
def test_where_pytest_itself_failed_nothing_is_run_again(tmp_path: Path, code: int):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/run-tests.sh").write_text(f"#!/bin/sh\nexit {code}\n")
    (tmp_path / "scripts/run-tests.sh").chmod(0o755)
    function = re.search(r"^MOST_AGAIN=.*?^}", RUN.read_text(), re.MULTILINE | re.DOTALL)
    assert function

    tried = subprocess.run(["bash", "-euo", "pipefail", "-c", f"{function[0]}\nrun_tests"], cwd=tmp_path)

    assert tried.returncode == code


@pytest.mark.parametrize(
    "skipped, run, code",
    [(None, [""], 0), (["a[x y]", "b"], ["a[x y]", "b"], 0), ([], [], 1)],
    ids=["not told", "two", "none, which cannot be"],
)
def test_with_the_programs_of_debian_what_was_skipped_without_them_is_run(
    tmp_path: Path, skipped: list[str] | None, run: list[str], code: int
):
    python, told = tmp_path / ".venv/bin/python", tmp_path / ".pytest_cache/v/data-tracker/skipped"
    for path in (python, told):
        path.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    if skipped is not None:
        told.write_text(json.dumps(skipped))
    function = re.search(r"^SKIPPED=.*?^tests-with-servers.*?^}", RUN.read_text(), re.MULTILINE | re.DOTALL)
    assert function
    stubs = 'say() { :; }\nrun_tests() { [ -z "${1-}" ] && echo || cat "${1#@}"; }'

    tried = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{stubs}\n{function[0]}\ntests-with-servers"],
        cwd=tmp_path, env={**os.environ, "work": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip

    assert (tried.returncode, tried.stdout.splitlines()) == (code, run)


def test_which_tests_were_skipped_is_noted(tmp_path: Path):
    (tmp_path / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (tmp_path / "test_some.py").write_text(
        "import pytest\nfrom tests.support import missing\n"
        "@pytest.mark.parametrize('x', ['a b', 'c'])\ndef test_skipped(x): missing.skip('chromium')\n"
        "def test_failing(): assert False\n"
    )

    # Once more what failed, as CI does: what was skipped before is still noted.
    codes = [
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--rootdir", tmp_path, tmp_path, *again],
            cwd=ROOT, env={**os.environ, "CI": "", "PYTHONPATH": str(ROOT)}, capture_output=True,
        ).returncode
        for again in ([], ["--last-failed"])
    ]  # fmt: skip

    told = json.loads((tmp_path / ".pytest_cache/v/data-tracker/skipped").read_text())
    assert (codes, told) == ([1, 1], ["test_some.py::test_skipped[a b]", "test_some.py::test_skipped[c]"])


def test_ci_measures_coverage():
    assert "scripts/coverage.sh" in RUN.read_text()
    assert PYPROJECT["tool"]["coverage"]["run"]["branch"]
    assert PYPROJECT["tool"]["coverage"]["run"]["source"] == ["v1", "worker"]
    assert PYPROJECT["tool"]["coverage"]["report"]["fail_under"] >= 95


# ---- the workflow -------------------------------------------------------------------------------------------


def test_the_workflow_is_one_by_its_schema():
    words = ["-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(WORKFLOW)]

    checked = subprocess.run([sys.executable, *words], capture_output=True, text=True)

    assert checked.returncode == 0, checked.stdout


def test_the_workflow_runs_every_step_of_ci_once_and_in_order():
    called = [word for line in lines_of_workflow() if line.startswith(".ci/run") for word in line.split()[1:]]

    assert called == steps_of_ci()


def test_the_workflow_runs_on_every_python_that_is_supported():
    versions = job()["strategy"]["matrix"]["python"]

    assert PYPROJECT["project"]["requires-python"] == f">={versions[0]}"
    assert versions == [f"3.{minor}" for minor in range(11, 15)]
    assert "${{ matrix.python }}" in job()["container"]


def test_actions_are_pinned_to_a_version():
    used = [step["uses"] for step in job()["steps"] if "uses" in step]

    assert used
    assert [name for name in used if not re.fullmatch(r"[\w.-]+/[\w./-]+@v\d+\.\d+\.\d+", name)] == []


# ---- pre-commit ---------------------------------------------------------------------------------------------


def test_the_hook_before_a_commit_is_the_check_script():
    (repository,) = yaml.safe_load(PRE_COMMIT.read_text())["repos"]
    (hook,) = repository["hooks"]

    assert repository["repo"] == "local"
    assert (hook["entry"], hook["language"]) == ("scripts/check.sh", "system")
    assert (ROOT / hook["entry"]).is_file()
    assert hook["always_run"]
    assert not hook["pass_filenames"]


# ---- guides -------------------------------------------------------------------------------------------------


def missing_scripts(text: str) -> list[str]:
    named = set(re.findall(r"(?<![\w/.])((?:scripts|\.ci)/[\w.-]*\w)", text))
    assert named
    return sorted(name for name in named if not (ROOT / name).exists())


def test_every_script_that_the_guide_to_contributing_names_exists():
    assert missing_scripts((ROOT / "CONTRIBUTING.md").read_text()) == []


@pytest.mark.parametrize("name", GUIDES)
def test_every_link_of_a_guide_leads_to_a_file(name: str):
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / name).read_text())

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("name", GUIDES)
def test_every_setting_that_a_guide_names_is_one(name: str):
    text = (ROOT / ".env.example").read_text()
    named = set(re.findall(r"TRACKER_[A-Z_]+[A-Z](?!\w|<)", (ROOT / name).read_text()))

    assert [setting for setting in sorted(named) if f"{setting}=" not in text] == []


def test_ci_calls_that_the_guide_names_are_steps():
    called = re.findall(r"\.ci/run ([a-z-]+)`", (ROOT / "CONTRIBUTING.md").read_text())

    assert called
    assert set(called) <= set(steps_of_ci())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_registry_is_named_by_its_address(path: Path):
    assert re.findall(r"https?://|\b[\w-]+\.(?:io|org|com|dev)\b", path.read_text()) == []
