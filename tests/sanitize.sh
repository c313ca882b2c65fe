#!/usr/bin/env bash
# The C tests against a library that is instrumented itself: with AddressSanitizer, then with
# ThreadSanitizer. That takes a nightly toolchain of Rust, and clang. (helgrind is no substitute: it
# does not know the library's locks, which are futexes of its own, and calls all they guard a race.)
#
#     tests/sanitize.sh PREFIX [NAME ...]      PREFIX: where `make stage` has installed it
set -euo pipefail

prefix=$(realpath "$1")
shift
cd "$(dirname "$0")/.."
cargo +nightly --version > /dev/null 2>&1 || {
    echo "sanitize: no nightly toolchain: rustup toolchain install nightly" >&2
    exit 1
}
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
libraries=$(rustc +nightly --print sysroot)/lib/rustlib
[ -d "$libraries/src/rust/library" ] || rustup component add --toolchain nightly rust-src

# The library, its standard library too, with a sanitizer; what C programs need to run with it.
instrumented() {
    local sanitizer=$1 place=$PWD/build/$1 so
    # Without link-time optimization, or building takes half an hour.
    RUSTFLAGS=-Zsanitizer=$sanitizer cargo +nightly build -Zbuild-std --release --locked --lib \
        --target "$host" --target-dir "target/sanitize-$sanitizer" \
        --config profile.release.lto=false --config profile.release.codegen-units=4
    rm -rf "$place"
    cp -R "$prefix" "$place"
    rm "$place/lib/libdotsock.a"
    so=$(realpath "$place/lib/libdotsock.so")
    cp "target/sanitize-$sanitizer/$host/release/libdotsock.so" "$so"
}
# Rust's runtime of the sanitizer for all: that of the C compiler is of another age.
run_with() {
    local sanitizer=$1 runtime=$2
    shift 2
    CC=clang LDFLAGS="-fno-sanitize-link-runtime -rdynamic -ldl -lrt -lm -Wl,--whole-archive \
        $libraries/$host/lib/librustc-nightly_rt.$runtime.a -Wl,--no-whole-archive" \
        TSAN_OPTIONS=die_after_fork=0 tests/c/run.sh "build/$sanitizer" --sanitize "$sanitizer" "$@"
}

for sanitizer in address thread; do
    instrumented $sanitizer
    run_with $sanitizer "${sanitizer:0:1}san" "$@"
done
