#!/usr/bin/env bash
# Builds the commands of all languages and runs the conformance tests: see README.md.
#
#     tests/conformance/run.sh PREFIX [option of run.py ...]    PREFIX: where dotsock is installed
#                                                               (make stage: build/stage)
# CARGO, GO, CC and PYTHON name other tools than cargo, go, cc and python3.
set -euo pipefail

prefix=$(realpath "$1")
shift
cd "$(dirname "$0")"
root=$(realpath ../..)
build=$root/build/conformance
mkdir -p "$build"
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
export LD_LIBRARY_PATH=$prefix/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export PYTHONDONTWRITEBYTECODE=1
export LUA_PATH="$root/bindings/lua/?.lua;$PWD/?.lua;;"

# The flags of pkg-config are words, to be split.
# shellcheck disable=SC2046
${CC:-cc} -std=gnu11 -O1 -g -Wall -Wextra -Werror dotsock_cmd.c values.c -o "$build/c" \
    $(pkg-config --cflags --libs dotsock)
target=${CARGO_TARGET_DIR:-$root/target}
${CARGO:-cargo} build --quiet --locked --manifest-path "$root/Cargo.toml" --target-dir "$target" \
    --example dotsock_cmd
commands=(
    "c=$build/c"
    "rust=$target/debug/examples/dotsock_cmd"
    "lua=luajit dotsock_cmd.lua"
)

if "$root/bindings/go/is_new_enough.sh"; then
    (cd "$root/bindings/go" && ${GO:-go} build -o "$build/go" ./internal/dotsock_cmd)
    commands+=("go=$build/go")
else
    echo 'NOT TESTED: what Go and the other languages say to each other.'
fi

# Python's msgpack, in a directory of its own where the system has none.
python=${PYTHON:-python3}
if ! $python -c 'import msgpack' 2> /dev/null; then
    python=$build/python/bin/python
    if ! $python -c 'import msgpack' 2> /dev/null; then
        { "${PYTHON:-python3}" -m venv "$build/python" \
            && "$python" -m pip install --quiet --disable-pip-version-check -r requirements.txt
        } || {
            echo "The Python peer needs msgpack: install it for ${PYTHON:-python3} (on Debian and" \
                'Ubuntu: sudo apt-get install python3-msgpack).' >&2
            exit 1
        }
    fi
fi
commands+=("python=$python peer.py")

exec "${PYTHON:-python3}" run.py "${commands[@]}" "$@"
