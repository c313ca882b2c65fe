#!/usr/bin/env bash
# The demo: a C server and two C clients in processes of their own, and what they say to each other.
#
#     demo.sh [PREFIX]     PREFIX: where dotsock is installed; without it, pkg-config knows
#
# Ends with 0 only if all of it was seen: a progress run, an error, a unicast, a client's message in
# the server's hook, a server that is killed and started again, and a shutdown.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
if [ $# -gt 0 ]; then
    pc=$(find "$1" -name dotsock.pc -print -quit 2>/dev/null || true)
    [ -n "$pc" ] || { echo "demo: no dotsock.pc below $1: run 'make install PREFIX=$1' first" >&2; exit 1; }
    export PKG_CONFIG_PATH=${pc%/*}
fi
libdir=$(pkg-config --variable=libdir dotsock)
export LD_LIBRARY_PATH=$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

work=$(mktemp -d)
export DOTSOCK_SOCKET_DIR=$work/sockets XDG_CONFIG_HOME=$work/config
pids=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT

make -s -C "$work" -f "$here/Makefile" OUT="$work" PKG_CONFIG_PATH="${PKG_CONFIG_PATH:-}" \
    "$work/demo_server" "$work/demo_client"

# Everybody writes whole lines to one pipe, so that one sees them in the order in which they happen.
log=$work/log
: > "$log"
exec 3> >(exec tee "$log")
screen=$!

missing() {
    echo "demo: this was not seen within 10 seconds: $1" >&2
    exit 1
}
# Waits until a line was printed so many times.
seen() {
    local line=$1 times=${2:-1} tries=0
    until [ "$(grep -cFx -- "$line" "$log")" -ge "$times" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || missing "$line"
        sleep 0.05
    done
}

"$work/demo_server" first >&3 2>&3 &
server=$!
pids+=("$server")
seen "[server] listening (first run)"
for name in one two; do
    "$work/demo_client" "$name" >&3 2>&3 &
    pids+=("$!")
done

for name in one two; do
    seen "[server] the hook got a hello from client $name"
    for progress in 0 25 50 75 100; do
        seen "[client $name] data {\"progress\":$progress}"
    done
    seen "[client $name] error {\"error\":\"the disk is nearly full\"}"
done
seen '[client one] data {"text":"a word for you alone"}'

echo "[demo]   kills the server" >&3
{ kill -KILL "$server" && wait "$server"; } 2> /dev/null || true # without bash's own word about it
for name in one two; do
    seen "[client $name] the server is gone; connecting again"
done
echo "[demo]   starts it again" >&3
"$work/demo_server" second >&3 2>&3 &
pids+=("$!")

for pid in "${pids[@]:1}"; do
    wait "$pid" || missing "a clean end of every process"
done
pids=()
for name in one two; do
    seen "[server] the hook got a hello from client $name" 2
    seen "[client $name] data {\"text\":\"here again\"}"
    seen "[client $name] control {\"command\":\"shutdown\"}"
    seen "[client $name] bye"
done
seen "[server] stopped"
if grep -qF '[client two] data {"text":"a word for you alone"}' "$log"; then
    echo "demo: client two got what was meant for client one" >&2
    exit 1
fi

exec 3>&-
wait "$screen"
echo "demo: all of it was seen"
