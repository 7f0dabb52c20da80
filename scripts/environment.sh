# Sourced first by every script here: goes to the repository's root, finds a Python, makes the environment.
# Afterwards $python is the environment's own, and $there the folder that the script was typed in.
# Where the environment comes from can be said:
#   PYTHON=python3.12    the Python to make it with (3.11 or later)
#   VENV=/some/where     another place than .venv
# A script that needs the tools of development says so before: requirements=requirements-dev.txt

there=$PWD
cd "$(dirname "$(readlink -f "$0")")/.."

requirements=${requirements:-requirements.txt}
venv=${VENV:-.venv}
python=$venv/bin/python

good() {
    "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

base_python() {
    found=
    for candidate in ${PYTHON:+"$PYTHON"} ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14}; do
        if good "$candidate"; then
            echo "$candidate"
            return
        fi
        version=$("$candidate" --version 2>&1) && found="$found
  $candidate is $version"
    done
    echo "data-tracker needs Python 3.11 or later, with its modules venv and ensurepip (Debian: python3-venv).
Name one as PYTHON=/path/to/python3. Here there is:${found:- none}" >&2
    return 1
}

# The copy of the requirements inside the environment is written last, when all of them are installed.
if ! cmp -s "$requirements" "$venv/$requirements" || [ ! -x "$python" ]; then
    base=$(base_python)
    "$base" scripts/environment.py "$venv" "$requirements"
fi
