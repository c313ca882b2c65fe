#!/usr/bin/env bash
# Sees to it that the tools named as arguments are there: installs what is missing where it may, or
# names the command that does.
set -euo pipefail

packages=() components=() crates=()
for tool in "$@"; do
    case $tool in
        rustfmt) cargo fmt --version > /dev/null 2>&1 || components+=(rustfmt) ;;
        clippy) cargo clippy --version > /dev/null 2>&1 || components+=(clippy) ;;
        venv) python3 -c 'import msgpack' 2> /dev/null \
            || python3 -c 'import ensurepip' 2> /dev/null || packages+=(python3-venv) ;;
        cargo-fuzz) cargo fuzz --version > /dev/null 2>&1 || crates+=("cargo-fuzz@0.13.2") ;;
        luv) luajit -e 'require "luv"' 2> /dev/null || packages+=(lua-luv) ;;
        *) command -v "$tool" > /dev/null && continue
            case $tool in
                cc) packages+=(gcc libc6-dev) ;;
                c++) packages+=(g++) ;;
                readelf) packages+=(binutils) ;;
                abidw) packages+=(abigail-tools) ;;
                go | gofmt) packages+=(golang-go) ;;
                nvim) packages+=(neovim) ;;
                perf) packages+=(linux-perf) ;;
                *) packages+=("$tool") ;;
            esac ;;
    esac
done

if [ ${#components[@]} -gt 0 ]; then
    command -v rustup > /dev/null || {
        echo "These parts of the Rust toolchain are missing: ${components[*]}. Install them with" \
            "your package manager, or use the toolchain of rustup." >&2
        exit 1
    }
    rustup component add "${components[@]}"
fi

if [ ${#packages[@]} -gt 0 ]; then
    command=(apt-get install -y --no-install-recommends "${packages[@]}")
    if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
        apt-get update
        DEBIAN_FRONTEND=noninteractive "${command[@]}"
    else
        echo "Tools are missing. On Debian and Ubuntu, this installs them:" >&2
        echo "    sudo ${command[*]}" >&2
        exit 1
    fi
fi

# Where cargo looks for its subcommands, in the PATH or not.
for crate in "${crates[@]}"; do
    cargo install --locked --quiet "$crate"
done
