#!/usr/bin/env bash
# Checks what `make install` installs: the symbols, the header, and that programs build against it
# by pkg-config and CMake, shared and static, also after it was moved.
#
#     tests/install.sh PREFIX     PREFIX: where `make stage` has installed it
# What a program says goes into a file before it is searched: `grep -q` leaves at its first find, and
# a program that still writes to it then dies of SIGPIPE.
set -euo pipefail

prefix=$(realpath "$1")
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DOTSOCK_SOCKET_DIR=$work/sockets XDG_CONFIG_HOME=$work/config
unset LD_LIBRARY_PATH PKG_CONFIG_PATH

CC=${CC:-cc} CXX=${CXX:-c++}
version=$(sed -n '/^version = /{s/.*"\(.*\)"$/\1/p;q}' Cargo.toml)
strict=(-Wall -Wextra -Wpedantic -Wshadow -Werror)

step() { echo "install: $*"; }
fail() {
    echo "install: FAILED: $*" >&2
    exit 1
}
# Two texts that must be the same.
same() {
    local what=$1
    diff -u "$2" "$3" || fail "$what"
}
# Runs a program that must print "ok", against the library in a directory.
runs() {
    local program=$1 libdir=${2:-/nonexistent}
    [ "$(LD_LIBRARY_PATH=$libdir "$program")" = ok ] || fail "$program"
}
flags() { PKG_CONFIG_PATH="$prefix/lib/pkgconfig" pkg-config "$@" dotsock; }
compile() {
    local out=$1
    shift
    # The flags of pkg-config are words, to be split.
    # shellcheck disable=SC2046
    "$CC" -std=c99 "${strict[@]}" -DEXPECTED_VERSION="\"$version\"" tests/install/main.c \
        -o "$work/$out" $(flags --cflags) "$@"
}

library=$prefix/lib/libdotsock.so.$version

