#!/usr/bin/env bash
# Builds the C tests and the examples against an installed dotsock, and runs them.
#
#     run.sh PREFIX [--valgrind | --sanitize LIST] [NAME ...]
#
# PREFIX is where `make install` put it. With names, only those programs are run (an example is
# called example-hooks). CHECK_SLOW=n multiplies every deadline; CHECK_SPIN=n sets the option `spin`.
# --sanitize has the compiler put sanitizers into the programs: address,undefined, or thread where the
# library has it too.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
examples=$here/../../examples-c
usage() { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }

[ $# -ge 1 ] || usage
prefix=$1
shift
valgrind="" sanitize=""
names=()
while [ $# -gt 0 ]; do
    case $1 in
    --valgrind) valgrind="valgrind -q --error-exitcode=99 --leak-check=full --track-fds=no" ;;
    --sanitize)
        [ $# -ge 2 ] || usage
        sanitize="-fsanitize=$2 -fno-sanitize-recover=all -fno-omit-frame-pointer"
        shift
        ;;
    -*) usage ;;
    *) names+=("$1") ;;
    esac
    shift
done

pc=$(find "$prefix" -name dotsock.pc -print -quit 2>/dev/null)
[ -n "$pc" ] || { echo "run.sh: no dotsock.pc below $prefix: run 'make install PREFIX=$prefix' first" >&2; exit 2; }
export PKG_CONFIG_PATH=${pc%/*}
flags=$(pkg-config --cflags --libs dotsock) || exit 2
libdir=$(pkg-config --variable=libdir dotsock)
export LD_LIBRARY_PATH=$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
[ -z "$valgrind" ] || export CHECK_SLOW=${CHECK_SLOW:-10} CHECK_VALGRIND=1
[ -z "$sanitize" ] || export CHECK_SLOW=${CHECK_SLOW:-3}

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
export here examples build valgrind sanitize flags
export limit=$((60 * ${CHECK_SLOW:-1}))

# ---- building ----

build_test() {
    # shellcheck disable=SC2086
    ${CC:-cc} -std=c11 -Wall -Wextra -Werror -g $sanitize -I"$here" "$here/$1.c" -o "$build/$1" $flags -pthread ${LDFLAGS:-}
}
build_example() {
    # The link line that the README names, and nothing else.
    # shellcheck disable=SC2086
    ${CC:-cc} -Wall -Wextra -Wpedantic -Werror -g $sanitize "$examples/$1.c" -o "$build/example-$1" $flags ${LDFLAGS:-}
}
build_one() {
    case $1 in
    example-*) build_example "${1#example-}" ;;
    *) build_test "$1" ;;
    esac || echo "$1" >> "$build/failed-builds"
}

# ---- running ----

# A program in a directory for sockets of its own, with a time limit.
guarded() {
    mkdir -p "$build/sockets-$label"
    # shellcheck disable=SC2086
    DOTSOCK_SPIN=${CHECK_SPIN:-0} DOTSOCK_SOCKET_DIR=$build/sockets-$label XDG_CONFIG_HOME=$build/none timeout "$limit" $valgrind "$@"
}
# Waits until a program in the background has printed a line.
wait_for_line() {
    local line=$1 file=$2 pid=$3
    until grep -q -- "$line" "$file" 2>/dev/null; do
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.05
    done
}
same() { diff -u "$here/expected/$1.txt" "$2"; }

run_example() {
    local name=$1 out=$build/out-$1.txt server listener
    case $name in
    progress_server | demo_*) return 0 ;; # they run with listener, and in demo.sh
    listener)
        guarded "$build/example-progress_server" > "$build/out-progress_server.txt" &
        server=$!
        wait_for_line listening "$build/out-progress_server.txt" "$server" && guarded "$build/example-listener" > "$out" &&
            wait "$server" && same progress_server "$build/out-progress_server.txt" && same listener "$out" || return
        # And the other way round.
        guarded "$build/example-listener" > "$out" &
        listener=$!
        wait_for_line listening "$out" "$listener" && guarded "$build/example-progress_server" > "$build/out-progress_server.txt" &&
            wait "$listener" && same progress_server "$build/out-progress_server.txt" && same listener "$out"
        ;;
    blocking)
        mkdir -p "$build/sockets-$label"
        # Not under `timeout`: the signal is for the program itself.
        # shellcheck disable=SC2086
        DOTSOCK_SPIN=${CHECK_SPIN:-0} DOTSOCK_SOCKET_DIR=$build/sockets-$label $valgrind "$build/example-blocking" > "$out" &
        server=$!
        wait_for_line running "$out" "$server" && kill -INT "$server" && wait "$server" && same blocking "$out"
        ;;
    *) guarded "$build/example-$name" > "$out" && same "$name" "$out" ;;
    esac
}

run_one() {
    label=$1
    local started=$EPOCHREALTIME result=ok status
    {
        case $1 in
        example-*) run_example "${1#example-}" ;;
        # shellcheck disable=SC2086
        *) timeout "$limit" $valgrind "$build/$1" ;;
        esac
    } > "$build/log-$1" 2>&1
    status=$?
    [ "$status" -eq 0 ] || result=FAILED
    [ "$status" -ne 124 ] || echo "  took longer than $limit s" >> "$build/log-$1"
    {
        awk -v name="$1" -v result="$result" -v from="$started" -v to="$EPOCHREALTIME" \
            'BEGIN { printf "%-6s %-24s %6.2f s\n", result, name, to - from }'
        [ "$result" = ok ] || cat "$build/log-$1"
    } > "$build/line-$1"
    cat "$build/line-$1"
    echo "$result" >> "$build/results"
}
export -f build_test build_example build_one guarded wait_for_line same run_example run_one

if [ ${#names[@]} -eq 0 ]; then
    for file in "$here"/*.c; do names+=("$(basename "$file" .c)"); done
    for file in "$examples"/*.c; do names+=("example-$(basename "$file" .c)"); done
fi
: > "$build/results"
: > "$build/failed-builds"
wanted=()
for name in "${names[@]}"; do
    wanted+=("$name")
    [ "$name" != example-listener ] || wanted+=(example-progress_server)
done
printf '%s\n' "${wanted[@]}" | sort -u | xargs -P 2 -I{} bash -c 'build_one "$1"' _ {}
if [ -s "$build/failed-builds" ]; then
    echo "run.sh: these do not build: $(tr '\n' ' ' < "$build/failed-builds")" >&2
    exit 1
fi
printf '%s\n' "${names[@]}" | xargs -P 2 -I{} bash -c 'run_one "$1"' _ {}

passed=$(grep -c '^ok$' "$build/results")
failed=$(grep -c '^FAILED$' "$build/results")
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
