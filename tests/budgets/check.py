#!/usr/bin/env python3
"""What a message costs, where time is too noisy to say: instructions and system calls.

    check.py PREFIX [--write]

PREFIX is where dotsock is installed. The instructions of each hot path (instructions.c) may exceed
what instructions.json says by a tenth, if the library comes from the compiler that is named there;
with another one they are only reported. `--write` writes that file anew. The system calls (calls.c)
have limits that hold for every compiler.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
BUDGETS = HERE / "instructions.json"
ROOM = 1.1

# System calls of one side: for each message, or for each 16 KiB. A send, a wait and a read; the
# room is for what happens now and then: a server that the program drives looks whether others have
# come, every so many messages.
PER_MESSAGE, PER_16_KIB, PER_SECOND = "a message", "16 KiB", "a second"
CALLS = [
    ("latency_start", "server", PER_MESSAGE, 3.1),
    ("latency_start", "client", PER_MESSAGE, 3.1),
    ("latency_open", "server", PER_MESSAGE, 3.1),
    ("latency_open", "client", PER_MESSAGE, 3.1),
    ("burst_start", "server", PER_16_KIB, 1.0),
    ("burst_start", "client", PER_16_KIB, 1.0),
    ("burst_open", "server", PER_16_KIB, 1.0),
    ("burst_open", "client", PER_16_KIB, 1.0),
    ("idle", "server", PER_SECOND, 0),
    # The call that the program itself made: it looks, waits, and looks again.
    ("idle", "client", PER_SECOND, 3),
]
OUR_OWN = {"prctl", "preadv2", "pwritev2"}
# strace stops a sender within its write, and so within a lock, for as long as fifty writes take. In a
# burst, who waits for that lock says nothing of the library; one message at a time, it does.
WAITING = {"sched_yield", "futex"}
ATTEMPTS = 3  # the place where the scheduler puts a process decides how often it finds something


class Failed(Exception):
    """A sentence for a person."""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("prefix", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as work:
            bench = Bench(options.prefix.resolve(), Path(work))
            counted = bench.instructions()
            if options.write:
                write(bench.compiler(), counted)
            failures = compare(bench.compiler(), counted) + compare_calls(bench)
    except Failed as failure:
        sys.exit(f"check.py: {failure}")
    for failure in failures:
        print(f"OVER BUDGET: {failure}")
    if failures:
        sys.exit("A path costs more than it may. Find out why (docs/performance.md says how); where "
                 "the cost is worth it, `make budgets-write` writes what it costs now.")


class Bench:
    """The programs here, built against an installed library."""

    def __init__(self, prefix, work):
        self.prefix, self.work = prefix, work
        self.environment = os.environ | {
            "DOTSOCK_SOCKET_DIR": str(work), "XDG_CONFIG_HOME": str(work / "none"),
            "LD_LIBRARY_PATH": str(prefix / "lib"),
        }

    def run(self, *command):
        process = subprocess.run(command, cwd=self.work, env=self.environment, text=True,
                                 capture_output=True, timeout=300)
        if process.returncode != 0:
            text = (process.stderr or process.stdout).strip()
            raise Failed(f"`{' '.join(map(str, command))}` failed:\n{text}")
        return process.stdout

    def build(self, name):
        self.run(os.environ.get("CC", "cc"), "-O2", "-Wall", "-Wextra", "-Werror",
                 HERE / f"{name}.c", "-o", name, f"-I{self.prefix}/include",
                 f"-L{self.prefix}/lib", "-ldotsock", "-pthread")

    def compiler(self):
        """Who compiled the library, as it says itself."""
        text = self.run("readelf", "-p", ".comment", self.prefix / "lib/libdotsock.so")
        found = re.search(r"rustc version (.*)", text)
        return f"rustc {found[1]}, {platform.machine()}" if found else "unknown"

    def instructions(self):
        """Instructions of one operation of each path."""
        counted = {}
        for path, operations, text in self.dumps():
            total = re.search(r"^totals: (\d+)", text, re.MULTILINE)[1]
            counted[path] = round(int(total) / operations, 1)
        if not counted:
            raise Failed("callgrind has counted nothing")
        return counted

    def dumps(self):
        """What callgrind says of each path: its name, how many operations, where the cost is."""
        self.build("instructions")
        self.run("valgrind", "-q", "--tool=callgrind", "--collect-atstart=no",
                 "--callgrind-out-file=counts", "./instructions")
        for dump in sorted(self.work.glob("counts.*"), key=lambda path: int(path.suffix[1:])):
            text = dump.read_text()
            path, operations = re.search(r"Client Request: (\w+)/(\d+)", text).groups()
            yield path, int(operations), text

    def calls(self):
        """System calls by path and side; what the client says of each path."""
        self.build("calls")
        said = self.run("strace", "-f", "-s", "20", "-o", "log", "./calls")
        counts = count_calls((self.work / "log").read_text().splitlines())
        return counts, {line.split()[0]: tuple(map(int, line.split()[1:]))
                        for line in said.splitlines()}

    def may_trace(self):
        try:
            self.run("strace", "-o", "log", "true")
        except Failed as failure:
            print("NOT CHECKED: system calls for each message. strace cannot run here, where tracing "
                  f"other processes seems to be forbidden. {failure}")
            return False
        return True


def count_calls(lines):
    """Counts what stands between the marks of each side. The client is the process that calls
    itself so; all other threads are the server's."""
    counts, client, now = {}, None, {}
    for line in lines:
        found = re.match(r"(\d+) +(\w+)\((.*)", line)
        if not found:
            continue  # the rest of a call that was shown before, or a signal
        thread, call, arguments = found.groups()
        name = re.match(r'PR_SET_NAME, "(\w+)"', arguments) if call == "prctl" else None
        if name and name[1] == "client":
            client = thread
        side = "client" if thread == client else "server"
        if name and name[1] == "end":
            now.pop(side, None)
        elif name:
            now[side] = name[1]
            counts[name[1], side] = Counter()
        elif side in now and call not in OUR_OWN:
            counts[now[side], side][call] += 1
    return counts


