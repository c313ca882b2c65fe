#!/usr/bin/env bash
# Shows that the guard in run.sh catches what it is for: breaks a copy of the interface in one way
# after the other. The library is a fake with the same symbols, so nothing needs to be built.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A prefix whose header went through `sed SCRIPT`, and whose library has that name and no REMOVED.
prepare() {
    local script=$1 soname=$2 removed=$3
    mkdir -p "$work/include" "$work/lib"
    for file in dotsock.h dotsock.cdef; do sed -e "$script" include/$file > "$work/include/$file"; done
    {
        grep -vx "$removed" include/dotsock.symbols
        grep -o 'sock_new_[a-z]*' "$work/include/dotsock.cdef" || true
    } | sed 's/.*/void &(void) {}/' > "$work/fake.c"
    "${CC:-cc}" -shared -fPIC -nostdlib -Wl,-soname,"$soname" "$work/fake.c" -o "$work/lib/libdotsock.so"
}
soname=$(sed -n "s/.*soname='\([^']*\)'.*/\1/p" tests/abi/dotsock.abi)
breaks() {
    local what=$1 expected=$2
    shift 2
    prepare "$@"
    if tests/abi/run.sh "$work" > "$work/said" 2>&1; then
        echo "abi: not caught: $what" >&2
        exit 1
    fi
    grep -q -- "$expected" "$work/said" || {
        cat "$work/said"
        echo "abi: caught, but the report does not name it: $what" >&2
        exit 1
    } >&2
}

breaks 'a function that is gone' 'sock_client_cork' '' "$soname" sock_client_cork
breaks 'another name of the library' 'SONAME changed' '' libdotsock.so.999 ''
breaks 'another value of an enumerator' 'DOTSOCK_E_FULL' 's/DOTSOCK_E_FULL = -12/DOTSOCK_E_FULL = -99/' "$soname" ''
breaks 'an enumerator that is gone' 'DOTSOCK_KIND_EXT' '/DOTSOCK_KIND_EXT =/d' "$soname" ''
breaks 'another type of an argument' 'sock_client_recv' \
    's/sock_client_recv(sock_client \*client, int timeout_ms/sock_client_recv(sock_client *client, int64_t timeout_ms/' "$soname" ''
breaks 'arguments that changed places' 'sock_client_stat' \
    's/const char \*name, uint64_t \*out);/uint64_t *out, const char *name);/' "$soname" ''
breaks 'one more argument' 'sock_client_open' \
    's/sock_client_open(sock_client \*client)/sock_client_open(sock_client *client, int flags)/' "$soname" ''
breaks 'another type of result' 'sock_client_buffer_size' \
    's/size_t sock_client_buffer_size/int sock_client_buffer_size/' "$soname" ''
breaks 'another callback' 'sock_log_fn' 's/(void \*ctx, int level,/(void *ctx, int64_t level,/' "$soname" ''

# And what is only added passes.
prepare 's/^int sock_client_cork(/int sock_new_thing(int value);\n\n&/; s/  DOTSOCK_UNIX = 0,/  DOTSOCK_PIPE = 77,\n&/' \
    "$soname" ''
tests/abi/run.sh "$work" > "$work/said" || { echo 'abi: additions do not pass' >&2; exit 1; }
grep -q '1 are new' "$work/said"
echo 'abi: every break was caught, additions pass'
