#!/usr/bin/env python3
"""Where the instructions of the hot paths go: each function below its caller, with its share.

    where.py PREFIX [PATH ...]

PREFIX is where dotsock is installed, PATH one of the paths in instructions.json. What the compiler
has put into its caller counts as that; `self` is what a function does besides its calls.
"""

import re
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import check

LEAST = 0.03  # of the whole: smaller branches are left out


def main():
    with tempfile.TemporaryDirectory() as work:
        bench = check.Bench(Path(sys.argv[1]).resolve(), Path(work))
        for path, operations, text in bench.dumps():
            if path in sys.argv[2:] or not sys.argv[2:]:
                print(f"{path}\n{tree(Calls(text), operations)}\n")


class Calls:
    """A dump of callgrind: what each function costs itself, and with those that it calls."""

    def __init__(self, text):
        self.own, self.below, names, function, callee = Counter(), defaultdict(Counter), {}, None, None
        for line in text.splitlines():
            if found := re.match(r"(c?fn)=\((\d+)\)(?: (.*))?", line):
                kind, number, name = found.groups()
                name = names.setdefault(number, plain(name))
                function, callee = (name, None) if kind == "fn" else (function, name)
            elif found := re.match(r"[+\-*\d]\S* (\d+)$", line):
                if callee:
                    self.below[function][callee] += int(found[1])
                else:
                    self.own[function] += int(found[1])
                callee = None


def plain(name):
    """Without the crate, generic arguments and hashes."""
    if name is None:
        return "?"
    name = re.sub(r"'\d+$|::h[0-9a-f]{16}$|@@.*", "", name)
    while (shorter := re.sub(r"<[^<>]*>", "", name)) != name:
        name = shorter
    return name.replace("dotsock::", "").strip(":") or "?"


def tree(calls, operations):
    """Everything below the functions of the C interface, which the library itself does not call."""
    entries = Counter()
    for callees in calls.below.values():
        entries.update({name: cost for name, cost in callees.items() if name.startswith("sock_")})
    whole = entries.total()
    lines = []

    def add(name, cost, depth, above):
        share = cost / whole
        if share < LEAST or name in above:
            return
        bar = "█" * round(share * 20)
        lines.append(f"{bar:20} {share:4.0%} {cost / operations:8,.0f}  {'  ' * depth}{name}")
        total = calls.own[name] + calls.below[name].total()
        part = cost / total if total else 0  # other callers have the rest
        for callee, below in calls.below[name].most_common():
            add(callee, below * part, depth + 1, above | {name})

    for name, cost in entries.most_common():
        add(name, cost, 0, frozenset())
    return "\n".join(lines)


if __name__ == "__main__":
    main()
