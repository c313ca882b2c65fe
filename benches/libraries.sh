#!/usr/bin/env bash
# Sees to it that the libraries we are compared with are there: installs what is missing where it
# may, or names the command that does. Without one of them the others are compared all the same.
set -euo pipefail

packages=()
has() { echo "#include <$1>" | "${CC:-cc}" -E -x c - > /dev/null 2>&1; }
has zmq.h || packages+=(libzmq3-dev)
has nng/nng.h || packages+=(libnng-dev)
has nanomsg/nn.h || packages+=(libnanomsg-dev)
[ ${#packages[@]} -gt 0 ] || exit 0

command=(apt-get install -y --no-install-recommends "${packages[@]}")
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    apt-get update
    DEBIAN_FRONTEND=noninteractive "${command[@]}"
else
    echo "Not all libraries are there to compare with. On Debian and Ubuntu, this installs them:" >&2
    echo "    sudo ${command[*]}" >&2
fi
