#!/usr/bin/env python3
"""Tables and pictures from what run.py measured.

    report.py RESULTS.jsonl REPORT.md IMAGES
"""

import json
import os
import platform
import statistics
import sys
from collections import defaultdict
from pathlib import Path

import charts
import plan


class Results:
    """What was measured: `of(section, entry)` is a dict of rounds."""

    def __init__(self, path):
        self.runs = defaultdict(dict)
        self.failed, self.disturbed, self.total = 0, 0, 0
        repeats = defaultdict(list)
        for line in path.read_text().splitlines():
            run = json.loads(line)
            self.total += 1
            if run["failed"]:
                self.failed += 1
                continue
            run |= derived(run)
            repeats[run["section"], run["entry"], run["round"]].append(run)
        for (section, entry, number), runs in repeats.items():
            self.runs[section, entry][number] = mean(runs)
            # Of less than 0.3 s the system's accounting says too little.
            seconds = sum(run.get("secs", 1) for run in runs)
            if seconds >= 0.3 and statistics.fmean(run["foreign_pct"] for run in runs) > 15:
                self.disturbed += len(runs)

    def of(self, section, entry):
        return self.runs.get((section, entry), {})

    def values(self, section, entry, metric):
        return [run[metric] for run in self.of(section, entry).values()]

    def median(self, section, entry, metric):
        values = self.values(section, entry, metric)
        return statistics.median(values) if values else None

    def ratio(self, section, entry, metric, reference, versus=None, minus=False):
        """The median over rounds of the ratio, or the difference, within a round."""
        mine, theirs = self.of(section, entry), self.of(versus or section, reference)
        pairs = [(mine[number][metric], theirs[number][metric]) for number in mine if number in theirs]
        against = [a - b if minus else a / b for a, b in pairs if b]
        return statistics.median(against) if against else None


def mean(runs):
    """What was measured in one round, where that are several runs."""
    first = runs[0]
    return {key: statistics.fmean(run[key] for run in runs) if isinstance(value, (int, float)) else value
            for key, value in first.items()} if len(runs) > 1 else first


def derived(run):
    """What follows from what was measured."""
    if "rss_kb" not in run:
        return {}
    grown = (run["rss_kb"] - run["base_rss_kb"]) * 1024
    return {"rss_mb": run["rss_kb"] / 1024, "bytes_a_client": grown / run["clients"]}


def write(source, target, images, sections):
    results = Results(source)
    images.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    pictures = charts.draw(results, images)
    parts = [head(results), marks(results), gallery(pictures, target, images)]
    parts += [table(results, section) for section in sections]
    target.write_text("\n\n".join(part for part in parts if part) + "\n")
    print(f"{target}: {results.total} runs, {results.failed} failed, "
          f"{results.disturbed} disturbed by other programs")


def head(results):
    rounds = 1 + max((number for runs in results.runs.values() for number in runs), default=0)
    return f"""# Benchmarks

Written by `make bench`; `make bench QUICK=1` takes a smaller look in under two minutes.

Server and clients are separate processes on one machine. All programs run one after the other in
each of {rounds} rounds; a figure is the median of the rounds, and a ratio the median of the ratios
within a round, which other programs and the machine's moods disturb less than the figures
themselves. Our messages carry their envelope, which the receiver checks; of the others only those
that say so do. `start`, `open` and `run` are the three ways to run a server.

{cpu()}, {os.cpu_count()} cores, Linux {platform.release()}. Of {results.total} runs,
{results.disturbed} were kept although other programs used more than 15 % of a core meanwhile, after
two repetitions."""


def cpu():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def marks(results):
    metrics = {section.name: section.metric for section in plan.sections()}
    rows = []
    for mark in plan.marks():
        metric = mark.metric or metrics[mark.section]
        cells, reached = [], []
        for entry in mark.peers:
            if mark.reference is None:
                value = results.median(mark.section, entry, metric)
            else:
                reference = entry if mark.reference == plan.ITSELF else mark.reference
                value = results.ratio(mark.section, entry, metric, reference, mark.versus,
                                      mark.minus)
            if value is None:
                continue
            label = plan.name_of(entry).removeprefix("dotsock ").strip("()")
            label = label.replace("), ", ", ").replace(", start", "")
            good = value <= mark.limit if mark.low else value >= mark.limit
            cells.append(f"{label} {number(value)}" + ("" if good else " **missed**"))
            reached.append(good)
        if not cells:
            continue
        against = ""
        if mark.reference == plan.ITSELF:
            against = " × itself"
        elif mark.reference:
            against = f" {'over' if mark.minus else '×'} {plan.name_of(mark.reference)}"
        limit = f"{'≤' if mark.low else '≥'} {mark.limit:g}{against}"
        verdict = "yes" if all(reached) else "no" if not any(reached) else "partly"
        rows.append(f"| {mark.text} | {limit} | {'; '.join(cells)} | {verdict} |")
    if not rows:
        return ""
    return "\n".join(["## Marks", "", "| what | mark | measured | reached |",
                      "| --- | --- | --- | --- |", *rows])


def gallery(pictures, target, images):
    path = Path(os.path.relpath(images, target.parent))
    return "\n\n".join(f"![{text}]({path / name})" for name, text in pictures)


UNITS = {
    "p50_us": "median, µs", "msgs_per_s": "messages a second", "rss_kb": "MB",
    "calls": "system calls", "cpu_us_per_msg": "µs", "threads": "threads",
}
HARNESS_MODES = ("rtt", "tput", "fanout", "oneway", "active")


def table(results, section):
    """All who took part, best first."""
    present = [entry for entry in section.peers if results.of(section.name, entry)]
    if not present:
        return ""
    medians = {e: results.median(section.name, e, section.metric) for e in present}
    present.sort(key=medians.get, reverse=not section.low)
    extra = {"p50_us": [("p99_us", "p99, µs")], "rss_kb": [("threads", "threads")]}
    extra = extra.get(section.metric, [])
    if section.mode in HARNESS_MODES:
        extra = extra + [("cpu_us_per_msg", "CPU a message, µs")]
    raw = section.peers[0]
    heads = ["program", UNITS[section.metric], "range", f"× {plan.name_of(raw)}"]
    heads += [text for _, text in extra]
    lines = [f"## {section.title}", "", f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for entry in present:
        values = [scaled(v, section.metric)
                  for v in results.values(section.name, entry, section.metric)]
        ratio = results.ratio(section.name, entry, section.metric, raw)
        cells = [plan.name_of(entry), number(statistics.median(values)),
                 f"{number(min(values))} to {number(max(values))}",
                 number(ratio) if ratio is not None else ""]
        cells += [number(results.median(section.name, entry, metric)) for metric, _ in extra]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def scaled(value, metric):
    return value / 1024 if metric == "rss_kb" else value


def number(value):
    """Three digits that matter."""
    if value == int(value) and abs(value) < 1000:
        return f"{int(value)}"
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g} M" if value < 1e8 else f"{value / 1e6:.0f} M"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


if __name__ == "__main__":
    write(*map(Path, sys.argv[1:4]), list(plan.sections()))
