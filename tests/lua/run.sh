#!/usr/bin/env bash
# The tests of the Lua binding, in LuaJIT with and without its compiler, in Neovim, and in whatever
# other Lua there is.
#
#     tests/lua/run.sh [PREFIX]    PREFIX: where dotsock is installed (make stage: build/stage);
#                                  without it, the library that DOTSOCK_LIBRARY names, or the one
#                                  that the loader finds
set -euo pipefail

if [ $# -gt 0 ]; then
    LD_LIBRARY_PATH=$(realpath "$1")/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
fi
cd "$(dirname "$0")"
root=$(realpath ../..)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DOTSOCK_SOCKET_DIR=$work/sockets XDG_CONFIG_HOME=$work/config XDG_DATA_HOME=$work/data
# What is tested is what `make install` installs.
make --no-print-directory -C "$root/bindings/lua" install LUADIR="$work/lua" DESTDIR= > /dev/null
export LUA_PATH="$work/lua/?.lua;./?.lua;;"
mkdir "$work/sockets"
chmod 700 "$work/sockets"

luajit "$root/bindings/lua/declarations.lua" --check
for flags in -jon -joff; do
    luajit $flags values.lua
    luajit $flags sockets.lua
done
luajit faults.lua
luajit uv.lua
luajit other_ffi.lua

# A Lua without a foreign function interface gets a sentence that says what to install.
for lua in lua5.1 lua5.2 lua5.3 lua5.4; do
    if ! command -v $lua > /dev/null; then
        echo "$lua: NOT TESTED, it is not here"
        continue
    fi
    if $lua -e 'os.exit(pcall(require, "cffi") and 0 or 1)'; then
        $lua round_trip.lua
    elif $lua -e 'require "dotsock"' > "$work/said" 2>&1 \
        || ! grep -q 'dotsock needs a foreign function interface: .* cffi' "$work/said"; then
        echo "$lua without cffi: FAILED" >&2
        cat "$work/said" >&2
        exit 1
    fi
done

nvim --headless -u NONE -i NONE -c 'luafile editor.lua' 2> "$work/said" \
    || { cat "$work/said" >&2; exit 1; }
grep -q 'a mistake in a function' "$work/said"

# A library that is not there is a sentence too.
DOTSOCK_LIBRARY=/nonexistent.so luajit -e 'require "dotsock"' > "$work/said" 2>&1 && exit 1
grep -q 'dotsock cannot load the shared library /nonexistent.so' "$work/said"

./readme.sh
"$root/examples-lua/test.sh"
echo 'lua: all passed'
