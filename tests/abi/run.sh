#!/usr/bin/env bash
# Compares the binary interface of an installed dotsock with the one that programs were built for.
#
#     run.sh PREFIX            fails when something that a program relies on is gone or different
#     run.sh PREFIX --write    makes what PREFIX has the one to compare with: dotsock.abi
#
# What a program relies on is what its compiler saw, the header, and what the loader finds, the
# library's name and symbols. The library's own debug information speaks of Rust's types, so the
# dump is made of a stand-in: every function that the header declares and the library exports, by
# the C compiler, under the library's name.
set -euo pipefail

baseline=$(cd "$(dirname "$0")" && pwd)/dotsock.abi
prefix=$(realpath "$1")
library=$prefix/lib/libdotsock.so
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The stand-in is C99 with an old DWARF, which compilers of different ages write alike.
nm --dynamic --defined-only "$library" | awk '{ print $NF }' > "$work/exported"
{
    echo '#include <dotsock.h>'
    awk 'FNR == NR { exported[$1]; next }
        /^\} dotsock_[a-z_]+;/ { sub(";", "", $2); print $2, "enum_" $2 ";" }
        /^[a-z].*\(/ && !/^typedef/ { inside = 1; text = "" }
        inside { text = text $0 "\n" }
        inside && /\);$/ {
            inside = 0
            match(text, /sock_[a-z0-9_]+\(/)
            name = substr(text, RSTART, RLENGTH - 1)
            sub(/;\n$/, " { __builtin_trap(); }\n", text)
            if (name in exported) printf "%s", text
        }' "$work/exported" "$prefix/include/dotsock.cdef"
} > "$work/stand_in.c"
soname=$(readelf --dynamic --wide "$library" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
(cd "$work" && "${CC:-cc}" -std=c99 -g -gdwarf-4 -O0 -fPIC -shared -nostdlib -I"$prefix/include" \
    -Wl,-soname,"$soname" stand_in.c -o stand_in.so)
abidw --no-architecture --no-corpus-path --no-comp-dir-path --no-show-locs --no-elf-needed \
    --type-id-style hash --out-file "$work/dotsock.abi" "$work/stand_in.so"

functions=$(grep -c '<function-decl ' "$work/dotsock.abi")
exported=$(wc -l < "$work/exported")
[ "$functions" = "$exported" ] || {
    echo "abi: the library exports $exported functions, the header declares $functions of them" >&2
    exit 1
}
if [ "${2:-}" = --write ]; then
    cp "$work/dotsock.abi" "$baseline"
    exit
fi
# Whatever is reported, additions aside, breaks somebody: a value of an enum, an argument, a name.
status=0
abidiff --no-architecture --no-added-syms "$baseline" "$work/dotsock.abi" \
    > "$work/report" || status=$?
if [ "$status" != 0 ]; then
    cat "$work/report" >&2
    echo "abi: FAILED: programs that were built before do not work with this library any more" >&2
    exit 1
fi
known=$(grep -c '<function-decl ' "$baseline")
echo "abi: all $known functions are as they were"
[ "$functions" = "$known" ] || echo "abi: $((functions - known)) are new: 'make abi-write' guards them too"
