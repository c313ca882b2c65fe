#!/usr/bin/env python3
"""Puts every pair of a server's and a client's language through the same scenarios.

run.py c=build/dotsock_cmd lua='luajit dotsock_cmd.lua' python='python3 peer.py'
"""

import argparse
import os
import shlex
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor

from program import Wrong
from scenarios import SCENARIOS, Pair


def run(server, client, transport, names):
    """The scenarios that failed, and why."""
    failures = []
    for name in names:
        with tempfile.TemporaryDirectory(prefix="dotsock-") as directory:
            pair = Pair(server, client, transport, directory)
            try:
                SCENARIOS[name](pair)
            except (Wrong, OSError) as problem:
                failures.append((name, str(problem) or repr(problem)))
            finally:
                pair.end()
    return failures


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="+", metavar="LANGUAGE=COMMAND")
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="this scenario")
    parser.add_argument("--server", help="with a server in this language")
    parser.add_argument("--client", help="with a client in this language")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="pairs at once")
    options = parser.parse_args()
    for text in options.commands:
        if "=" not in text:
            parser.error(f"{text!r} is not LANGUAGE=COMMAND")
    options.commands = [(name, shlex.split(command)) for name, _, command in
                        (text.partition("=") for text in options.commands)]
    return options


def main():
    options = parse()
    started = time.monotonic()
    names = options.only or list(SCENARIOS)
    pairs = [(server, client, transport)
             for server in options.commands for client in options.commands
             for transport in ("unix", "tcp")
             if options.server in (None, server[0]) and options.client in (None, client[0])]
    failed = 0
    with ProcessPoolExecutor(options.jobs) as pool:
        results = [pool.submit(run, *pair, names) for pair in pairs]
        for (server, client, transport), result in zip(pairs, results):
            for name, problem in result.result():
                failed += 1
                print(f"{name}, server {server[0]}, client {client[0]}, {transport}: FAILED\n"
                      f"  {problem}", flush=True)
    print(f"conformance: {len(pairs)} pairs, {len(names)} scenarios each, {failed} failed, "
          f"{time.monotonic() - started:.0f} s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