step "the files"
(cd "$prefix" && find . ! -type d | LC_ALL=C sort) > "$work/files"
{
    for file in README.md CHANGELOG.md LICENSE-* docs/*.md docs/img/* config/settings.toml \
        examples-c/Makefile examples-c/*.c examples/*.rs examples-lua/*.lua; do
        echo "./share/doc/dotsock/$file"
    done
    cat << FILES
./include/dotsock.cdef
./include/dotsock.h
./lib/cmake/dotsock/dotsockConfig.cmake
./lib/cmake/dotsock/dotsockConfigVersion.cmake
./lib/libdotsock.a
./lib/libdotsock.so
./lib/libdotsock.so.${version%%.*}
./lib/libdotsock.so.$version
./lib/pkgconfig/dotsock.pc
FILES
} | LC_ALL=C sort > "$work/expected"
same "files that should not be there, or are missing" "$work/expected" "$work/files"
[ "$(realpath "$prefix/lib/libdotsock.so")" = "$library" ] || fail "the links"

step "the shared library: name, flags, symbols"
readelf --dynamic --wide "$library" > "$work/dynamic"
grep -q "SONAME.*\[libdotsock.so.${version%%.*}\]" "$work/dynamic" || fail "no SONAME"
grep -q "FLAGS_1.*NODELETE" "$work/dynamic" || fail "it may be unloaded while its threads run"
grep -q "SYMBOLIC" "$work/dynamic" || fail "a program's own sock_send() takes the place of ours"
nm --dynamic --defined-only "$library" | awk '{ print $NF }' | LC_ALL=C sort > "$work/symbols"
same "the exported symbols are not those of include/dotsock.symbols" \
    include/dotsock.symbols "$work/symbols"

step "the header: alone and twice, as C and as C++"
printf '#include <dotsock.h>\n#include <dotsock.h>\nint sock_header_test;\n' > "$work/header.c"
compilers=("$CC" "$CXX")
if command -v clang > /dev/null; then compilers+=(clang); fi
for standard in c99 c11 c17 c++11 c++17; do
    for compiler in "${compilers[@]}"; do
        case $standard in c++*) language=c++ ;; *) language=c ;; esac
        "$compiler" -x $language -std=$standard "${strict[@]}" -fsyntax-only \
            -I"$prefix/include" "$work/header.c" || fail "the header, by $compiler as $standard"
    done
done

step "the declarations for LuaJIT"
LUA_LIBRARY=$library LUA_CDEF=$prefix/include/dotsock.cdef LUA_VERSION=$version luajit - << 'LUA'
local ffi = require("ffi")
ffi.cdef(io.open(os.getenv("LUA_CDEF")):read("*a"))
local dotsock = ffi.load(os.getenv("LUA_LIBRARY"))
assert(ffi.string(dotsock.sock_version()) == os.getenv("LUA_VERSION"))
assert(dotsock.DOTSOCK_E_NO_MEMORY == -18 and dotsock.DOTSOCK_OPTION_SIZE == 4096)
for name in io.lines("include/dotsock.symbols") do
    assert(dotsock[name] ~= nil, name)
end
LUA

step "pkg-config: shared, static, and a program with a sock_send() of its own"
[ "$(flags --modversion)" = "$version" ] || fail "the version of dotsock.pc"
# shellcheck disable=SC2046
{
    compile shared $(flags --libs)
    compile own_sock_send -DOWN_SOCK_SEND $(flags --libs)
    # What is behind -ldotsock is what --static adds to it.
    compile static -Wl,-Bstatic -L"$prefix/lib" -ldotsock -Wl,-Bdynamic \
        $(flags --static --libs | sed 's/.*-ldotsock//')
    # The C library warns that looking names up needs its shared parts; that is known.
    compile wholly_static -static $(flags --static --libs) 2> "$work/warnings" \
        || { cat "$work/warnings" >&2; fail "a wholly static program"; }
}
runs "$work/shared" "$prefix/lib"
runs "$work/own_sock_send" "$prefix/lib"
runs "$work/static"
runs "$work/wholly_static"

step "the examples, as they are installed"
mkdir "$work/examples"
make --silent -C "$prefix/share/doc/dotsock/examples-c" OUT="$work/examples" CC="$CC" \
    PKG_CONFIG_PATH="$prefix/lib/pkgconfig"
[ -x "$work/examples/listener" ] || fail "no listener was built"

step "CMake: shared, static, other versions"
configure() {
    cmake -S tests/install/cmake -B "$work/cmake-$1" -DCMAKE_PREFIX_PATH="$prefix" -DWANTED="$2" \
        -DCMAKE_C_COMPILER="$CC"
}
{ configure same "$version" && cmake --build "$work/cmake-same"; } > "$work/cmake.log" 2>&1 \
    || { cat "$work/cmake.log"; fail "find_package(dotsock $version)"; }
runs "$work/cmake-same/with_dotsock" "$prefix/lib"
runs "$work/cmake-same/with_dotsock_static"
for other in $((${version%%.*} + 1)).0 "${version%.*}.999"; do
    if configure other "$other" > /dev/null 2>&1; then fail "find_package(dotsock $other) finds $version"; fi
done

step "moved to another place"
mkdir "$work/elsewhere"
cp -R "$prefix" "$work/elsewhere/dotsock"
stage=$prefix
prefix=$work/elsewhere/dotsock
flags --cflags --libs > "$work/flags"
if grep -qF -- "$stage" "$work/flags"; then fail "dotsock.pc names the old place"; fi
# shellcheck disable=SC2046
compile moved $(flags --libs)
runs "$work/moved" "$prefix/lib"
configure moved "$version" > "$work/cmake.log" 2>&1 || { cat "$work/cmake.log"; fail "CMake"; }
if grep -rqF -- "$stage" "$work/cmake-moved"; then fail "the CMake package names the old place"; fi

step "DESTDIR, LIBDIR and INCLUDEDIR, and uninstalling"
root="$work/ro ot"
installed() { (cd "$root" && find . ! -type d | LC_ALL=C sort); }
place=(DESTDIR="$root" PREFIX=/usr LIBDIR=/usr/lib/multi/arch INCLUDEDIR=/opt/include)
make --silent install "${place[@]}"
[ "$(installed | wc -l)" = "$(wc -l < "$work/files")" ] || fail "files are missing"
[ "$(installed | grep -c '^./opt/include/dotsock\|^./usr/lib/multi/arch/\|^./usr/share/doc/')" \
    = "$(wc -l < "$work/files")" ] || fail "files are in other places"
grep -qx 'prefix=${pcfiledir}/../../../..' "$root/usr/lib/multi/arch/pkgconfig/dotsock.pc" \
    && grep -qx 'includedir=/opt/include' "$root/usr/lib/multi/arch/pkgconfig/dotsock.pc" \
    && grep -q '"/opt/include"' "$root/usr/lib/multi/arch/cmake/dotsock/dotsockConfig.cmake" \
    || fail "the packages name other places"
for file in libdotsock.so libdotsock.a; do
    readelf --section-headers --wide "$root/usr/lib/multi/arch/$file" > "$work/sections"
    if grep -q '\.debug_' "$work/sections"; then fail "$file has debug information"; fi
done
touch "$root/opt/include/other.h"
make --silent uninstall "${place[@]}"
[ "$(installed)" = ./opt/include/other.h ] || fail "uninstall left $(installed)"
[ ! -e "$root/usr/share/doc/dotsock" ] || fail "uninstall left directories in $root/usr/share/doc/dotsock"

step "a place with spaces is refused"
for variable in PREFIX LIBDIR INCLUDEDIR DOCDIR; do
    if make --silent install DESTDIR="$work/none" "$variable=/a b" 2> "$work/refusal"; then
        fail "make install $variable='/a b'"
    fi
    grep -q "$variable is '/a b'" "$work/refusal" || { cat "$work/refusal" >&2; fail "it does not say why"; }
    [ ! -e "$work/none" ] || fail "something was installed all the same"
done

step "where cargo puts what it builds"
make --dry-run --always-make build CARGO_BUILD_TARGET_DIR=/other > "$work/commands"
grep -qF -- "--target-dir '${CARGO_TARGET_DIR:-target}'" "$work/commands" \
    || { cat "$work/commands" >&2; fail "cargo may put it elsewhere"; }

step "all is well"
