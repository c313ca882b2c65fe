#!/bin/sh
# Tells whether there is a Go that is new enough for this module, and says so when there is not:
# Debian 12 and 13 have none, so the tests cannot install one.
case $(${GO:-go} env GOVERSION 2> /dev/null) in
    go1.2[4-9]* | go1.[3-9][0-9]* | go[2-9]*) exit 0 ;;
esac
echo 'NOT TESTED: the Go module needs Go 1.24 or newer, which is not here.'
echo 'Install it (https://go.dev/doc/install), and have it in the PATH.'
exit 1
