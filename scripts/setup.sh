#!/bin/sh
# Makes .venv ready for the other make targets, or says in plain words what the machine lacks.
#
#   scripts/setup.sh STAMP        install, then write the file STAMP
#   scripts/setup.sh --missing    only print the Debian packages that are missing, one a line
#
# PYTHON names the interpreter to start from. Plain sh: it runs before anything else of ours can.
set -eu
cd "$(dirname "$0")/.."

VENV=.venv
PYTHON=${PYTHON:-python3}
SUPPORTED='import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'

say() { printf '%s\n' "$*" >&2; }

python_version() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null; }

# The first interpreter that is new enough and not too new: the one asked for, else a versioned one beside it.
find_python() {
    for candidate in "$PYTHON" python3.13 python3.12 python3.11; do
        if "$candidate" -c "$SUPPORTED" >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
    done
}

# Debian calls the default interpreter's package python3-venv, another's python3.12-venv.
venv_package() {
    if [ "$1" = python3 ]; then
        echo python3-venv
    else
        "$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'
    fi
}

# One line per missing piece: Debian package | Fedora package | Homebrew formula | what it is for.
missing_pieces() {
    python=$(find_python)
    if [ -z "$python" ]; then
        found=$(python_version "$PYTHON") || found=none
        case $found in
        none) name=python3 ;;
        3.1[4-9].*) name=python3.13 ;;
        *) name=python3.11 ;; # what older releases carry beside their default
        esac
        echo "$name $name-venv|python3.13|python@3.13|Python 3.11, 3.12 or 3.13 (found as $PYTHON: $found)"
        return
    fi
    "$python" -c 'import venv, ensurepip' >/dev/null 2>&1 ||
        echo "$(venv_package "$python")|python3-libs|python@3.13|Python's venv and ensurepip modules, for a virtual environment"
    [ "$(uname -s)" = Linux ] || return 0
    "$python" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' >/dev/null 2>&1 ||
        echo "libgomp1|libgomp||libgomp.so.1, for lightgbm, which runs the s2cloudless cloud model"
    "$python" -c 'import ctypes; ctypes.CDLL("libexpat.so.1")' >/dev/null 2>&1 ||
        echo "libexpat1|expat||libexpat.so.1, for rasterio's GDAL"
}

# One column of the missing pieces, as words on one line.
column() { printf '%s\n' "$pieces" | cut -d '|' -f "$1" | tr '\n' ' ' | sed 's/  */ /g; s/ *$//'; }

refuse_bare_machine() {
    say "This machine lacks what geo_assets stands on:"
    printf '%s\n' "$pieces" | cut -d '|' -f 4 | sed 's/^/  - /' >&2
    say "It comes with:"
    if [ "$(uname -s)" = Darwin ]; then
        say "  brew install $(column 3)"
    else
        say "  Debian, Ubuntu:  sudo apt-get install $(column 1)"
        say "  Fedora, RHEL:    sudo dnf install $(column 2)"
    fi
    case $pieces in
    python3*3.11,*) say "With a suitable Python under another name or path: make setup PYTHON=/path/to/python3.13" ;;
    esac
    exit 1
}

# A venv is kept if its Python and pip still run and it was made here: its scripts name the folder they were made in.
venv_is_sound() {
    [ -x "$VENV/bin/python" ] && "$VENV/bin/python" -c "$SUPPORTED" 2>/dev/null &&
        "$VENV/bin/python" -m pip --version >/dev/null 2>&1 &&
        grep -qF "$(pwd -P)/$VENV" "$VENV/bin/activate"
}

# Prints nothing when the compiled libraries load; a missing system library shows here, not in the middle of a run.
check_imports() {
    "$VENV/bin/python" -c 'import cv2, lightgbm, numba, rasterio' || {
        say "The packages are installed, but one of them does not load (see above): a system library is missing."
        say "  Debian, Ubuntu:  sudo apt-get install libgomp1 libexpat1 libstdc++6"
        say "  Fedora, RHEL:    sudo dnf install libgomp expat libstdc++"
        say "  macOS:           brew install libomp"
        exit 1
    }
}

pieces=$(missing_pieces)
if [ "${1:-}" = --missing ]; then
    for package in $(column 1); do echo "$package"; done
    exit 0
fi
stamp=${1:?"usage: scripts/setup.sh STAMP | --missing"}
[ -z "$pieces" ] || refuse_bare_machine

if ! venv_is_sound; then
    python=$(find_python)
    say "Making $VENV with Python $(python_version "$python") ..."
    "$python" -m venv --clear "$VENV"
fi
say "Installing the pinned packages into $VENV (once; about 2 GB, a few minutes) ..."
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
check_imports
rm -f "$VENV"/.ready-*
touch "$stamp"
say "Ready."
