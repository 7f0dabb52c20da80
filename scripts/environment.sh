# Sourced first by every script here: goes to the repository's root, finds a Python, makes the environment.
# Afterwards $python is the environment's own, and $there the folder that the script was typed in.
# Where the environment comes from can be said:
#   PYTHON=python3.12    the Python to make it with (3.11 or later)
#   VENV=/some/where     another place than .venv
# A script says before what is its own:
#   requirements=requirements-dev.txt    it needs the tools of development
#   usage='[--demo]'    what may stand after its name; its first comment is the rest of its help
#   options='--demo' fewest=0 most=0    all its options, and how many other words it takes; where it says most= alone,
#                                       the program behind it looks at them
# Help and what was mistyped are answered before anything is installed.

say_usage() {
    echo "usage: $0${usage:+ $usage}"
}

say_help() {
    say_usage
    echo
    while IFS= read -r line; do
        case $line in
            '#!'*) ;;
            '# '*) echo "${line#??}" ;;
            *) return 0 ;;
        esac
    done <"$0"
}

misuse() {
    echo "$0: $1" >&2
    say_usage >&2
    exit 2
}

look_at_words() {
    words=0
    for word; do
        case " $options " in
            *" $word "*) continue ;;
        esac
        case $word in
            -*) misuse "there is no option '$word'; accepted: ${options:+$options, }--help" ;;
        esac
        words=$((words + 1))
        [ "$words" -le "$most" ] || misuse "'$word' is one word too many"
    done
    [ "$words" -ge "$fewest" ] || misuse "$usage is missing"
}

case ${1-} in
    -h | --help)
        say_help
        exit
        ;;
esac
[ -z "$most" ] || look_at_words "$@"
help=
for word; do
    [ "$word" != --help ] || help=$(say_help)
done

# What the programs behind call themselves in their own help.
export DATA_TRACKER_TYPED="$0"
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
    # Of a command that nobody can ask yet.
    [ -z "$help" ] || { echo "$help"; exit; }
    base=$(base_python)
    "$base" scripts/environment.py "$venv" "$requirements"
fi
