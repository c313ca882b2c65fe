#!/usr/bin/env bash
# What docs/reliability.md reports, against an installed dotsock.
#
#     run.sh PREFIX [--quick] [NAME ...]
#     run.sh PREFIX --soak MINUTES
#
# PREFIX is where `make install` put it. The names are those of the functions `test_...` below;
# without any, all of them run. --quick leaves most of every series out. JOBS=n is how many runs of
# every-call go on at a time; in hostile, ATTACK_SECONDS=n is how long each attack lasts, and
# KILLS=n how many servers are killed.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
usage() { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }

[ $# -ge 1 ] || usage
prefix=$(realpath -m "$1")
shift
quick="" minutes="" names=()
while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=--quick ;;
    --soak) minutes=${2:-}; [ -n "$minutes" ] || usage; shift ;;
    -*) usage ;;
    *) names+=("$1") ;;
    esac
    shift
done

pc=$(find "$prefix" -name dotsock.pc -print -quit 2> /dev/null)
[ -n "$pc" ] || { echo "run.sh: no dotsock.pc below $prefix: run 'make install PREFIX=$prefix' first" >&2; exit 2; }
export PKG_CONFIG_PATH=${pc%/*}
read -ra flags <<< "$(pkg-config --cflags --libs dotsock)"
libdir=$(pkg-config --variable=libdir dotsock)
library=$(readlink -f "$libdir/libdotsock.so")
export LD_LIBRARY_PATH=$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
# What a machine has set for its developers: it makes a test tell of a crash at great length.
unset RUST_BACKTRACE

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

compile() {
    local name=$1
    shift
    ${CC:-cc} -std=gnu11 -Wall -Wextra -Werror -O2 -g -U_FORTIFY_SOURCE -fno-builtin \
        "${@/#/$here/}" -o "$build/$name" "${flags[@]}" -pthread || exit 1
}

# Every system call of the library fails, once each.
test_every_call() {
    compile every_call inject.c scenario.c every_call.c
    "$build/every_call" $quick --jobs "${JOBS:-8}"
}

# The library calls no function of libc that inject.c neither knows nor may leave alone.
test_imports() {
    local harmless unknown
    # Memory and text, threads, signals, the clocks, the loader, and what cannot fail. getrandom has
    # a substitute in Rust's library; getaddrinfo and getcwd, readlink, realpath, writev, lseek and
    # pause belong to names of hosts and to panics, poll to the start of Rust programs. Nobody asks
    # close whether it failed.
    harmless='_.*|abort|bcmp|mem.*|strlen|environ|getenv|getauxval|geteuid|gettid|gnu_get_libc_version
        |dl.*|pthread_.*|sig.*|sched_yield|sysconf|syscall|clock_.*|munmap|mprotect|timerfd_settime
        |getaddrinfo|freeaddrinfo|gai_strerror|getrandom|getcwd|readlink|realpath|writev|lseek64|pause
        |close|poll'
    ${CC:-cc} -std=gnu11 -c "$here/inject.c" -o "$build/inject.o" || return 1
    unknown=$(nm -D --undefined-only "$library" | awk '{ sub(/@.*/, "", $2); print $2 }' |
        grep -vxFf <(nm --defined-only "$build/inject.o" | awk '{ print $3 }') |
        grep -vxE "$(tr -d ' \n' <<< "$harmless")")
    [ -z "$unknown" ] || { echo "inject.c does not know:" $unknown; return 1; }
}

# While there is no memory for any write, nothing spins.
test_starved() {
    compile starved inject.c starved.c
    "$build/starved"
}

# What a peer or an argument sizes finds no memory.
test_memory() {
    compile memory inject.c memory.c
    "$build/memory"
}

# Files that vanish, a fork, signals, a clock that jumps.
test_mishaps() {
    compile mishaps mishaps.c
    "$build/mishaps"
}

# As many clients as there can be, and one more.
test_limits() {
    compile limits limits.c
    "$build/limits" $([ -n "$quick" ] && echo 300 --no-times || echo 10000)
}

# The same again and again: nothing grows.
test_endurance() {
    compile endurance inject.c endurance.c
    "$build/endurance" cycles "$([ -n "$quick" ] && echo 300 || echo 10000)" &&
        "$build/endurance" messages "$([ -n "$quick" ] && echo 200000 || echo 1000000)"
}

# Peers that wish the server ill, while well-behaved clients must not notice.
test_hostile() {
    compile hostile hostile.c attackers.c
    local seconds=5 kills=400
    [ -z "$quick" ] || seconds=0.15 kills=20
    "$build/hostile" attacks "${ATTACK_SECONDS:-$seconds}" && "$build/hostile" kill "${KILLS:-$kills}"
}

if [ -n "$minutes" ]; then
    compile hostile hostile.c attackers.c
    "$build/hostile" soak "$minutes"
    exit
fi

[ ${#names[@]} -gt 0 ] || mapfile -t names < <(declare -F | sed -n 's/^declare -f test_//p')
failed=0
for name in "${names[@]}"; do
    started=$SECONDS result=ok
    "test_${name//-/_}" || result=FAILED failed=1
    printf '%-6s %-24s %4d s\n' "$result" "$name" $((SECONDS - started))
done
exit $failed
