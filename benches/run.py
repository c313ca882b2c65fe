#!/usr/bin/env python3
"""Measures everything in plan.py, interleaved, and writes the report.

    run.py BINARIES RESULTS.jsonl REPORT.md IMAGES [--quick] [--rounds N] [SECTION ...]

Every round runs all programs one after the other, so that what is compared ran under the same
conditions. A run during which other processes used more than 15 % of a CPU is repeated twice.
SECTION is the beginning of a section's name: "rtt", "tput 64". --quick measures shortly, and without
any SECTION only some.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import calls
import plan
import receivers
import report

BUSY = 15  # percent of one CPU
LONG_ENOUGH = 0.3  # seconds: of shorter runs the system's accounting says too little


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binaries", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("report", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("sections", nargs="*")
    options = parser.parse_args()
    rounds = options.rounds or (2 if options.quick else 5)
    sections = [section for section in plan.sections() if is_wanted(section, options)]
    if not sections:
        names = ", ".join(section.name for section in plan.sections())
        parser.error(f"no section's name begins with {' or '.join(options.sections)}: {names}")
    impossible = [section for section in sections
                  if section.mode.startswith("calls") and not calls.possible(section)]
    for section in impossible:
        print(f"NOT MEASURED: {section.name}. strace or perf is missing, or may not count here.",
              file=sys.stderr)
    sections = [section for section in sections if section not in impossible]
    share, attempts = (3, 1) if options.quick else (1, 3)
    with options.results.open("w") as results:
        for number in range(rounds):
            for section in sections:
                if number >= (section.rounds or rounds):
                    continue
                print(f"\rround {number + 1} of {rounds}: {section.name:20}", end="", flush=True,
                      file=sys.stderr)
                for entry in section.peers * section.repeats:
                    outcome = measure(options.binaries, section, entry, share, attempts)
                    if outcome is not None:
                        outcome |= {"section": section.name, "entry": entry, "round": number}
                        print(json.dumps(outcome), file=results, flush=True)
    print(file=sys.stderr)
    report.write(options.results, options.report, options.images, sections)


def is_wanted(section, options):
    if options.sections:
        return section.name.startswith(tuple(options.sections))
    return not options.quick or section.name in plan.QUICK


def measure(binaries, section, entry, share, attempts):
    """One run; `None` for a peer that is not installed."""
    peer, *arguments = entry.split()
    if not (binaries / peer).exists():
        return None
    count = section.counts.get(entry, section.counts.get(peer, section.counts[""]))
    special = {"calls": calls, "receive": receivers, "wait": receivers}
    special = special.get(section.mode.split("-")[0])
    if special:
        outcome, text = special.measure(binaries, section, entry, count)
        if outcome["failed"]:
            print(f"\nfailed: {section.name}, {entry}\n{text}", file=sys.stderr)
        return outcome
    command = [binaries / peer, section.mode, *section.args.split(), *arguments,
               "--count", str(max(count // share, 20)), "--timeout", "40"]
    outcome = {"failed": True}
    for _ in range(attempts):
        process = subprocess.run(command, capture_output=True, text=True)
        lines = process.stdout.splitlines()
        outcome = json.loads(lines[-1]) if lines else {"failed": True}
        if outcome["failed"]:
            print(f"\nfailed: {' '.join(map(str, command))}\n{process.stderr}", file=sys.stderr)
        elif outcome.get("secs", 0) < LONG_ENOUGH or outcome["foreign_pct"] <= BUSY:
            break
    return outcome


if __name__ == "__main__":
    main()
