"""What run.py measures, and what report.py and calls.py make of recorded runs. `python3 -m unittest discover -s benches`"""

import argparse
import json
import tempfile
import unittest
from pathlib import Path

import calls
import plan
import report
from run import is_wanted


def run(section, entry, number, **measured):
    return {"section": section, "entry": entry, "round": number, "failed": 0, "foreign_pct": 0,
            **measured}


def round_trip(entry, number, p50, **more):
    return run("rtt same", entry, number, p50_us=p50, p90_us=p50, p99_us=2 * p50, p999_us=3 * p50,
               cpu_us_per_msg=p50 / 2, **more)


# In the second round everything took twice as long; ratios within a round stay what they are.
RUNS = [
    round_trip("raw_block", 0, 4.0), round_trip("dotsock", 0, 4.4), round_trip("dotsock_rust", 0, 6.0),
    round_trip("raw_block", 1, 8.0), round_trip("dotsock", 1, 8.8), round_trip("dotsock_rust", 1, 12.0),
    round_trip("zmq_ipc", 1, 30.0, secs=1) | {"foreign_pct": 40},
    run("rtt same", "nng_ipc", 0) | {"failed": 1},
    run("idle 1000", "dotsock", 0, rss_kb=4096, base_rss_kb=3096, clients=1000, threads=2, wakeups=0),
    run("receive", "receive_c", 0, cpu_us_per_msg=0.25),
    run("receive", "receive_lua", 0, cpu_us_per_msg=1.0),
]


class Sections(unittest.TestCase):
    def wanted(self, quick, *names):
        options = argparse.Namespace(quick=quick, sections=list(names))
        return [section.name for section in plan.sections() if is_wanted(section, options)]

    def test_quick_without_sections_are_some_and_sections_are_all_of_that_name(self):
        self.assertEqual(sorted(self.wanted(True)), sorted(plan.QUICK))
        self.assertEqual(self.wanted(False), [section.name for section in plan.sections()])
        for quick in (True, False):
            self.assertIn("rtt tcp same", self.wanted(quick, "rtt"))
            self.assertTrue(all(name.startswith("rtt") for name in self.wanted(quick, "rtt")))


class Report(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        source = self.directory / "runs.jsonl"
        source.write_text("\n".join(map(json.dumps, RUNS)))
        self.results = report.Results(source)
        target = self.directory / "docs" / "benchmarks.md"
        report.write(source, target, self.directory / "docs" / "img", list(plan.sections()))
        self.text = target.read_text()

    def row(self, start):
        return next(line for line in self.text.splitlines() if line.startswith(f"| {start} |"))

    def test_ratios_are_those_within_a_round(self):
        self.assertAlmostEqual(self.results.ratio("rtt same", "dotsock", "p50_us", "raw_block"), 1.1)
        self.assertIsNone(self.results.ratio("rtt same", "nng_ipc", "p50_us", "raw_block"))

    def test_runs_of_one_round_count_with_their_mean(self):
        source = self.directory / "repeated.jsonl"
        runs = [run("rtt none", entry, 0, p50_us=p50) for entry, values in
                {"raw_epoll": (4, 60, 60, 60), "dotsock": (4, 4, 60, 80)}.items() for p50 in values]
        source.write_text("\n".join(map(json.dumps, runs)))
        results = report.Results(source)
        self.assertAlmostEqual(results.median("rtt none", "raw_epoll", "p50_us"), 46)
        self.assertAlmostEqual(results.ratio("rtt none", "dotsock", "p50_us", "raw_epoll"), 37 / 46)

    def test_marks_say_who_missed_them(self):
        row = self.row("round trip, one core")
        self.assertIn("C 1.10; Rust 1.50 **missed**", row)
        self.assertTrue(row.endswith("| partly |"), row)
        self.assertTrue(self.row("1,000 idle clients, MB").endswith("| yes |"))

    def test_a_mark_may_limit_a_difference(self):
        row = self.row("receiving in another language, CPU over C, µs")
        self.assertIn("≤ 1.5 over dotsock (C)", row)
        self.assertIn("LuaJIT 0.75", row)

    def test_failures_and_disturbances_are_counted(self):
        self.assertEqual((self.results.failed, self.results.disturbed), (1, 1))
        self.assertNotIn("nng", self.text)

    def test_memory_is_that_of_a_client(self):
        self.assertEqual(self.results.median("idle 1000", "dotsock", "bytes_a_client"), 1024)

    def test_pictures_are_drawn_of_what_there_is(self):
        drawn = {path.name for path in (self.directory / "docs" / "img").iterdir()}
        self.assertEqual(drawn, {"latency.svg", "memory.svg"})
        self.assertIn("![Round trip", self.text)
        self.assertIn("img/latency.svg", self.text)

    def test_every_mark_is_read_off_a_section(self):
        sections = {section.name: section for section in plan.sections()}
        for mark in plan.marks():
            peers = sections[mark.section].peers
            self.assertLessEqual({*mark.peers}, {*peers}, mark.text)
            if mark.reference not in (None, plan.ITSELF):
                self.assertIn(mark.reference, peers, mark.text)


class Calls(unittest.TestCase):
    def test_the_total_of_a_table(self):
        self.assertEqual(calls.strace_total("calls     syscall\n--- ---\n 300 sendto\n 12 read\n--- ---\n 312 total\n"), 312)
        self.assertIsNone(calls.strace_total("strace: nothing\n"))

    def test_the_calls_of_locks_and_of_the_harness_do_not_count(self):
        table = "# started\n\n500,,raw_syscalls:sys_enter,9,100.00,,\n20,,syscalls:sys_enter_futex,9,100.00,,\n"
        self.assertEqual(calls.perf_total(table), 480)
        self.assertIsNone(calls.perf_total("<not counted>,,raw_syscalls:sys_enter,0,100.00,,\n"))


if __name__ == "__main__":
    unittest.main()
