#!/usr/bin/env bash
# Runs the Lua programs of README.md: one says how far it is, the other prints it, also what was said
# before it came. LUA_PATH and the loader's path must lead to dotsock.
set -euo pipefail

cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'kill $(jobs -p) 2> /dev/null || true; rm -rf "$work"' EXIT
export DOTSOCK_SOCKET_DIR=$work/sockets XDG_CONFIG_HOME=$work

program() {
    awk -v wanted="$1" '/^```lua/ { inside = ++found == wanted; next } /^```/ { inside = 0 } inside' \
        ../../README.md
}
wait_for() {
    for _ in $(seq 1000); do
        eval "$1" && return
        sleep 0.01
    done
    echo "README.md: FAILED: waited in vain for $1" >&2
    exit 1
}

program 1 > "$work/server.lua"
program 2 > "$work/client.lua"
luajit "$work/server.lua" &
wait_for "[ -S $work/sockets/my_event.sock ]"
stdbuf -oL luajit "$work/client.lua" > "$work/said" &
wait_for "[ \"\$(head -n 3 $work/said | xargs)\" = '0 10 20' ]"
echo 'README.md: passed'
