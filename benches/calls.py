"""System calls of both processes: those of a longer run less those of a shorter one, so that only
what every message costs is left.

Those of round trips are counted by strace. It holds a program up for some 50 µs in each call, and
what goes out with one call in a burst is a question of time: those are counted by the kernel (perf).
"""

import re
import subprocess
import tempfile
from pathlib import Path

# The harness itself naps and waits for its children.
OF_THE_HARNESS = ["clock_nanosleep", "wait4"]
# How often one thread waits for the other says little about what a message costs.
OF_LOCKS = ["futex", "sched_yield"]


def possible(section):
    """Whether what counts in this section is here and may count."""
    trial = (perf if is_burst(section) else strace)("/dev/null", OF_THE_HARNESS)
    try:
        return subprocess.run([*trial, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def is_burst(section):
    return section.mode == "calls-tput"


def measure(binaries, section, entry, count):
    peer, *arguments = entry.split()
    command = [binaries / peer, section.mode.removeprefix("calls-"), *section.args.split(), *arguments]
    runs = (count // 4, count)
    short, long = (counted([*command, "--count", str(n)], is_burst(section)) for n in runs)
    if short is None or long is None:
        return {"failed": True}, f"{peer} failed while its system calls were counted"
    few, many = map(with_warm_up, runs)
    per_message = max(long - short, 0) / (many - few)
    return {"failed": False, "foreign_pct": 0, section.metric: per_message}, ""


def with_warm_up(count):
    """Messages of a run, those before the clock starts included: as bench.c has it."""
    return count + min(count // 10, 1000)


def counted(command, in_burst):
    with tempfile.TemporaryDirectory() as directory:
        table = Path(directory, "table")
        tool = perf(table, OF_THE_HARNESS + OF_LOCKS) if in_burst else strace(table, OF_THE_HARNESS)
        process = subprocess.run([*tool, *command], capture_output=True)
        if process.returncode != 0:
            return None
        return (perf_total if in_burst else strace_total)(table.read_text())


def strace(table, left_out):
    return ["strace", "-f", "-qq", "-c", "-U", "calls,name", "-e", "trace=!" + ",".join(left_out), "-o", table]


def strace_total(table):
    """The last line of strace's table."""
    found = re.search(r"^\s*(\d+)\s+total$", table, re.MULTILINE)
    return int(found[1]) if found else None


ALL = "raw_syscalls:sys_enter"


def perf(table, left_out):
    events = [ALL, *("syscalls:sys_enter_" + name for name in left_out)]
    return ["perf", "stat", "-x", ",", "-o", table, "-e", ",".join(events)]


def perf_total(table):
    """All of perf's table less those that are left out."""
    counts = {event: int(count) for count, event in re.findall(r"^(\d+),[^,]*,([^,]+),", table, re.MULTILINE)}
    return counts.pop(ALL) - sum(counts.values()) if ALL in counts else None