def write(compiler, counted):
    budgets = {"compiler": compiler, "instructions": counted}
    BUDGETS.write_text(json.dumps(budgets, indent=4) + "\n")
    print(f"Written: {BUDGETS.name}")


def compare(compiler, counted):
    budgets = json.loads(BUDGETS.read_text())
    allowed, failures = budgets["instructions"], []
    if allowed.keys() != counted.keys():
        raise Failed(f"{BUDGETS.name} has other paths than instructions.c: run `make budgets-write`")
    print(f"{'instructions of':28}{'now':>10}{'budget':>10}")
    for path, count in counted.items():
        print(f"{path:28}{count:10,.0f}{allowed[path]:10,.0f}  {count / allowed[path] - 1:+.0%}")
        if count > allowed[path] * ROOM:
            failures.append(f"{path}: {count:,.0f} instructions instead of {allowed[path]:,.0f}")
    if compiler != budgets["compiler"]:
        print(f"NOT CHECKED: instructions. The budgets are those of {budgets['compiler']}, and this "
              f"library comes from {compiler}.")
        return []
    return failures


def compare_calls(bench):
    if not bench.may_trace():
        return []
    for _ in range(ATTEMPTS):
        counts, said = bench.calls()
        rows = [row_of_calls(counts, said, *entry) for entry in CALLS]
        failures = [failure for _, failure in rows if failure]
        if not failures:
            break
    print(f"\n{'system calls of':28}{'now':>10}{'limit':>10}")
    print("\n".join(row for row, _ in rows))
    return failures


def row_of_calls(counts, said, path, side, unit, limit):
    """What is to be printed of one side of a path; what is wrong with it, if anything."""
    messages, size = said[path]
    units = {PER_MESSAGE: messages, PER_16_KIB: size / 16384, PER_SECOND: 1}[unit]
    calls = counts[path, side]
    left_out = WAITING if unit == PER_16_KIB else ()
    value = sum(count for call, count in calls.items() if call not in left_out) / units
    most = ", ".join(f"{call} {count}" for call, count in calls.most_common(5))
    row = f"{path + ', ' + side:28}{value:10.2f}{limit:10.2f}  for {unit} ({most})"
    over = f"{path}, {side}: {value:.2f} system calls for {unit}, at most {limit}"
    return row, over if value > limit else None


if __name__ == "__main__":
    main()
