#!/bin/sh -e
# Make the lock files anew from pyproject.toml. They hold hashes and no address.
#   --upgrade    take the newest of every package; without it only what must change does
usage='[--upgrade]' options='--upgrade' fewest=0 most=0
. "$(dirname "$(readlink -f "$0")")/environment.sh"
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"$python" -m venv "$tools"
"$tools/bin/pip" install --quiet --disable-pip-version-check uv==0.13.8

lock() {
    out=$1
    shift
    "$tools/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-header --no-annotate --output-file "$out" "$@"
}

lock requirements.txt pyproject.toml "$@"
lock requirements-dev.txt pyproject.toml --group dev --constraint requirements.txt "$@"
lock requirements-ccxt.txt pyproject.toml --extra ccxt --constraint requirements-dev.txt "$@"
"$python" -c '
import tomllib
print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")
' | lock requirements-build.txt - --constraint requirements-dev.txt "$@"
# Generators of clients, for tests alone, each in an environment of its own; npm has a lock file of its own kind.
grep -o '^openapi-python-client==[0-9.]*' tests/clients/requirements.txt | lock tests/clients/requirements.txt - "$@"
echo "locked; next: scripts/check.sh and scripts/run-tests.sh" >&2
