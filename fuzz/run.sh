#!/usr/bin/env bash
# Fuzzes the library, two targets at a time.
#
#     run.sh [--seconds N] [--sanitize] [TARGET ...]
#
# Each target runs N seconds (10 if not said) from its seeds. With --sanitize, which is the long form,
# AddressSanitizer is in where a nightly toolchain is found, and what new inputs reach is kept in
# corpus/. A case that fails is written to artifacts/: mend it with a test, and keep the case in
# seeds/TARGET, under a name that says what it is.
set -euo pipefail
cd "$(dirname "$0")"

seconds=10 toolchain="" sanitizer=none keep=""
targets=()
while [ $# -gt 0 ]; do
    case $1 in
    --seconds) seconds=$2; shift ;;
    --sanitize)
        keep=1
        if cargo +nightly --version > /dev/null 2>&1; then
            toolchain=+nightly sanitizer=address
        else
            echo "fuzz: no nightly toolchain: without AddressSanitizer" >&2
        fi ;;
    -*) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    *) targets+=("$1") ;;
    esac
    shift
done
[ ${#targets[@]} -gt 0 ] || for file in targets/*.rs; do targets+=("$(basename "$file" .rs)"); done

# shellcheck disable=SC2086
cargo $toolchain fuzz build -s $sanitizer --fuzz-dir . --target-dir "target/$sanitizer"
binaries=$(echo target/$sanitizer/*/release)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export seconds keep binaries work

fuzz_one() {
    local corpus=$work/$1 seeds="" dictionary=""
    [ -z "$keep" ] || corpus=corpus/$1
    mkdir -p "$corpus" "artifacts/$1"
    [ ! -d "seeds/$1" ] || seeds=seeds/$1
    [ ! -f "dictionaries/$1.txt" ] || dictionary=-dict=dictionaries/$1.txt
    # shellcheck disable=SC2086
    if "$binaries/$1" -max_total_time="$seconds" -timeout=25 -rss_limit_mb=3000 $dictionary \
        -artifact_prefix="artifacts/$1/" -print_final_stats=1 "$corpus" $seeds > "$work/$1.log" 2>&1; then
        awk -v name="$1" -v seconds="$seconds" '
            /cov: / { for (i = 1; i < NF; i++) { if ($i == "cov:") edges = $(i + 1); if ($i == "ft:") features = $(i + 1) } }
            /number_of_executed_units/ { runs = $2 }
            END { printf "fuzz: %-9s %9d executions in %d s, %5d edges, %6d features\n",
                  name, runs, seconds, edges, features }' "$work/$1.log"
    else
        tail -n 60 "$work/$1.log"
        echo "fuzz: FAILED: $1: the case is in fuzz/artifacts/$1" >&2
        return 1
    fi
}
export -f fuzz_one
printf '%s\n' "${targets[@]}" | xargs -P 2 -I{} bash -c 'fuzz_one "$1"' _ {}
