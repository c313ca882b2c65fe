"""System calls of both processes, counted by strace: those of a longer run less those of a shorter
one, so that only what every message costs is left."""

import re
import subprocess
import tempfile
from pathlib import Path

# The harness itself naps and waits for its children.
OF_THE_HARNESS = "clock_nanosleep,wait4"
# In a burst, strace holds senders up within their locks for as long as fifty writes take: who waits
# for them meanwhile says little.
OF_LOCKS = "futex,sched_yield"


def possible():
    """Whether strace is here and may trace."""
    try:
        return subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def measure(binaries, section, entry, count):
    peer, *arguments = entry.split()
    mode = section.mode.removeprefix("calls-")
    left_out = OF_THE_HARNESS + ("," + OF_LOCKS if mode == "tput" else "")
    command = [binaries / peer, mode, *section.args.split(), *arguments]
    runs = (count // 4, count)
    short, long = (counted([*command, "--count", str(n)], left_out) for n in runs)
    if short is None or long is None:
        return {"failed": True}, f"{peer} failed under strace"
    few, many = map(with_warm_up, runs)
    per_message = max(long - short, 0) / (many - few)
    return {"failed": False, "foreign_pct": 0, section.metric: per_message}, ""


def with_warm_up(count):
    """Messages of a run, those before the clock starts included: as bench.c has it."""
    return count + min(count // 10, 1000)


def counted(command, left_out):
    with tempfile.TemporaryDirectory() as directory:
        table = Path(directory, "table")
        strace = ["strace", "-f", "-qq", "-c", "-U", "calls,name", "-e", "trace=!" + left_out, "-o", table]
        process = subprocess.run([*strace, *command], capture_output=True)
        if process.returncode != 0:
            return None
        return total(table.read_text())


def total(table):
    """The last line of strace's table."""
    found = re.search(r"^\s*(\d+)\s+total$", table, re.MULTILINE)
    return int(found[1]) if found else None
