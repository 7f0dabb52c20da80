#!/bin/sh -e
# Run the tests as scripts/run-tests.sh does, and measure the branch coverage of v1 and worker.
# The processes that tests start are measured, too. Fails where a test fails, or where the total is below
# fail_under in pyproject.toml. With options or paths of pytest the total is shown and may be anything.
usage='[OPTION OR PATH OF PYTEST ...]' most=
requirements=requirements-dev.txt
. "$(dirname "$(readlink -f "$0")")/environment.sh"
echo "running the tests and measuring their branch coverage" >&2
unset PYTHONDONTWRITEBYTECODE # as run-tests.sh does
status=0
"$python" -m coverage erase
"$python" -m coverage run -m pytest -n auto --dist worksteal "$@" || status=$?
"$python" -m coverage combine --quiet
"$python" -m coverage report ${1+--fail-under=0} || { [ "$status" != 0 ] || status=$?; }
exit "$status"
