#!/bin/sh
# Writes a Go program that has those of README.md as its functions.
cat << 'GO'
package main

import (
	"context"
	"fmt"
	"time"

	"dotsock"
)

func main() {
	fmt.Println(part1(context.Background()), part2(context.Background()))
}
GO
awk '/^```go/ { inside = 1; print "\nfunc part" ++part "(ctx context.Context) error {"; next }
    /^```/ { if (inside) print "return nil\n}"; inside = 0 }
    inside' "$(dirname "$0")/../../README.md"
