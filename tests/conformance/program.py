"""The commands as child processes that are told lines and asked for lines."""

import json
import os
import queue
import subprocess
import threading
import time

DEADLINE = 30 * float(os.environ.get("CHECK_SLOW", "1"))


class Wrong(Exception):
    """A program did not do what it should."""


class Program:
    def __init__(self, name, command, directory):
        self.name = name
        self.complaints = open(os.path.join(directory, f"{time.monotonic_ns()}.stderr"), "w+b")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.complaints,
            env=os.environ | {"DOTSOCK_SOCKET_DIR": directory, "XDG_CONFIG_HOME": directory})
        self.lines = queue.SimpleQueue()
        self.early = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def say(self, *requests):
        try:
            for request in requests:
                self.process.stdin.write(json.dumps(request, ensure_ascii=False).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Wrong(f"{self.name} reads no more{self._said()}") from None

    def end_input(self):
        self.process.stdin.close()

    def line(self):
        """The next line."""
        if self.early:
            return self.early.pop(0)
        try:
            line = self.lines.get(timeout=DEADLINE)
        except queue.Empty:
            raise Wrong(f"{self.name} says nothing for {DEADLINE:.0f} s{self._said()}") from None
        if line is None:
            raise Wrong(f"{self.name} has ended{self._said()}")
        try:
            return json.loads(line)
        except ValueError:
            raise Wrong(f"{self.name} says what is no JSON: {line!r}") from None

    def ready(self):
        """The line that says so. A client that waits for its server may have come before it is
        written: what was said of that is kept."""
        early = []
        while "ready" not in (line := self.line()):
            if "connected" not in line:
                raise Wrong(f"{self.name} says {shortened(line)} before it is ready{self._said()}")
            early.append(line)
        self.early = early
        return line

    def until(self, key):
        """The next line with this key; only lines about clients that come and go may precede it."""
        while key not in (line := self.line()):
            if not line.keys() & {"connected", "disconnected"}:
                raise Wrong(f"{self.name} says {shortened(line)} and no {key!r}{self._said()}")
        return line

    def stat(self, name, value):
        """Asks for a counter until it has this value."""
        end = time.monotonic() + DEADLINE
        while True:
            self.say({"do": "stat", "name": name})
            found = self.until("stat")["value"]
            if found == value:
                return
            if time.monotonic() > end:
                raise Wrong(f"{self.name}: the counter {name!r} is {found} and not {value}")
            time.sleep(0.005)

    def ends(self, code=0):
        """Waits for the end."""
        if not self.process.stdin.closed:
            self.end_input()
        try:
            ended = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            raise Wrong(f"{self.name} does not end") from None
        if ended != code:
            raise Wrong(f"{self.name} has ended with {ended} and not {code}{self._said()}")

    def _said(self):
        self.complaints.seek(0)
        said = self.complaints.read().decode(errors="replace").strip()
        return f"; on standard error:\n{said}" if said else ""

    def kill(self):
        self.process.kill()
        self.process.wait()
        if not self.process.stdin.closed:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass
        self.complaints.close()


def shortened(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 600 else f"{text[:300]} … {text[-200:]} ({len(text)} characters)"
