#!/usr/bin/env bash
# What receiving a payload of 64 bytes costs LuaJIT over C: CPU time of the receiving process for
# each message, the median of seven interleaved rounds, in microseconds.
#
#     run.sh PREFIX    PREFIX: where dotsock is installed (make stage: build/stage)
set -euo pipefail

prefix=$(realpath "$1")
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'kill "$server"; rm -rf "$work"' EXIT
export DOTSOCK_SOCKET_DIR=$work XDG_CONFIG_HOME=$work LD_LIBRARY_PATH=$prefix/lib
export LUA_PATH="$PWD/../?.lua;;"
count=300000

# The flags of pkg-config are words, to be split.
# shellcheck disable=SC2046
cc -O2 -Wall -Wextra bench.c -o "$work/bench" \
    $(PKG_CONFIG_PATH="$prefix/lib/pkgconfig" pkg-config --cflags --libs dotsock)
"$work/bench" serve lua_bench $count &
server=$!
until [ -S "$work/lua_bench.sock" ]; do sleep 0.05; done

for _ in 1 2 3 4 5 6 7; do
    "$work/bench" receive lua_bench $count >> "$work/c"
    luajit receive.lua lua_bench $count >> "$work/lua"
    luajit receive.lua lua_bench $count data >> "$work/data"
done
median() { sort -n "$1" | sed -n 4p; }
printf '%-34s %8s %8s\n' '' 'µs' 'over C'
for row in c lua data; do
    case $row in
        c) name='C: receive and free' ;;
        lua) name='Lua: client:recv()' ;;
        data) name='Lua: client:recv().data.progress' ;;
    esac
    awk -v name="$name" -v c="$(median "$work/c")" -v us="$(median "$work/$row")" \
        'BEGIN { printf "%-34s %8.3f %8.3f\n", name, us, us - c }'
done
